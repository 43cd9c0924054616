"""`mime-fast plot`: pictures of a model and of its figures."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from mime_fast.cli.command import Command
from mime_fast.cli.marks import picture_mark
from mime_fast.cli.output import add_force, check_flags, open_output
from mime_fast.config.checks import check_int
from mime_fast.errors import ConfigError
from mime_fast.terminal import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLE = """  mime-fast plot embeddings --out embeddings.png
  mime-fast plot embeddings --models 'with mimicry=run1' without=run2 --out figure-3.png
  mime-fast plot confusion --report figures.json --out confusion.svg
  mime-fast plot emotions --summary summary.json --out emotions.png"""
MADE_BY = "mime-fast plot"
EMBEDDINGS = "the emotion embeddings in two principal components"
CONFUSION = "the confusion matrix of the emotions"
EMOTIONS = "how often each emotion was recognised in a corpus"


def add_arguments(parser: ArgumentParser) -> None:
    kinds = parser.add_subparsers(metavar="KIND", required=True)
    embeddings = kinds.add_parser("embeddings", help=EMBEDDINGS, description=f"Draw {EMBEDDINGS}.", allow_abbrev=False)
    embeddings.add_argument("--model", metavar="PATH", help="a model folder, or the name of a shipped model")
    embeddings.add_argument(
        "--models",
        nargs="+",
        action="extend",
        metavar="NAME=MODEL",
        help="instead of --model: several, side by side in one picture",
    )
    embeddings.set_defaults(draw=draw_embeddings)
    confusion = kinds.add_parser("confusion", help=CONFUSION, description=f"Draw {CONFUSION}.", allow_abbrev=False)
    confusion.add_argument("--report", required=True, metavar="FILE", help="what mime-fast evaluate --json wrote")
    confusion.set_defaults(draw=draw_confusion)
    emotions = kinds.add_parser("emotions", help=EMOTIONS, description=f"Draw {EMOTIONS}.", allow_abbrev=False)
    emotions.add_argument(
        "--summary",
        required=True,
        metavar="FILE",
        help="what generate, score or classify --summary wrote, or a job's manifest",
    )
    emotions.set_defaults(draw=draw_emotions)
    for kind in (embeddings, confusion, emotions):
        kind.add_argument("--out", required=True, metavar="FILE", help="picture to write: .png, .svg or .pdf")
        add_force(kind)
        several = "; 3200 for several models" if kind is embeddings else ""
        kind.add_argument("--width", type=int, metavar="N", help=f"pixels of a PNG (default: 1600{several})")


def run(args: Namespace) -> int:
    if args.width is not None:
        check_int("width", args.width, 400, 10_000)

    from mime_fast.evaluation.pictures.figure import WIDTH, check_matplotlib, check_suffix, save_figure

    file_format = check_suffix(args.out)
    check_matplotlib()
    read = [getattr(args, name, None) for name in ("model", "report", "summary")]
    sources = [text.partition("=")[2] for text in getattr(args, "models", None) or ()]
    check_flags(args, ("out",), (*read, *sources), made_by=MADE_BY)
    figure: Figure = args.draw(args)
    with open_output(args.out) as stream:
        width = args.width or round(figure.get_figwidth() / WIDTH) * 1600
        save_figure(figure, stream, file_format, width, picture_mark(MADE_BY))
    return 0


def draw_embeddings(args: Namespace) -> Figure:
    from mime_fast.checkpoints.model_folder import load_model_folder
    from mime_fast.config.model import MimeConfig
    from mime_fast.engine.load import find_model
    from mime_fast.evaluation.pictures.embeddings import describe_separation, draw_embeddings
    from mime_fast.evaluation.systems import check_systems, parse_system

    if args.models is None:
        folders = {printable(Path(find_model(args.model)).resolve().name): find_model(args.model)}
    elif args.model is not None:
        raise ConfigError(f"--model {args.model} and --models: must be one of the two, not both")
    else:
        systems = [parse_system(text, ()) for text in args.models]
        check_systems(systems)
        folders = {system.name: find_model(system.source) for system in systems}
    embeddings = {}
    for name, folder in folders.items():
        weights = load_model_folder(folder).weights
        if not isinstance(weights.config, MimeConfig):
            kind = weights.config.model_type
            raise ConfigError(f"{name} ({folder}) is of type {kind!r} and has no E_E; must be 'mime'")
        embeddings[name] = weights.tensors["emotion_embedding.weight"].astype("float64")
    for name, vectors in embeddings.items():
        print(f"{name}: {describe_separation(vectors)}")
    return draw_embeddings(embeddings)


def draw_confusion(args: Namespace) -> Figure:
    from mime_fast.evaluation.pictures import confusion

    return confusion.draw_confusion(confusion.read_confusion(args.report))


def draw_emotions(args: Namespace) -> Figure:
    from mime_fast.evaluation.pictures import histogram

    return histogram.draw_emotions(histogram.read_emotions(args.summary))


COMMAND = Command(
    "plot",
    "draw the emotion embeddings, the confusion matrix, or the emotions of a corpus",
    EXAMPLE,
    add_arguments,
    run,
)
