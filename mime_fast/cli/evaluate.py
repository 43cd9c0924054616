"""`mime-fast evaluate`: the figures of a model, or of several side by side, on a split."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from functools import partial
from typing import Any

from mime_fast.cli.command import Command, note
from mime_fast.cli.marks import picture_mark
from mime_fast.cli.options import add_model_options, load_engine, load_options, seed
from mime_fast.cli.output import (
    add_force,
    check_flags,
    is_standard_output,
    open_output,
    write_all,
    write_markdown,
    write_report,
)
from mime_fast.cli.reading_options import add_data_options, data_reading_of
from mime_fast.config.checks import check_int
from mime_fast.errors import ConfigError
from mime_fast.evaluation.metrics.metric import GROUPS, OF_SEVERAL, check_groups
from mime_fast.streams import tell

EXAMPLE = """  mime-fast evaluate --data empatheticdialogues.tar.gz --split valid --json figures.json
  mime-fast evaluate --data empatheticdialogues.tar.gz --split test --model run --metrics likelihood,bleu_greedy
  mime-fast evaluate --data empatheticdialogues.tar.gz --markdown tables.md --json tables.json --png tables.png \\
      --models MIME=mime-ed 'MIME w/o STC=mime-ed,stochastic=false' MoEL=runs/moel"""

NOISE_SEEDS = 5
WIDTH = 1600
MADE_BY = "mime-fast evaluate"


def add_arguments(parser: ArgumentParser) -> None:
    add_data_options(parser)
    parser.add_argument("--split", choices=["valid", "test"], default="valid", help="(default: %(default)s)")
    parser.add_argument(
        "--metrics",
        metavar="LIST",
        help=f"comma-separated list of {', '.join(GROUPS)}; the last only for a single model (default: all)",
    )
    parser.add_argument(
        "--polarity",
        choices=["gold", "predicted"],
        default="gold",
        help="which emotion's group the scored responses mimic (default: %(default)s)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N pairs")
    parser.add_argument("--seed", type=seed, default=0, help="seed of all random numbers (default: %(default)s)")
    parser.add_argument("--json", metavar="OUT", help="write all figures and details there, too; - for standard output")
    add_force(parser)
    several = parser.add_argument_group("several models", "the paper's tables as far as no people are needed")
    several.add_argument(
        "--models",
        nargs="+",
        action="extend",
        metavar="NAME=MODEL",
        help="instead of --model: what to set side by side; a model may have options after it, as in "
        "'w/o STC=mime-ed,stochastic=false'",
    )
    several.add_argument(
        "--noise-seeds", type=int, metavar="N", help=f"seeds of the ablation table's means (default: {NOISE_SEEDS})"
    )
    several.add_argument("--markdown", metavar="OUT", help="write the tables there, not to standard output")
    several.add_argument("--png", metavar="OUT", help="draw the figures there: .png, .svg or .pdf")
    several.add_argument("--width", type=int, metavar="N", help=f"pixels of a PNG (default: {WIDTH})")
    add_model_options(parser)


def run(args: Namespace) -> int:
    check_int("batch_size", 64 if args.batch_size is None else args.batch_size, 1)
    if args.width is not None:
        check_int("width", args.width, 400, 10_000)
        if args.png is None:
            raise ConfigError("--width is of a picture: it goes with --png OUT")
    if args.limit is not None:
        check_int("limit", args.limit, 1)
    models = [text.partition("=")[2].partition(",")[0] for text in args.models or ()]
    check_flags(args, ("json", "markdown", "png"), (args.data, args.model, *models), made_by=MADE_BY)
    if args.models is not None:
        return run_several(args)
    for name in ("noise_seeds", "markdown", "png"):
        if getattr(args, name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')} goes with --models NAME=MODEL ..., not with one --model")

    from mime_fast.data.empathetic_dialogues import Style, read_pairs
    from mime_fast.evaluation.evaluate import evaluate, format_evaluation

    engine = load_engine(args)
    style: Style = "released" if engine.config.preset == "released" else "true"
    pairs = read_pairs(args.data, args.split, style, reading=data_reading_of(args))
    found = evaluate(engine, pairs[: args.limit], show_progress=not args.quiet, **_options(args))
    show = tell if args.json == "-" else print
    write_all([partial(_write_json, args.json, found.to_dict()), lambda: show(format_evaluation(found))])
    return 0


def run_several(args: Namespace) -> int:
    """Models side by side, all on the same pairs."""
    if args.model is not None:
        raise ConfigError(f"--model {args.model} and --models: must be one of the two, not both")

    from mime_fast.data.empathetic_dialogues import read_pairs
    from mime_fast.evaluation import comparison, tables
    from mime_fast.evaluation.pictures.figure import check_matplotlib, check_suffix
    from mime_fast.evaluation.systems import check_systems, parse_system

    noise_seeds = NOISE_SEEDS if args.noise_seeds is None else args.noise_seeds
    check_int("noise_seeds", noise_seeds, 1, comparison.MAX_SEEDS)
    systems = [parse_system(text, comparison.SYSTEM_OPTIONS) for text in args.models]
    check_systems(systems)
    options = _options(args)
    check_groups(options["metrics"], OF_SEVERAL)
    file_format = None
    if args.png is not None:
        file_format = check_suffix(args.png)
        check_matplotlib()
    found = comparison.compare(
        systems,
        read_pairs(args.data, args.split, reading=data_reading_of(args))[: args.limit],
        split=args.split,
        noise_seeds=noise_seeds,
        load_options=load_options(args),
        show_progress=not args.quiet,
        tell=lambda text: note(args, text),
        **options,
    )
    writers = [partial(_write_json, args.json, found.to_dict())]
    if not (args.json == "-" and is_standard_output(args.markdown)):
        writers.append(partial(write_markdown, args.markdown, tables.format_tables(found), MADE_BY))
    if file_format is not None:
        writers.append(partial(_draw, args, found, file_format))
    write_all(writers)
    return 0


def _draw(args: Namespace, found: Any, file_format: str) -> None:
    from mime_fast.evaluation.pictures.figure import save_figure
    from mime_fast.evaluation.pictures.tables import draw_tables

    figure = draw_tables(found)
    with open_output(args.png) as stream:
        save_figure(figure, stream, file_format, args.width or WIDTH, picture_mark(MADE_BY))


def _options(args: Namespace) -> dict[str, Any]:
    """Keyword arguments that one model and several have in common."""
    return {
        "metrics": None if args.metrics is None else [name.strip() for name in args.metrics.split(",")],
        "polarity": args.polarity,
        "seed": args.seed,
        "batch_size": args.batch_size or 64,
    }


def _write_json(path: str | None, found: dict[str, Any]) -> None:
    if path is not None:
        write_report(path, found, MADE_BY)


COMMAND = Command(
    "evaluate", "measure a model, or several side by side, on EmpatheticDialogues", EXAMPLE, add_arguments, run
)
