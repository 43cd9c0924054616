"""The design of a study: what is judged, by whom, in which order, under which blind ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from mime_fast.config.checks import check_int
from mime_fast.errors import ConfigError
from mime_fast.evaluation.human.criteria import Kind
from mime_fast.evaluation.human.sampling import Instance, shuffled

KINDS: tuple[Kind, ...] = get_args(Kind)
MOST_ANNOTATORS = 99


@dataclass(frozen=True)
class Rated:
    """A reply to rate; models that said the same share it."""

    instance: int
    models: tuple[str, ...]


@dataclass(frozen=True)
class Compared:
    """Two replies to compare."""

    instance: int
    first: str
    second: str


@dataclass(frozen=True)
class SheetRow:
    """A row of a sheet: its blind id, the place of what it asks about, and whether A and B changed sides."""

    id: str
    item: int  # in `Study.ratings` or `Study.comparisons`
    swapped: bool = False  # A is `second`


@dataclass(frozen=True)
class Study:
    """Everything about a study but the answers.

    `sheets` has the rows of each annotator, from 1, in the order shown; the sheet of annotator `annotators` + 1 lists
    all comparisons and is used only for those on which the others do not agree. `same` are pairs of equal replies:
    ties that nobody is asked about.
    """

    tag: str
    seed: int
    split: str
    annotators: int
    systems: dict[str, dict[str, Any]]  # by name: source and options, for the record
    instances: list[Instance]
    replies: dict[str, list[str]]  # by name, one an instance
    ratings: list[Rated]
    comparisons: list[Compared]
    same: list[Compared]
    sheets: dict[tuple[Kind, int], list[SheetRow]]
    draw: str | None = None  # which of the fixed draws (`sampling.DRAWS`), if any

    def reply(self, model: str, instance: int) -> str:
        return self.replies[model][instance]

    @property
    def rated_models(self) -> list[str]:
        """In the order of `systems`."""
        named = {name for item in self.ratings for name in item.models}
        return [name for name in self.systems if name in named]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs of models that are compared, in order."""
        return list(dict.fromkeys((item.first, item.second) for item in (*self.comparisons, *self.same)))

    @property
    def in_several_pairs(self) -> list[str]:
        """The models of two pairs or more: what is there twice in a dialogue's comparisons is such a model's reply."""
        named = [name for pair in self.pairs for name in pair]
        return [name for name in self.systems if named.count(name) > 1]


def make_study(
    instances: Sequence[Instance],
    replies: Mapping[str, Sequence[str]],
    *,
    rated: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    annotators: int = 3,
    seed: int = 0,
    split: str = "test",
    draw: str | None = None,
    systems: Mapping[str, Mapping[str, Any]] | None = None,
) -> Study:
    """Blind, shuffle and number what annotators get; a function only of its arguments.

    Nothing that annotators see depends on the models' names. Every annotator has an order and sides of his own, and in
    each pair of models either one is on side A for half of the items. Orders and sides follow from the seed and from
    which model said what, so that nobody finds them by guessing the seed.

    Args:
        rated: models whose replies are rated; pairs: models to compare. At least one of the two must ask something.
        systems: what the names stand for, for the key.

    Raises:
        ConfigError: an unknown model, a pair of one model or given twice, nothing to ask, or a bad number.
    """
    check_int("annotators", annotators, 1, MOST_ANNOTATORS)
    check_design(list(replies), rated, pairs)
    ratings = [item for place in range(len(instances)) for item in _distinct(place, rated, replies)]
    compared = [Compared(place, *pair) for pair in pairs for place in range(len(instances))]
    same = [item for item in compared if _equal(item, replies)]
    comparisons = [item for item in compared if not _equal(item, replies)]
    tag, secret = _tag(instances, replies, seed), _secret(replies)
    sheets: dict[tuple[Kind, int], list[SheetRow]] = {}
    for annotator in range(1, annotators + 1):
        sheets["ratings", annotator] = _rating_rows(ratings, tag, seed, annotator, secret)
    for annotator in range(1, annotators + 2):
        sheets["ab", annotator] = _comparison_rows(comparisons, tag, seed, annotator, secret)
    return Study(
        tag=tag,
        seed=seed,
        split=split,
        annotators=annotators,
        systems={name: dict((systems or {}).get(name, {})) for name in replies},
        instances=list(instances),
        replies={name: list(texts) for name, texts in replies.items()},
        ratings=ratings,
        comparisons=comparisons,
        same=same,
        sheets=sheets,
        draw=draw,
    )


