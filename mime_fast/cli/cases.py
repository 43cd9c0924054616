"""`mime-fast cases`: what several models reply to the same dialogues, and the emotions behind it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from mime_fast.cli.command import Command, note
from mime_fast.cli.options import add_model_options, add_search_options, load_options, search_arguments, seed
from mime_fast.cli.output import add_force, check_flags, is_standard_output, write_all, write_markdown, write_report
from mime_fast.cli.reading_options import add_reading_options, columns_of, reading_of, refuse_columns
from mime_fast.config.checks import check_int
from mime_fast.errors import ConfigError

if TYPE_CHECKING:
    from mime_fast.evaluation.cases.cases import Case

EXAMPLE = """  mime-fast cases examples/dialogues.jsonl
  mime-fast cases --data empatheticdialogues.tar.gz --split valid --per-emotion 2 --seed 7 --out cases.md \\
      --models MIME=mime-ed 'MIME w/o STC=mime-ed,stochastic=false' MoEL=runs/moel
  mime-fast cases --data empatheticdialogues.tar.gz --ids CONVERSATION OTHER_CONVERSATION/2 --json cases.json"""
MADE_BY = "mime-fast cases"
MODELS = ("MIME=mime-ed", "MIME w/o STC=mime-ed,stochastic=false")


def add_arguments(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("dialogues", "a file, or some of EmpatheticDialogues")
    group.add_argument(
        "input",
        nargs="?",
        metavar="FILE",
        help="a file as for mime-fast generate; response (the gold one) and label are shown",
    )
    group.add_argument("--data", metavar="PATH", help="EmpatheticDialogues: tar.gz or folder of CSVs")
    group.add_argument("--split", choices=["valid", "test"], help="of --data (default: valid)")
    group.add_argument(
        "--ids",
        nargs="+",
        action="extend",
        metavar="CONV",
        help="conversations of --data; CONV/N: only the listener's utterance N",
    )
    group.add_argument(
        "--per-emotion", type=int, metavar="N", help="number of dialogues per emotion, drawn with --seed (default: 1)"
    )
    group.add_argument(
        "--no-strict-turns",
        dest="strict_turns",
        action="store_false",
        help="take an even number of turns in FILE, too (the agent spoke last)",
    )
    parser.add_argument(
        "--models",
        nargs="+",
        action="extend",
        metavar="NAME=MODEL",
        help="a model folder or the name of a shipped model, with options of load and generate after it (default: "
        "the shipped MIME with and without noise)",
    )
    parser.add_argument("--seed", type=seed, default=0, help="seed of the draw and the replies (default: %(default)s)")
    parser.add_argument(
        "--top", type=int, default=3, metavar="K", help="emotions of each group to name (default: %(default)s)"
    )
    parser.add_argument("--out", metavar="OUT", help="write the Markdown there, not to standard output")
    parser.add_argument("--json", metavar="OUT", help="write all figures there, too; - for standard output")
    add_force(parser)
    add_reading_options(parser)
    add_search_options(parser, one_reply=True)
    add_model_options(parser, one_model=False)


def run(args: Namespace) -> int:
    check_int("top", args.top, 0, 19)
    if (args.input is None) == (args.data is None):
        raise ConfigError("give FILE, or --data PATH with --ids or --per-emotion")
    if args.data is None and (args.ids or args.per_emotion is not None or args.split is not None):
        raise ConfigError("--split, --ids and --per-emotion choose from --data PATH; a FILE is shown whole")
    if args.data is not None:
        refuse_columns(args, "is of a FILE; --data has its own columns")
    if args.data is not None and not args.strict_turns:
        raise ConfigError("--no-strict-turns is of a FILE: in --data the user speaks last")
    if args.ids and args.per_emotion is not None:
        raise ConfigError("--ids and --per-emotion: must be one of the two, not both")

    models = args.models or MODELS
    sources = [text.partition("=")[2].partition(",")[0] for text in models]
    check_flags(args, ("json", "out"), (args.input, args.data, *sources), made_by=MADE_BY)

    from mime_fast.evaluation.cases.cases import answer_cases, cases_json
    from mime_fast.evaluation.cases.sheet import format_cases
    from mime_fast.evaluation.systems import check_systems, parse_system

    systems = [parse_system(text) for text in models]
    check_systems(systems)
    cases = _cases(args)
    answered = answer_cases(
        systems,
        cases,
        seed=args.seed,
        strict_turns=args.data is None and args.strict_turns,
        load_options=load_options(args),
        search={name: value for name, value in search_arguments(args).items() if value is not None},
        tell=lambda text: note(args, text),
    )
    writers: list[Callable[[], object]] = []
    if args.json is not None:
        shown = [{"name": one.name, "source": one.source, "options": dict(one.options)} for one in systems]
        found = {"seed": args.seed, "models": shown, "cases": cases_json(cases, answered)}
        writers.append(partial(write_report, args.json, found, MADE_BY))
    if not (args.json == "-" and is_standard_output(args.out)):
        writers.append(partial(write_markdown, args.out, format_cases(cases, answered, top=args.top), MADE_BY))
    write_all(writers)
    return 0


def _cases(args: Namespace) -> list[Case]:
    from mime_fast.data.empathetic_dialogues import read_pairs
    from mime_fast.evaluation.cases.cases import cases_by_id, cases_of_file, cases_per_emotion

    if args.data is None:
        return cases_of_file(
            args.input, strict_turns=args.strict_turns, columns=columns_of(args), reading=reading_of(args)
        )
    if args.per_emotion is not None:
        check_int("per_emotion", args.per_emotion, 1)
    pairs = read_pairs(args.data, args.split or "valid", reading=reading_of(args))
    if args.ids:
        return cases_by_id(pairs, args.ids)
    return cases_per_emotion(pairs, args.per_emotion or 1, args.seed)


COMMAND = Command(
    "cases", "show several models' replies side by side, dialogue by dialogue", EXAMPLE, add_arguments, run
)
