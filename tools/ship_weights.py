"""Copy a trained model folder into the package with 16-bit weights, in place of a model of that name.

    python tools/ship_weights.py runs/mime-ed mime-ed

README.md and LICENSE, which a shipped model must have, are left as they are; what is missing is named.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from mime_fast.checkpoints.model_folder import load_model_folder, save_model_folder
from mime_fast.errors import MimeFastError

PRETRAINED = Path(__file__).resolve().parent.parent / "mime_fast" / "pretrained"
BESIDE = "README.md", "LICENSE"


def ship(run: str, name: str) -> str:
    """What was written, and what is missing beside it.

    Raises:
        CheckpointError, OutputError: the run cannot be read, or the files cannot be written.
    """
    folder = load_model_folder(run)
    shipped = PRETRAINED / name
    taken = "in place of the one before" if (shipped / "config.json").exists() else "new"
    save_model_folder(
        shipped, folder.model, folder.tokenizer, folder.generation, torch.float16, reranker=folder.reranker
    )
    size = sum(file.stat().st_size for file in shipped.iterdir())
    said = f"{shipped}: {folder.model.num_parameters():,} parameters, {size / 1e6:.1f} MB, {taken}"
    missing = [each for each in BESIDE if not (shipped / each).is_file()]
    return said + (f"\nmust be written beside them: {', '.join(missing)}" if missing else "")


def plain_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a plain name (letters, digits, '.', '_', '-'), no path")
    return text


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a trained model's folder")
    parser.add_argument("name", type=plain_name, help="what `load` is to call it")
    given = parser.parse_args(arguments)
    try:
        print(ship(given.run, given.name))
    except MimeFastError as error:
        sys.exit(f"ship_weights: {error}")


if __name__ == "__main__":
    main()
