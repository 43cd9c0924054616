"""Copy a trained model folder into the package with 16-bit weights: python tools/ship_weights.py RUN NAME."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from mime_fast.checkpoints.model_folder import load_model_folder, save_model_folder

PRETRAINED = Path(__file__).resolve().parent.parent / "mime_fast" / "pretrained"


def main(run: str, name: str) -> None:
    folder = load_model_folder(run)
    shipped = PRETRAINED / name
    save_model_folder(
        shipped, folder.model, folder.tokenizer, folder.generation, torch.float16, reranker=folder.reranker
    )
    size = sum(file.stat().st_size for file in shipped.iterdir())
    print(f"{shipped}: {folder.model.num_parameters():,} parameters, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
