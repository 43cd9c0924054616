"""`mime-fast evaluate`: the figures of a model on a split."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace

from mime_fast.cli.command import Command
from mime_fast.cli.options import add_model_options, load_engine, seed
from mime_fast.cli.output import open_output
from mime_fast.config import check_int

EXAMPLE = """  mime-fast evaluate --data empatheticdialogues.tar.gz --split valid --json figures.json
  mime-fast evaluate --data empatheticdialogues.tar.gz --split test --model run --metrics likelihood,bleu_greedy"""

METRICS = ("likelihood", "bleu_greedy", "bleu_beam", "diversity", "seed_effect")  # evaluation.report's, without torch


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--data", required=True, metavar="PATH", help="EmpatheticDialogues: tar.gz or folder of CSVs")
    parser.add_argument("--split", choices=["valid", "test"], default="valid", help="(default: %(default)s)")
    parser.add_argument(
        "--metrics",
        metavar="LIST",
        help=f"some of {', '.join(METRICS)}, with commas between (default: all)",
    )
    parser.add_argument(
        "--polarity",
        choices=["gold", "predicted"],
        default="gold",
        help="which emotion's group the scored responses mimic (default: %(default)s)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N pairs")
    parser.add_argument("--seed", type=seed, default=0, help="of all random numbers (default: %(default)s)")
    parser.add_argument("--json", metavar="OUT", help="write all figures and details there, too; - for standard output")
    add_model_options(parser)


def run(args: Namespace) -> int:
    check_int("batch_size", 64 if args.batch_size is None else args.batch_size, 1)
    if args.limit is not None:
        check_int("limit", args.limit, 1)

    from mime_fast.data.empathetic_dialogues import read_pairs
    from mime_fast.evaluation.report import evaluate, format_report

    engine = load_engine(args)
    pairs = read_pairs(args.data, args.split, "released" if engine.config.preset == "released" else "true")[
        : args.limit
    ]
    report = evaluate(
        engine,
        pairs,
        metrics=None if args.metrics is None else [name.strip() for name in args.metrics.split(",")],
        polarity=args.polarity,
        seed=args.seed,
        batch_size=args.batch_size or 64,
        show_progress=True,
    )
    print(format_report(report), file=sys.stderr if args.json == "-" else sys.stdout)
    if args.json is not None:
        with open_output(args.json) as stream:
            stream.write(json.dumps(report, indent=2).encode() + b"\n")
    return 0


COMMAND = Command("evaluate", "measure a model on EmpatheticDialogues", EXAMPLE, add_arguments, run)
