"""`mime-fast convert`: a released checkpoint as a model folder."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from mime_fast.cli.command import Command

EXAMPLE = """  mime-fast convert model_checkpoint --vocab dataset_preproc.p mime-released
  mime-fast generate examples/dialogues.jsonl --model mime-released --search mime --no-stochastic

With these two options the folder of a MIME gives the released code's replies.

The file shows whether it is MIME's, or that of a baseline (Multi-TR, MoEL) trained with MoEL's code."""


def add_arguments(parser: ArgumentParser) -> None:
    saved = "file that the code of MIME or MoEL saved, or a safetensors file of its tensors"
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=saved)
    parser.add_argument("out_dir", metavar="OUT_DIR", help="model folder to write")
    parser.add_argument(
        "--vocab",
        required=True,
        metavar="FILE",
        help="its vocabulary: JSON, or the authors' pickle, read without running it",
    )


def run(args: Namespace) -> int:
    from mime_fast.checkpoints.convert import convert

    summary = convert(args.checkpoint, args.vocab, args.out_dir)
    print("\n".join(f"{name:<12}{'no finite number' if value is None else value}" for name, value in summary.items()))
    return 0


COMMAND = Command("convert", "turn a checkpoint of the authors' code into a model folder", EXAMPLE, add_arguments, run)
