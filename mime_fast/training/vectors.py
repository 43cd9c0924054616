"""Word vectors in GloVe's text form: a word, then its numbers, a line each."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mime_fast.errors import DataError


def read_vectors(path: str | os.PathLike[str], words: Sequence[str], size: int) -> dict[str, Tensor]:
    """The vectors of those `words` that the file (.txt or .gz) has, each [size].

    Raises:
        DataError: missing file, or a line without exactly `size` finite numbers; the line is named.
    """
    wanted = set(words)
    found: dict[str, Tensor] = {}
    opener = gzip.open if Path(path).suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                word, _, rest = line.rstrip("\r\n").partition(" ")
                if word in wanted:
                    found[word] = _parse(rest, size, f"{path}, line {number}")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: word vectors cannot be read ({error})") from None
    return found


def initial_embedding(
    words: Sequence[str], vectors: dict[str, Tensor], size: int, generator: torch.Generator
) -> Tensor:
    """Rows for `words` [V, size]: the word's vector, or 0.01 N(0, 1), as in the released code."""
    table = 0.01 * torch.randn(len(words), size, generator=generator)
    for row, word in enumerate(words):
        if word in vectors:
            table[row] = vectors[word]
    return table


def _parse(numbers: str, size: int, where: str) -> Tensor:
    try:
        vector = np.array(numbers.split(" "), dtype=np.float32)
    except ValueError:
        raise DataError(f"{where}: {numbers[:40]!r} are not numbers") from None
    if vector.shape != (size,) or not np.isfinite(vector).all():
        raise DataError(f"{where}: {len(vector)} numbers, {size} finite ones are allowed")
    return torch.from_numpy(vector)
