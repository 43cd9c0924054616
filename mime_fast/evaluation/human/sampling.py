"""The dialogues of a study: some of each emotion, drawn from a split of EmpatheticDialogues."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.emotions import LABELS
from mime_fast.errors import DataError

FIXED_SPLIT: Literal["valid"] = "valid"  # of the fixed draws; docs/preference.md
FIXED_PER_EMOTION, FIXED_SEED = 4, 20
DRAWS = {"develop": 0, "confirm": 4, "confirm-2": 28, "confirm-3": 32}  # conversations of each emotion that come before


@dataclass(frozen=True)
class Instance:
    """A dialogue that models answer: the labelled emotion of its user, what was said, and what the listener said."""

    id: str  # `pair_id`
    emotion: str
    context: list[str]
    gold: str


def shuffled(items: Iterable[int], seed: int, purpose: str) -> list[int]:
    """Distinct numbers in an order that only `seed` and `purpose` decide, on any machine and Python: by SHA-256."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed}/{purpose}/{item}".encode()).digest())


def draw(pairs: Sequence[Pair], per_emotion: int, seed: int, skip: int = 0) -> list[Instance]:
    """`per_emotion` pairs of each of the 32 emotions, no two of one conversation; all else as for `draw_places`."""
    return [_instance(pairs[place]) for place in draw_places(pairs, per_emotion, seed, skip)]


def draw_fixed(pairs: Sequence[Pair], name: str) -> list[Instance]:
    """One of `DRAWS`, 128 pairs of the validation split each; no conversation is in two of them."""
    return draw(pairs, FIXED_PER_EMOTION, FIXED_SEED, DRAWS[name])


def draw_places(pairs: Sequence[Pair], per_emotion: int, seed: int, skip: int = 0) -> list[int]:
    """The drawn pairs' places, grouped by emotion.

    Args:
        skip: conversations of each emotion, the first that this seed draws, which are passed over.

    Raises:
        DataError: the split has too few conversations of some emotions; all of them are named.
    """
    by_emotion: dict[str, list[int]] = {label: [] for label in LABELS}
    for place in shuffled(range(len(pairs)), seed, "draw"):
        by_emotion[pairs[place].emotion].append(place)
    wanted = skip + per_emotion
    drawn = {label: _first_of_each(pairs, places, wanted) for label, places in by_emotion.items()}
    short = [f"{label} {len(places)}" for label, places in drawn.items() if len(places) < wanted]
    if short:
        asked = f"per_emotion={per_emotion}" + (f" after the first {skip}" if skip else "")
        raise DataError(f"the split has fewer than {asked} conversations of some emotions: {', '.join(short)}")
    return [place for places in drawn.values() for place in places[skip:]]


def pair_id(pair: Pair) -> str:
    """Conversation and number of the response's utterance."""
    return f"{pair.conv_id}/{len(pair.context) + 1}"


def _first_of_each(pairs: Sequence[Pair], places: Iterable[int], count: int) -> list[int]:
    """The first `count` places whose conversations differ."""
    of_conversation: dict[str, int] = {}
    for place in places:
        of_conversation.setdefault(pairs[place].conv_id, place)
    return list(of_conversation.values())[:count]


def _instance(pair: Pair) -> Instance:
    return Instance(pair_id(pair), pair.emotion, pair.context, pair.response)
