"""`mime-fast human`: sheets for people who judge replies, and what they said."""

from __future__ import annotations

import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mime_fast.cli.command import Command, note
from mime_fast.cli.options import seed
from mime_fast.cli.output import (
    add_force,
    check_flags,
    write_all,
    write_markdown,
    write_output,
    write_report,
)
from mime_fast.cli.reading_options import add_data_options, data_reading_of
from mime_fast.config.checks import check_int
from mime_fast.data.dialogue_checks import check_encodable
from mime_fast.errors import ConfigError, DataError
from mime_fast.files import json_bytes
from mime_fast.terminal import printable

if TYPE_CHECKING:
    from mime_fast.evaluation.human.answers import Answers
    from mime_fast.evaluation.human.sampling import Instance
    from mime_fast.evaluation.human.study import Study

EXAMPLE = """  mime-fast human sample --data empatheticdialogues.tar.gz --split valid --out study --seed 4711 \\
      --models MIME=mime-ed 'MIME w/o STC=mime-ed,stochastic=false' MoEL=moel.jsonl \\
      --rate MIME MoEL --ab MIME:MoEL 'MIME:MIME w/o STC'
  mime-fast human report --key study/private/key.json ratings-*.csv ab-*.csv
  mime-fast human studies benchmarks/results/preference/*.json

docs/human.md says how a study goes, from the sample to the tables; docs/preference.md how two systems are compared."""
SAMPLE = "Draw dialogues of every emotion and write blinded rating sheets, A/B sheets and pages of models' replies."
STUDIES = "Print a table of the studies whose records are given: the votes on each pair of systems, and who voted."
REPORT = "Read filled sheets: means, A/B verdicts, agreement, intervals; and what is missing or wrong, cell by cell."
SPLIT: Literal["valid", "test"] = "valid"  # which everybody has
PER_EMOTION = 4
REPORT_BY, STUDIES_BY = "mime-fast human report", "mime-fast human studies"
_BOOTSTRAP = 2000  # evaluation.human.figures's, without numpy


def add_arguments(parser: ArgumentParser) -> None:
    steps = parser.add_subparsers(metavar="STEP", required=True)
    sample = steps.add_parser("sample", help=SAMPLE, description=SAMPLE, allow_abbrev=False)
    add_data_options(sample)
    sample.add_argument("--split", choices=["valid", "test"], help=f"(default: {SPLIT})")
    sample.add_argument(
        "--draw",
        choices=["develop", "confirm", "confirm-2", "confirm-3"],
        help="one of the fixed draws of 128 validation dialogues, the same for every --seed (docs/preference.md)",
    )
    sample.add_argument(
        "--models",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=MODEL",
        help="what to judge: a model folder, the name of a shipped model, or a file of replies (JSON lines with id and "
        "text); a model may have options after it, as in 'w/o STC=mime-ed,stochastic=false'",
    )
    sample.add_argument("--out", metavar="FOLDER", help="new folder of the study")
    sample.add_argument("--annotators", type=int, default=3, metavar="N", help="(default: %(default)s)")
    sample.add_argument("--per-emotion", type=int, metavar="N", help=f"dialogues (default: {PER_EMOTION})")
    sample.add_argument("--seed", type=seed, default=0, help="of the draw, orders and replies (default: %(default)s)")
    sample.add_argument(
        "--rate", nargs="*", action="extend", metavar="NAME", help="models whose replies are rated (default: all)"
    )
    sample.add_argument(
        "--ab",
        nargs="+",
        action="extend",
        default=[],
        type=pair,
        metavar="A:B",
        help="models to compare (default: none)",
    )
    sample.add_argument(
        "--dialogues", metavar="FILE", help="write the dialogues drawn, for systems that answer elsewhere"
    )
    add_force(sample)
    sample.set_defaults(step=run_sample)
    report = steps.add_parser("report", help=REPORT, description=REPORT, allow_abbrev=False)
    report.add_argument("sheets", nargs="+", metavar="SHEET", help="filled ratings and A/B sheets, in any order")
    report.add_argument("--key", required=True, metavar="FILE", help="key.json of the study")
    report.add_argument("--partial", action="store_true", help="report on what is complete, and say what is missing")
    report.add_argument("--json", metavar="OUT", help="write all figures there, too; - for standard output")
    report.add_argument("--out", metavar="FILE", help="write the Markdown there, not to standard output")
    report.add_argument(
        "--fourth",
        metavar="FOLDER",
        help="where to write the sheet for one more annotator if there is need (default: in the study's folder)",
    )
    report.add_argument(
        "--no-fourth",
        action="store_true",
        help="ask for no more annotators: comparisons without a majority count in the votes only",
    )
    report.add_argument(
        "--record",
        metavar="FILE",
        help="write the study's record there: no text of any dialogue; - for standard output",
    )
    report.add_argument(
        "--voters",
        nargs="+",
        action="extend",
        metavar="WHO",
        help="who the annotators are: person, or model:NAME for a language model; one for all, or one for each, "
        "the fourth included if it voted",
    )
    report.add_argument("--note", metavar="TEXT", help="for --record, what else a reader should know")
    report.add_argument(
        "--bootstrap", type=int, default=_BOOTSTRAP, metavar="N", help="resamples (default: %(default)s)"
    )
    report.add_argument("--seed", type=seed, default=0, help="of the resamples (default: %(default)s)")
    add_force(report)
    report.set_defaults(step=run_report)
    studies = steps.add_parser("studies", help=STUDIES, description=STUDIES, allow_abbrev=False)
    studies.add_argument("records", nargs="+", metavar="RECORD", help="what human report --record wrote")
    studies.add_argument("--out", metavar="FILE", help="write the table there, not to standard output")
    add_force(studies)
    studies.set_defaults(step=run_studies)


