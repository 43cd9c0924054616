"""Sizes of the plain transformer that the peers run: those of the MIME that it is compared with, but for its layers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

WIDTH = 300
FFN = 150  # as many weights as two convolutions of width 3 over 50 channels
POSITIONS = 1000
LOGIT_DEVIATION = 3.0  # of random models; the best of 24,640 words then has a probability of a few percent


@dataclass(frozen=True)
class Attention:
    """Of every attention of a model."""

    heads: int
    head_dim: int

    @property
    def depth(self) -> int:
        return self.heads * self.head_dim


def attention_of(mime: Path) -> Attention:
    """That of a model folder."""
    config = json.loads((mime / "config.json").read_text("utf-8"))
    return Attention(config["num_heads"], config["attention_depth"] // config["num_heads"])
