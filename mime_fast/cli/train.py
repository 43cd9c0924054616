"""`mime-fast train`: weights from a recipe and EmpatheticDialogues."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from mime_fast.cli.command import Command, note, offer
from mime_fast.cli.options import DEVICES, seed
from mime_fast.cli.reading_options import add_data_options, data_reading_of
from mime_fast.config.checks import check_int

MODEL_TYPES = ("mime", "multi-tr", "moel")  # those of config.model

EXAMPLE = """  mime-fast train --recipe recipes/mime-ed.toml --ratings recipes/ratings/mime-ed.jsonl \\
      --data empatheticdialogues.tar.gz --vectors vectors.txt.gz --out run
  mime-fast train --recipe recipes/tables/mime.toml --model multi-tr --data empatheticdialogues.tar.gz --out baseline

OUT becomes a model folder with the best weights so far, metrics.jsonl and the state to go on from: a run that was
stopped goes on when it is started again with the same arguments. Stages before the last are in OUT/stage-1, ..."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--model", choices=MODEL_TYPES, dest="model_type", help="kind of model to train instead of the recipe's"
    )
    parser.add_argument("--recipe", required=True, metavar="FILE", help="TOML file with every choice of the run")
    add_data_options(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="model folder to write")
    parser.add_argument(
        "--vectors",
        metavar="PATH",
        help="word vectors to start from: text as GloVe, word2vec or fastText write it, or a gzip of it",
    )
    parser.add_argument(
        "--sentence-encoder",
        metavar="DIR",
        help="folder of the BERT model that a recipe's sentence_teacher_steps tune (default: the installed MiniLM)",
    )
    parser.add_argument(
        "--ratings", metavar="FILE", help="JSON lines of rated replies, which a recipe's rating_epochs learn from"
    )
    device = parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    offer(device, lambda: DEVICES)
    parser.add_argument(
        "--threads", type=int, metavar="N", help="CPU threads (default: OMP_NUM_THREADS, or all cores that may be used)"
    )
    parser.add_argument("--max-steps", type=int, metavar="N", help="instead of the recipe's; 0: no limit")
    parser.add_argument("--seed", type=seed, metavar="N", help="instead of the recipe's")


def run(args: Namespace) -> int:
    from mime_fast.backends.threads import MOST_THREADS, default_threads

    if args.threads is not None:
        check_int("threads", args.threads, 1, MOST_THREADS)

    import torch

    from mime_fast.training.recipe import read_recipe
    from mime_fast.training.run import train

    given = {name: getattr(args, name) for name in ("model_type", "max_steps", "seed")}
    changes = {name: value for name, value in given.items() if value is not None}
    stages = [stage.replace(**changes) for stage in read_recipe(args.recipe)]
    torch.set_num_threads(args.threads or default_threads())
    progress = train(
        stages,
        args.data,
        args.out,
        vectors=args.vectors,
        sentence_encoder=args.sentence_encoder,
        ratings=args.ratings,
        reading=data_reading_of(args),
        device=args.device,
        show_progress=not args.quiet,
    )
    why = "no better for a while" if progress.stopped else "all steps done"
    note(
        args,
        f"{why}: step {progress.step}, best validation PPL {progress.best_ppl:.2f}, "
        f"{progress.seconds:.0f} s of training; {args.out} is the model",
    )
    return 0


COMMAND = Command("train", "train a model by a recipe; goes on where a stopped run was", EXAMPLE, add_arguments, run)
