"""The dialogues of a study: some of each emotion, drawn from a split of EmpatheticDialogues."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.emotions import LABELS
from mime_fast.errors import DataError


@dataclass(frozen=True)
class Instance:
    """A dialogue that models answer: the labelled emotion of its user, what was said, and what the listener said."""

    id: str  # `pair_id`
    emotion: str
    context: list[str]
    gold: str


def shuffled(items: Iterable[int], seed: int, purpose: str) -> list[int]:
    """Distinct numbers in an order that `seed` and `purpose` alone decide, on any machine and Python: by SHA-256."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed}/{purpose}/{item}".encode()).digest())


def draw(pairs: Sequence[Pair], per_emotion: int, seed: int) -> list[Instance]:
    """`per_emotion` pairs of each of the 32 emotions, no two of one conversation; errors as for `draw_places`."""
    return [_instance(pairs[place]) for place in draw_places(pairs, per_emotion, seed)]


def draw_places(pairs: Sequence[Pair], per_emotion: int, seed: int) -> list[int]:
    """The drawn pairs' places, grouped by emotion.

    Raises:
        DataError: the split has too few conversations of some emotions; all of them are named.
    """
    by_emotion: dict[str, list[int]] = {label: [] for label in LABELS}
    for place in shuffled(range(len(pairs)), seed, "draw"):
        by_emotion[pairs[place].emotion].append(place)
    drawn = {label: _first_of_each(pairs, places, per_emotion) for label, places in by_emotion.items()}
    short = [f"{label} {len(places)}" for label, places in drawn.items() if len(places) < per_emotion]
    if short:
        raise DataError(
            f"the split has fewer than per_emotion={per_emotion} conversations of some emotions: {', '.join(short)}"
        )
    return [place for places in drawn.values() for place in places]


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
