"""A file of rated replies, which a reranker learns from: JSON lines, one for each context (docs/training.md)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mime_fast.data.dialogues import is_gap, parse_line
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.errors import DataError, InputError

FIELDS = "pair", "context", "replies", "ratings"
HASH_DIGITS = 12
MOST = 1e6  # a rating's size


@dataclass(frozen=True)
class Rated:
    """Some replies to one training context, and what somebody found each worth: more is better, on any scale."""

    pair: int  # the context's number among the pairs of the train split, from 0
    replies: tuple[str, ...]
    ratings: tuple[float, ...]


def context_hash(pair: Pair) -> str:
    """Twelve hexadecimal digits of the SHA-256 of a context's utterances, which show whether it is the one meant."""
    return hashlib.sha256("\n".join(pair.context).encode()).hexdigest()[:HASH_DIGITS]


def read_ratings(path: str | os.PathLike[str], pairs: Sequence[Pair]) -> list[Rated]:
    """The rated contexts of a file; `pairs` are those of the train split.

    Raises:
        DataError: it cannot be read, has no line, or a line is not of this form or not of these pairs; the line and
            what is wrong are named.
    """
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot be read: {error.strerror or error}") from None
    found: list[Rated] = []
    first: dict[int, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rated = _rated(parse_line(line), pairs)
            if rated.pair in first:
                raise InputError(f"pair={rated.pair} stands in line {first[rated.pair]}, too; must be there once")
        except InputError as error:
            raise DataError(f"{os.fspath(path)}, line {number}: {error}") from None
        first[rated.pair] = number
        found.append(rated)
    if not found:
        raise DataError(f"{os.fspath(path)}: no line; one or more rated contexts are expected")
    return found


def _rated(values: dict[str, object], pairs: Sequence[Pair]) -> Rated:
    odd = sorted(set(FIELDS) ^ values.keys())
    if odd:
        raise InputError(f"keys {', '.join(map(repr, values)) or 'none'}; {', '.join(FIELDS)} are expected")
    number, replies, ratings = values["pair"], values["replies"], values["ratings"]
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(pairs):
        raise InputError(
            f"pair={number!r:.40}: must be an integer from 0 to {len(pairs) - 1}, a pair of the train split"
        )
    if values["context"] != context_hash(pairs[number]):
        raise InputError(
            f"context={values['context']!r:.40}: pair {number} of this data has {context_hash(pairs[number])}; "
            "the ratings are of other data"
        )
    if (
        not isinstance(replies, list)
        or not replies
        or not all(isinstance(each, str) and each.strip() for each in replies)
    ):
        raise InputError(f"replies={replies!r:.60}: must be a list of texts, each with words")
    if len(set(replies)) < len(replies):
        raise InputError(f"replies={replies!r:.60}: each must be there once")
    if not isinstance(ratings, list) or len(ratings) != len(replies):
        raise InputError(f"ratings={ratings!r:.60}: must be a list of {len(replies)} numbers, one for each reply")
    for rating in ratings:
        is_number = isinstance(rating, int | float) and not isinstance(rating, bool) and not is_gap(rating)
        if not is_number or abs(rating) > MOST:
            raise InputError(f"ratings={ratings!r:.60}: {rating!r:.40} must be a number from {-MOST:g} to {MOST:g}")
    return Rated(number, tuple(replies), tuple(map(float, ratings)))
