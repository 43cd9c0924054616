"""The record of a study: what was compared, who voted how, and nothing of the dialogues; it can be published."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mime_fast._version import __version__
from mime_fast.errors import ConfigError, DataError
from mime_fast.evaluation.human.answers import Answers
from mime_fast.evaluation.human.criteria import OUTCOMES, Outcome
from mime_fast.evaluation.human.figure_types import StudyFigures
from mime_fast.evaluation.human.markdown import share
from mime_fast.evaluation.human.study import Study
from mime_fast.evaluation.human.voters import Voter, name_voters
from mime_fast.evaluation.human.votes import ballots, judge
from mime_fast.evaluation.json_file import read_json
from mime_fast.evaluation.markdown import safe, table

FORMAT = "mime_fast preference study 1"
LETTERS: Mapping[Outcome, str] = {"win": "w", "lose": "l", "tie": "t"}
NO_VOTE, EQUAL_REPLIES = ".", "="


def make_record(study: Study, answers: Answers, figures: StudyFigures, note: str = "") -> dict[str, Any]:
    """A study as it is kept, JSON-ready.

    Args:
        figures: what `study_figures` found in the same answers, with the voters.
        note: what a reader should know besides, such as what was asked.

    Returns:
        Systems with a hash of all their replies (and no path but its last part), the figures of `study_figures`, and
        under `ballots`, for each pair and annotator, a letter for each dialogue in the order of the draw: w, l or t is
        a vote for the first model, against it, or for neither; = stands for equal replies, . for no vote.
    """
    judged = judge(study, answers)
    return {
        "format": FORMAT,
        "mime_fast": __version__,
        **{name: figures["study"][name] for name in ("tag", "split", "draw", "seed", "instances", "voters", "fourth")},
        "note": note,
        "systems": {name: _system(study, name) for name in study.systems},
        "ratings": {model: found["all"] for model, found in figures["ratings"].items()},
        "ab": figures["ab"],
        "agreement": figures["agreement"],
        "faults": len(figures["faults"]),
        "ballots": [
            {
                "first": pair[0],
                "second": pair[1],
                "votes": {str(who): _letters(study, pair, cast) for who, cast in ballots(judged, pair).items()},
            }
            for pair in study.pairs
        ],
    }


def _system(study: Study, name: str) -> dict[str, Any]:
    about = study.systems[name]
    replies = json.dumps(study.replies[name], ensure_ascii=False).encode()
    return {
        "source": Path(about.get("source", "")).name,
        "options": about.get("options", {}),
        "replies_sha256": hashlib.sha256(replies).hexdigest(),
    }


def _letters(study: Study, pair: tuple[str, str], cast: Mapping[int, Outcome]) -> str:
    same = {item.instance for item in study.same if (item.first, item.second) == pair}
    return "".join(
        EQUAL_REPLIES if place in same else LETTERS[cast[place]] if place in cast else NO_VOTE
        for place in range(len(study.instances))
    )


def write_record(record: Mapping[str, Any]) -> bytes:
    """The file's content."""
    return json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False).encode() + b"\n"


def check_free(path: str | os.PathLike[str], tag: str) -> None:
    """ConfigError where a file is at `path` that is no record of the study `tag`: it would be lost."""
    if Path(path).exists():
        try:
            same = read_record(path)["tag"] == tag
        except DataError:
            same = False
        if not same:
            raise ConfigError(
                f"{path}: there is another file already; a record needs a name of its own (--force replaces the file)"
            )


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A record as `make_record` returned it.

    Raises:
        DataError: it cannot be read, or is no record.
    """
    record = read_json(path)
    needed = {"tag", "split", "draw", "seed", "voters", "ab", "agreement"}
    if not isinstance(record, dict) or record.get("format") != FORMAT or not needed <= record.keys():
        raise DataError(f"{path}: not a record; a file that mime-fast human report --record wrote is expected")
    try:
        format_records({"study": record}).encode()
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(
            f"{path}: a broken record ({type(error).__name__}: {error}); the record as written is expected"
        ) from None
    return record


def format_records(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown table of studies by name, a row for each pair of systems: shares of all votes, kappa, who voted."""
    rows = []
    for name, record in records.items():
        kappas = {row["what"]: row["value"] for row in record["agreement"]}
        for pair in record["ab"]:
            votes, kappa = pair["votes"], kappas.get(f"{pair['first']} : {pair['second']}")
            rows.append(
                [
                    safe(name),
                    record["draw"] or f"{record['split']}, seed {record['seed']}",
                    safe(f"{pair['first']} : {pair['second']}"),
                    *(share(votes[outcome]) for outcome in OUTCOMES),
                    votes["cast"],
                    "-" if kappa is None else f"{kappa:.2f}",
                    safe(_names(record)),
                ]
            )
    header = ["study", "dialogues", "first : second", "wins", "loses", "tie", "votes", "kappa", "voters"]
    return table(header, rows)


def _names(record: Mapping[str, Any]) -> str:
    voters = name_voters([Voter(**voter) for voter in record["voters"]])
    fourth = record.get("fourth")  # up to 0.3.0 records had none
    if fourth is None:
        return voters
    who = "" if fourth["voter"] is None else f": {name_voters([Voter(**fourth['voter'])])}"
    return f"{voters}; without a majority one more{who}"
