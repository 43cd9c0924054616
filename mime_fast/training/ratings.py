"""A file of rated replies, which a reranker learns from: JSON lines, one for each context (docs/training.md)."""

from __future__ import annotations

import codecs
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mime_fast.data.dialogue_checks import check_utterance
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.errors import DataError, InputError
from mime_fast.text.tokenizer import Tokenizer

RATINGS = "ratings"  # among the inputs of a run
FIELDS = "pair", "context", "replies", "ratings"
HASH_DIGITS = 12
MOST = 1e6  # a rating's size
MOST_WORDS = 999  # of a reply


@dataclass(frozen=True)
class Rated:
    """Some replies to one training context, and what somebody found each worth: more is better, on any scale."""

    pair: int  # the context's number among the pairs of the train split, from 0
    replies: tuple[str, ...]
    ratings: tuple[float, ...]


def context_hash(pair: Pair) -> str:
    """Twelve hexadecimal digits of the SHA-256 of a context's utterances, which show whether it is the one meant."""
    return hashlib.sha256("\n".join(pair.context).encode()).hexdigest()[:HASH_DIGITS]


def read_ratings(
    path: str | os.PathLike[str], pairs: Sequence[Pair], most_words: int = MOST_WORDS, *, to_learn: bool = True
) -> list[Rated]:
    """The rated contexts of a file, UTF-8 with or without a byte order mark.

    Args:
        pairs: those of the train split.
        most_words: of a reply that the model can score.
        to_learn: refuse what teaches nothing: no two replies to a context with different ratings.

    Raises:
        DataError: it cannot be read, teaches nothing, or a line is not of this form or not of these pairs; the line and
            what is wrong are named.
    """
    try:
        lines = Path(path).read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n")
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot be read: {error.strerror or error}") from None
    tokenizer = Tokenizer.from_words([], typography=True)
    found: list[Rated] = []
    first: dict[int, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rated = _rated(_values(line), pairs)
            _check_replies(rated.replies, tokenizer, most_words)
            if rated.pair in first:
                raise InputError(f"pair={rated.pair} is in line {first[rated.pair]}, too; must be there once")
        except InputError as error:
            raise DataError(f"{os.fspath(path)}, line {number}: {error}") from None
        first[rated.pair] = number
        found.append(rated)
    if to_learn and not any(len(set(rated.ratings)) > 1 for rated in found):
        raise DataError(
            f"{os.fspath(path)}: {len(found)} rated contexts, no two replies to one of them with different ratings; "
            "nothing can be learnt from that"
        )
    return found


def _values(line: bytes) -> dict[str, object]:
    try:
        values = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 ({error.reason} at byte {error.start})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON ({error}); an object with {', '.join(FIELDS)} is expected") from None
    if not isinstance(values, dict):
        raise InputError(f"JSON of type {type(values).__name__}; an object with {', '.join(FIELDS)} is expected")
    return values


def _check_replies(replies: Sequence[str], tokenizer: Tokenizer, most_words: int) -> None:
    for reply in replies:
        check_utterance(reply, f"reply {reply[:40]!r}")
        words = len(tokenizer.tokenize(reply))
        if not 0 < words <= most_words:
            raise InputError(f"reply {reply[:40]!r} has {words} words; must have 1 to {most_words}")


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
    if not isinstance(replies, list) or not replies or not all(isinstance(each, str) for each in replies):
        raise InputError(f"replies={replies!r:.60}: must be a list of texts")
    if len(set(replies)) < len(replies):
        raise InputError(f"replies={replies!r:.60}: each must be there once")
    if not isinstance(ratings, list) or len(ratings) != len(replies):
        raise InputError(f"ratings={ratings!r:.60}: must be a list of {len(replies)} numbers, one for each reply")
    for rating in ratings:
        is_number = isinstance(rating, int | float) and not isinstance(rating, bool)
        if not is_number or not abs(rating) <= MOST:
            raise InputError(f"ratings={ratings!r:.60}: {rating!r:.40} must be a number from {-MOST:g} to {MOST:g}")
    return Rated(number, tuple(replies), tuple(map(float, ratings)))
