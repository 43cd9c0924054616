"""A small study of made-up dialogues, and annotators who fill in its sheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pytest

from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.emotions import LABELS
from mime_fast.evaluation.human.answers import Answers, collect
from mime_fast.evaluation.human.criteria import ANSWERS, Kind
from mime_fast.evaluation.human.sampling import Instance
from mime_fast.evaluation.human.sheets import read_sheet, write_sheet
from mime_fast.evaluation.human.study import Rated, SheetRow, Study, make_study

AWKWARD = 'He said "</script><b>no</b>", she said =1+1; then, ünïcödé ☂\u2028 & \\u003c.'
Row = dict[str, str]


def make_pairs(conversations: int = 3) -> list[Pair]:
    """Two pairs in each of some conversations of every emotion."""
    pairs = []
    for label in LABELS:
        for number in range(conversations):
            conversation = f"{label}:{number}"
            turns = [f"I feel {label} for the {number}. time.", "Why is that?", f"{AWKWARD} It is {label}."]
            pairs.append(Pair(turns[:1], turns[1], label, "", conversation))
            pairs.append(Pair(turns, "I see.", label, "", conversation))
    return pairs


def instances(count: int = 6) -> list[Instance]:
    emotions = ["joyful", "sad", "proud", "angry", "hopeful", "lonely"]
    return [
        Instance(f"talk:{i}/2", emotions[i % 6], [f"Something happened, number {i}. {AWKWARD}"], f"gold words {i}")
        for i in range(count)
    ]


def replies(count: int = 6, names: Sequence[str] = ("Alpha", "Beta", "Gamma")) -> dict[str, list[str]]:
    """Each model says something of its own; Gamma says what Alpha says to the first dialogue."""
    said = {
        name: [f"answer {place} of kind {kind}. {AWKWARD}" for place in range(count)] for kind, name in enumerate(names)
    }
    said[names[-1]][0] = said[names[0]][0]
    return said


def small_study(count: int = 6, *, seed: int = 0, annotators: int = 3) -> Study:
    names = ["Alpha", "Beta", "Gamma"]
    return make_study(
        instances(count),
        replies(count),
        rated=names,
        pairs=[("Alpha", "Beta"), ("Alpha", "Gamma")],
        annotators=annotators,
        seed=seed,
        systems={name: {"source": f"models/{name}", "options": {}} for name in names},
    )


def rows_of(content: bytes) -> list[Row]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


Quoting = Literal[0, 1, 2, 3]  # the csv module's


def csv_of(
    rows: Sequence[Mapping[str, str]],
    delimiter: str = ",",
    end: str = "\r\n",
    quoting: Quoting = csv.QUOTE_ALL,
) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


Answer = Callable[[int, SheetRow], Sequence[object]]  # of an annotator to a row, in the order of ANSWERS


def fill(study: Study, kind: Kind, annotator: int, answer: Answer) -> list[Row]:
    """An annotator's whole sheet with answers."""
    planned = study.sheets[kind, annotator]
    rows = rows_of(write_sheet(study, kind, planned))
    for row, plan in zip(rows, planned, strict=True):
        row |= dict(zip(ANSWERS[kind], map(str, answer(annotator, plan)), strict=True))
    return rows


def choose(study: Study, model: str | None) -> Callable[[SheetRow], str]:
    """The side of a model in a row of an A/B sheet, tie where it is not there."""

    def side(row: SheetRow) -> str:
        compared = study.comparisons[row.item]
        sides = (compared.second, compared.first) if row.swapped else (compared.first, compared.second)
        return "AB"[sides.index(model)] if model in sides else "tie"

    return side


def rated(study: Study, row: SheetRow) -> Rated:
    return study.ratings[row.item]


class Desk:
    """Filled sheets of a study in a folder."""

    def __init__(self, study: Study, folder: Path) -> None:
        self.study = study
        self.folder = folder
        self.sheets: dict[str, list[Row]] = {}
        for annotator in range(1, study.annotators + 1):
            self.sheets[f"ratings-{annotator}.csv"] = fill(study, "ratings", annotator, self.rate)
            self.sheets[f"ab-{annotator}.csv"] = fill(study, "ab", annotator, self.vote)

    def rate(self, annotator: int, row: SheetRow) -> Sequence[int]:
        """Alpha is better than the others by 2 (relevance: by 1); annotators differ by a point here and there."""
        alpha = "Alpha" in rated(self.study, row).models
        extra = annotator == 1 and row.item % 2
        return (4 + extra if alpha else 2 + extra, 4 if alpha else 3, 5)

    def vote(self, annotator: int, row: SheetRow) -> Sequence[str]:
        return [choose(self.study, "Alpha")(row)]

    def write(self) -> list[Path]:
        paths = []
        for name, rows in self.sheets.items():
            if rows:
                paths.append(self.folder / name)
                paths[-1].write_bytes(csv_of(rows).encode("utf-8-sig"))
        return paths

    def collect(self) -> Answers:
        return collect(self.study, [read_sheet(path) for path in self.write()])


@pytest.fixture
def study() -> Study:
    return small_study()


@pytest.fixture
def desk(study: Study, tmp_path: Path) -> Desk:
    folder = tmp_path / "filled"
    folder.mkdir()
    return Desk(study, folder)