def run(args: Namespace) -> int:
    code: int = args.step(args)
    return code


def run_sample(args: Namespace) -> int:
    check_int("annotators", args.annotators, 1, 99)
    if args.draw is not None and (args.split is not None or args.per_emotion is not None):
        raise ConfigError(f"--draw {args.draw} is 128 validation dialogues: give no --split and no --per-emotion")
    per_emotion = PER_EMOTION if args.per_emotion is None else args.per_emotion
    check_int("per_emotion", per_emotion, 1)
    if not args.models and args.dialogues is None:
        raise ConfigError("nothing to do: --models and --out write a study, --dialogues writes the dialogues drawn")
    if bool(args.models) != (args.out is not None):
        raise ConfigError("--models and --out go together: what to judge, and the folder of the study")

    from mime_fast.data.empathetic_dialogues import read_pairs
    from mime_fast.evaluation.human import kit, replies, sampling, study
    from mime_fast.evaluation.systems import check_systems, parse_system

    systems = [parse_system(text, files=True) for text in args.models]
    check_flags(args, ("dialogues",), (args.data, *(system.source for system in systems)))
    names = [system.name for system in systems]
    rated = names if args.rate is None else args.rate
    if systems:
        check_systems(systems, files=True)
        study.check_design(names, rated, args.ab)
        kit.check_empty(args.out)
        _check_apart(args.dialogues, args.out)
    reading = data_reading_of(args)
    if args.draw is None:
        split: Literal["valid", "test"] = args.split or SPLIT
        instances = sampling.draw(read_pairs(args.data, split, reading=reading), per_emotion, args.seed)
    else:
        split = sampling.FIXED_SPLIT
        instances = sampling.draw_fixed(read_pairs(args.data, sampling.FIXED_SPLIT, reading=reading), args.draw)
    if args.dialogues is not None:
        _write_dialogues(args.dialogues, instances, force=args.force)
    if systems:
        made = study.make_study(
            instances,
            replies.replies_of(systems, instances, args.seed, tell=lambda text: note(args, text)),
            rated=rated,
            pairs=args.ab,
            annotators=args.annotators,
            seed=args.seed,
            split=split,
            draw=args.draw,
            systems={one.name: {"source": printable(one.source), "options": dict(one.options)} for one in systems},
        )
        kit.write_study(made, args.out)
        note(args, _summary(made, args.out))
        if made.in_several_pairs:
            several = " and ".join(made.in_several_pairs)
            note(
                args,
                f"several pairs have {several}: whoever compares all items of a sheet sees which replies are of one "
                "system; a study for each pair, with other annotators, does not show it",
            )
    return 0