def check_design(models: Sequence[str], rated: Sequence[str], pairs: Sequence[tuple[str, str]]) -> None:
    """ConfigError: an unknown model, one named twice, a pair of one model, a pair given twice, or nothing to ask."""
    for name in (*rated, *(name for pair in pairs for name in pair)):
        if name not in models:
            raise ConfigError(f"no model is named {name!r}; the models are {', '.join(map(repr, models))}")
    unordered = [frozenset(pair) for pair in pairs]
    for (first, second), pair in zip(pairs, unordered, strict=True):
        if first == second or unordered.count(pair) > 1:
            fault = "compares a model with itself" if first == second else "is given twice"
            raise ConfigError(f"the pair {first}:{second} {fault}; must be two different models, given once")
    if len(set(rated)) < len(rated):
        raise ConfigError(f"a model to rate is named twice: {', '.join(rated)}")
    if not rated and not pairs:
        raise ConfigError("nothing to ask: no model to rate and no pair to compare")


def _distinct(place: int, rated: Sequence[str], replies: Mapping[str, Sequence[str]]) -> list[Rated]:
    """One instance's replies, equal ones once; by text, so that the order of the models has no part in it."""
    texts = sorted({replies[name][place] for name in rated})
    return [Rated(place, tuple(name for name in rated if replies[name][place] == text)) for text in texts]


def _equal(item: Compared, replies: Mapping[str, Sequence[str]]) -> bool:
    return replies[item.first][item.instance] == replies[item.second][item.instance]


def _tag(instances: Sequence[Instance], replies: Mapping[str, Sequence[str]], seed: int) -> str:
    """Six letters that distinguish one study's items from another's; they depend on no model's name."""
    texts = [sorted(said[place] for said in replies.values()) for place in range(len(instances))]
    content = json.dumps([seed, [instance.id for instance in instances], texts])
    number = int.from_bytes(hashlib.sha256(content.encode()).digest()[:8])
    return "".join("bcdfghjkmnpqrstvwxyz"[number // 20**place % 20] for place in range(6))


def _secret(replies: Mapping[str, Sequence[str]]) -> str:
    """What only those know who know which model said what; it depends neither on names nor on their order."""
    return hashlib.sha256(json.dumps(sorted(map(list, replies.values()))).encode()).hexdigest()


def _rating_rows(ratings: Sequence[Rated], tag: str, seed: int, annotator: int, secret: str) -> list[SheetRow]:
    order = shuffled(range(len(ratings)), seed, f"ratings/{annotator}/{secret}")
    return [SheetRow(f"{tag}-r{annotator}-{number:03}", item) for number, item in enumerate(order, start=1)]


def _comparison_rows(
    comparisons: Sequence[Compared], tag: str, seed: int, annotator: int, secret: str
) -> list[SheetRow]:
    swapped: set[int] = set()
    for pair in dict.fromkeys((item.first, item.second) for item in comparisons):
        places = [place for place, item in enumerate(comparisons) if (item.first, item.second) == pair]
        sides = shuffled(places, seed, f"sides/{annotator}/{secret}")
        swapped.update(sides[: (len(sides) + annotator % 2) // 2])
    order = shuffled(range(len(comparisons)), seed, f"ab/{annotator}/{secret}")
    return [
        SheetRow(f"{tag}-c{annotator}-{number:03}", item, item in swapped) for number, item in enumerate(order, start=1)
    ]
