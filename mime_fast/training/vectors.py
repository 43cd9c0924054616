"""Word vectors as text: a word, then its numbers, per line (GloVe; word2vec and fastText with a line of counts)."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import IO

import numpy as np
import torch
from torch import Tensor

from mime_fast.errors import DataError
from mime_fast.files import Path_

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"  # how their files begin


def read_vectors(path: Path_, words: Sequence[str], size: int) -> dict[str, Tensor]:
    """The vectors of those `words` that the file has, each [size].

    The last `size` fields of a line are the numbers, what is before them the word, which may contain blanks (GloVe 840B
    has ". . ." and "at name@domain.com"). Fields are parted by blanks or tabs; gzip is known by its first bytes.

    Raises:
        DataError: the file cannot be read, a word's numbers are not `size` finite ones (the line is named), or it has
            none of the words.
    """
    try:
        with _open(path) as lines:
            found = _find(lines, set(words), size, os.fspath(path))
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        raise DataError(f"{path}: word vectors cannot be read ({error})") from None
    if not found:
        raise DataError(
            f"{path}: a vector of none of the {len(words):,} words; a word and {size} numbers per line are expected"
        )
    return found


def initial_embedding(
    words: Sequence[str], vectors: Mapping[str, Tensor], size: int, generator: torch.Generator
) -> Tensor:
    """Rows for `words` [V, size]: the word's vector, or 0.01 N(0, 1), as in the released code."""
    table = 0.01 * torch.randn(len(words), size, generator=generator)
    for row, word in enumerate(words):
        if word in vectors:
            table[row] = vectors[word]
    return table


def _open(path: Path_) -> IO[str]:
    with open(path, "rb") as stream:
        first = stream.read(4)
    if first == ZIP:
        raise DataError(f"{path}: a zip archive; must be a text file or a gzip of one")
    opener = gzip.open if first.startswith(GZIP) else open
    return opener(path, "rt", encoding="utf-8-sig", errors="replace", newline="\n")


def _find(lines: Iterable[str], wanted: set[str], size: int, name: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for number, line in enumerate(lines, 1):
        word = line.partition(" ")[0].partition("\t")[0].rstrip("\r\n")
        if word not in wanted or (number == 1 and _is_count(line)):
            continue
        fields = line.replace("\t", " ").split(" ")
        numbers = [field for field in (each.strip("\r\n") for each in fields) if field][1:]
        if len(numbers) > size and not all(map(_is_number, numbers[:-size])):
            continue  # a word with blanks
        found[word] = _parse(numbers, size, f"{name}, line {number}")
    return found


def _is_count(line: str) -> bool:
    """Whether a line is word2vec's first one: how many vectors there are, and of how many numbers."""
    fields = line.split()
    return len(fields) == 2 and all(field.isdecimal() for field in fields)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parse(numbers: Sequence[str], size: int, where: str) -> Tensor:
    try:
        vector = np.array(numbers, dtype=np.float32)
    except ValueError:
        raise DataError(f"{where}: {' '.join(numbers)[:40]!r} are not numbers") from None
    if vector.shape != (size,) or not np.isfinite(vector).all():
        raise DataError(f"{where}: {len(vector)} numbers; must be {size} finite ones")
    return torch.from_numpy(vector)