def run_report(args: Namespace) -> int:
    from mime_fast.evaluation.human import answers, figures, key, markdown, record, sheets, votes
    from mime_fast.evaluation.human.voters import parse_voters

    if args.record is not None and args.voters is None:
        raise ConfigError("--record needs --voters: the record of a study says who, or what, voted")
    if args.note is not None and args.record is None:
        raise ConfigError("--note needs --record: the note is written there")
    check_encodable(args.note or "", "--note")
    if args.no_fourth and args.fourth is not None:
        raise ConfigError("--fourth and --no-fourth: must be one of the two, not both")
    read = (args.key, *args.sheets)
    check_flags(args, ("json", "out", "record"), read)
    check_flags(args, ("json", "out"), read, made_by=REPORT_BY)
    made = key.read_key(args.key)
    if args.record is not None and not args.force:
        record.check_free(args.record, made.tag)
    given = answers.collect(made, [sheets.read_sheet(path) for path in args.sheets])
    asked = made.annotators + votes.has_fourth(made, given)
    voters = None if args.voters is None else parse_voters(args.voters, asked)
    if given.faults and not args.partial:
        raise DataError(_refusal(given))
    found = figures.study_figures(made, given, voters=voters, number=args.bootstrap, seed=args.seed)
    writers: list[Callable[[], object]] = []
    if args.json is not None:
        writers.append(partial(write_report, args.json, found, REPORT_BY))
    if "-" not in (args.json, args.record) or args.out is not None:
        writers.append(partial(write_markdown, args.out, markdown.format_report(found), REPORT_BY))
    if args.record is not None:
        content = record.write_record(record.make_record(made, given, found, args.note or ""))
        writers.append(partial(write_output, args.record, content))
    waiting = [] if args.no_fourth else votes.disputed(votes.judge(made, given))
    if waiting:
        writers.append(partial(_ask_for_another, made, waiting, args))
    write_all(writers)
    settled = {"disputed"} if args.no_fourth else set()
    return 1 if given.faults or found["open"].keys() - settled else 0


def run_studies(args: Namespace) -> int:
    from mime_fast.evaluation.human import record

    check_flags(args, ("out",), args.records, made_by=STUDIES_BY)
    records = {Path(path).stem: record.read_record(path) for path in args.records}
    if len(records) < len(args.records):
        raise ConfigError("two records have the same file name; names must differ")
    write_markdown(args.out, record.format_records(records), STUDIES_BY)
    return 0


def pair(text: str) -> tuple[str, str]:
    """Two models' names with a colon between."""
    names = [name.strip() for name in text.split(":")]
    if len(names) != 2 or not all(names):
        raise ArgumentTypeError(f"{text!r}: must be A:B, two models' names")
    return names[0], names[1]


def _check_apart(dialogues: str | None, out: str) -> None:
    """ConfigError where the dialogues would be written into the study's folder, which must be empty then."""
    if dialogues not in (None, "-"):
        path, folder = Path(os.path.realpath(dialogues)), Path(os.path.realpath(out))
        if folder in (path, *path.parents):
            raise ConfigError(f"--dialogues {dialogues}: lies in --out {out}; must be in another place")


def _write_dialogues(path: str, instances: list[Instance], *, force: bool) -> None:
    """Rows have no mark: only a file with the same ones is replaced."""
    content = b"".join(json_bytes({"id": one.id, "context": one.context}) for one in instances)
    if not force and os.path.isfile(path) and Path(path).read_bytes() not in (b"", content):
        raise DataError(f"--dialogues {path}: exists, with other rows; give another name, or --force replaces it")
    write_output(path, content)


def _summary(study: Study, out: str) -> str:
    asked = [f"{len(study.ratings)} replies to rate"] if study.ratings else []
    asked += [f"{len(study.comparisons)} pairs to compare"] if study.comparisons else []
    same = f" ({len(study.same)} pairs are equal replies, ties that nobody is asked about)" if study.same else ""
    return (
        f"{len(study.instances)} dialogues, {' and '.join(asked) or 'nothing to ask'} for each of "
        f"{study.annotators} annotators{same}; {out}: give each annotator one folder, and keep private/ to yourself"
    )


def _refusal(given: Answers) -> str:
    lines = [
        f"{len(given.faults)} faults; correct the sheets, or report on the rest with --partial",
        *map(str, given.faults),
    ]
    return "\n".join([lines[0], *(f"  {line}" for line in lines[1:])])


def _ask_for_another(study: Study, waiting: list[int], args: Namespace) -> None:
    """Write what one more annotator must settle, and say so."""
    from mime_fast.evaluation.human.kit import folder_name, write_fourth

    key_folder = Path(args.key).resolve().parent
    home = key_folder.parent if key_folder.name == "private" else key_folder
    folder = str(home / folder_name(study.annotators + 1)) if args.fourth is None else args.fourth
    written = write_fourth(study, waiting, folder)
    note(
        args,
        f"{len(waiting)} comparisons have no majority; {folder} {'is' if written else 'was'} written for annotator "
        f"{study.annotators + 1}: report again with that sheet beside the others",
    )


COMMAND = Command("human", "have people judge replies: draw sheets, report on filled ones", EXAMPLE, add_arguments, run)
