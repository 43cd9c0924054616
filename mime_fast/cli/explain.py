"""`mime-fast explain`: what the model recognised and mixed for one dialogue, and how its gate weighed every word."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from itertools import islice
from typing import TYPE_CHECKING, Any

from mime_fast.cli.command import Command
from mime_fast.cli.marks import picture_mark
from mime_fast.cli.options import (
    add_model_options,
    add_noise_options,
    add_search_options,
    load_engine,
    search_arguments,
)
from mime_fast.cli.output import add_force, check_flags, open_output
from mime_fast.cli.reading_options import add_reading_options, columns_of, reading_of, refuse_columns
from mime_fast.config.checks import check_int
from mime_fast.data.dialogues import Row
from mime_fast.errors import ConfigError, InputError
from mime_fast.terminal import Look

if TYPE_CHECKING:
    from mime_fast.engine.explanation import Explanation

EXAMPLE = """  mime-fast explain "I got the job at the bakery! I can hardly sleep."
  mime-fast explain --input examples/dialogues.jsonl --id lost-dog --out lost-dog.png
  mime-fast explain "My cat ran away." "Oh no! When?" "This morning." --json"""
MADE_BY = "mime-fast explain"
WIDTH = 1600


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("utterances", nargs="*", metavar="UTTERANCE", help="the dialogue, the user's utterance first")
    parser.add_argument(
        "--input", metavar="FILE", help="take the dialogue from a file that `generate` reads; - for standard input"
    )
    parser.add_argument("--id", metavar="ID", help="which row of --input")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", metavar="FILE", help="draw a picture instead: .png, .svg or .pdf")
    add_force(parser)
    parser.add_argument("--width", type=int, metavar="N", help=f"pixels of a PNG (default: {WIDTH})")
    parser.add_argument(
        "--top", type=int, default=5, metavar="K", help="recognised emotions to name (default: %(default)s)"
    )
    parser.add_argument(
        "--no-strict-turns",
        dest="strict_turns",
        action="store_false",
        help="take an even number of turns, too (the agent spoke last)",
    )
    parser.add_argument(
        "--truncation", choices=["oldest"], help="drop the oldest turns, in pairs, if there are too many"
    )
    add_reading_options(parser)
    add_search_options(parser, one_reply=True)
    add_noise_options(parser)
    add_model_options(parser, logprobs=True)


def run(args: Namespace) -> int:
    check_int("top", args.top, 1, 32)
    if args.width is not None:
        check_int("width", args.width, 400, 10_000)
        if args.out is None:
            raise ConfigError("--width is of a picture: it goes with --out FILE.png")
    if bool(args.utterances) == (args.input is not None) or (args.input is None) != (args.id is None):
        raise ConfigError("give the utterances of one dialogue, or --input FILE with --id ID")
    if args.input is None:
        refuse_columns(args, "is of a file: it goes with --input FILE", others=True)
    if args.json and args.out is not None:
        raise ConfigError("--json and --out: must be one of the two, not both")

    from mime_fast.engine.explanation import explain
    from mime_fast.evaluation.explanation.bars import format_explanation
    from mime_fast.evaluation.pictures.figure import check_matplotlib, check_suffix

    file_format = None
    if args.out is not None:
        file_format = check_suffix(args.out)
        check_matplotlib()
    check_flags(args, ("out",), (args.input, args.model), made_by=MADE_BY)
    found = explain(
        load_engine(args),
        **_dialogue(args),
        stochastic=args.stochastic,
        strict_turns=args.strict_turns,
        truncation=args.truncation,
        search=search_arguments(args),
    )
    if file_format is not None:
        _draw(found, args.out, file_format, args.width or WIDTH)
    elif args.json:
        print(json.dumps(found.to_dict(args.top), ensure_ascii=False, indent=2))
    else:
        print(format_explanation(found, top=args.top, look=Look.of(sys.stdout)))
    return 0


def _dialogue(args: Namespace) -> dict[str, Any]:
    """The dialogue with its emotion, seed and request id: those that `mime-fast generate FILE` would take."""
    if args.input is None:
        if args.utterances == ["-"]:
            raise ConfigError("-: is no utterance; a dialogue from standard input is --input - --id ID")
        return {"dialogue": args.utterances, "emotion": args.emotion, "seed": args.seed, "request_id": 0}
    row = _find_row(args)
    return {
        "dialogue": row.context,
        "emotion": args.emotion if row.emotion is None else row.emotion,
        "seed": args.seed if row.seed is None else row.seed,
        "request_id": row.index,
    }


def _find_row(args: Namespace) -> Row:
    from mime_fast.data.reading.reader import Reader
    from mime_fast.data.reading.rows import BadRow, check
    from mime_fast.data.reading.sources import find_sources

    columns = columns_of(args)
    reader = Reader(find_sources(args.input, reading_of(args)), columns)
    rows = ((raw, check(raw, columns, need_response=False, strict_turns=args.strict_turns)) for raw in reader)
    found = list(islice((one for one in rows if str(one[1].id) == args.id), 2))
    if not found:
        raise InputError(f"{args.input}: no row with the id {args.id!r}")
    if len(found) > 1:
        lines = " and ".join(f"{raw.file}, line {raw.row}" for raw, _ in found)
        raise InputError(f"{args.input}: more than one row has the id {args.id!r} ({lines}); ids must differ")
    ((_, row),) = found
    if isinstance(row, BadRow):
        raise InputError(f"{row.file}, line {row.row}: {row.reason}")
    return row


def _draw(found: Explanation, out: str, file_format: str, width: int) -> None:
    from mime_fast.evaluation.explanation.picture import draw_explanation
    from mime_fast.evaluation.pictures.figure import save_figure

    figure = draw_explanation(found)
    with open_output(out) as stream:
        save_figure(figure, stream, file_format, width, picture_mark(MADE_BY))


COMMAND = Command(
    "explain", "show the emotions that a reply mixes, and the gate's share word by word", EXAMPLE, add_arguments, run
)
