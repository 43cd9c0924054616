"""The one table of figures: key, group, title, how it is written, which direction is better, how it is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mime_fast.engine.records import finite
from mime_fast.errors import ConfigError
from mime_fast.evaluation.metrics.bleu import corpus_bleu
from mime_fast.evaluation.metrics.diversity import Diversity, changed_share
from mime_fast.evaluation.searches import Search

if TYPE_CHECKING:
    from mime_fast.evaluation.metrics.likelihood import Likelihood

Figures = dict[str, float | None]  # by key, with the number of pairs `n`; None: not asked for, or no finite number
Tokens = Sequence[Sequence[str]]


class Part(Protocol):
    """What a figure is computed from: what a model makes of some pairs with one seed, made when it is asked for."""

    @property
    def n(self) -> int: ...

    @property
    def references(self) -> Tokens: ...

    @property
    def varied(self) -> Search:
        """The search whose replies the group `diversity` is of."""

    def likelihood(self) -> Likelihood: ...

    def replies(self, search: Search, *, next_seed: bool = False) -> Tokens: ...

    def diversity(self, search: Search) -> Diversity: ...


def number(value: float) -> str:
    return f"{value:.2f}"


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def fine_percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def count(value: float) -> str:
    return f"{value:,.0f}"


@dataclass(frozen=True)
class Metric:
    """One figure. `group` is asked for by name; `better` is 1 where more is better, -1 where less is, else 0."""

    key: str
    group: str
    title: str
    form: Callable[[float], str]
    better: int
    compute: Callable[[Part], float]


def _bleu(part: Part, search: Search) -> float:
    return corpus_bleu(part.replies(search), part.references)


def _greedy(part: Part) -> Diversity:
    return part.diversity("greedy")


def _varied(part: Part) -> Diversity:
    return part.diversity(part.varied)


def _seed_effect(part: Part) -> float:
    return changed_share(part.replies("default"), part.replies("default", next_seed=True))


METRICS: tuple[Metric, ...] = (  # docs/evaluation.md says what each of them means
    Metric("ppl", "likelihood", "PPL", number, -1, lambda of: of.likelihood().ppl),
    Metric("ppl_unk_free", "likelihood", "PPL, unknown free", number, -1, lambda of: of.likelihood().ppl_unk_free),
    Metric("top1", "likelihood", "top-1", percent, 1, lambda of: of.likelihood().top1),
    Metric("top2", "likelihood", "top-2", percent, 1, lambda of: of.likelihood().top2),
    Metric("top5", "likelihood", "top-5", percent, 1, lambda of: of.likelihood().top5),
    Metric("polarity_accuracy", "likelihood", "polarity", percent, 1, lambda of: of.likelihood().polarity_accuracy),
    Metric("bleu_greedy", "bleu_greedy", "BLEU greedy", number, 1, lambda of: _bleu(of, "greedy")),
    Metric("bleu_beam", "bleu_beam", "BLEU beam 5", number, 1, lambda of: _bleu(of, "beam")),
    Metric("bleu_long", "bleu_long", "BLEU long beam 5", number, 1, lambda of: _bleu(of, "long")),
    Metric("greedy_dist1", "greedy_dist", "Dist-1 greedy", fine_percent, 1, lambda of: _greedy(of).distinct1),
    Metric("greedy_dist2", "greedy_dist", "Dist-2 greedy", fine_percent, 1, lambda of: _greedy(of).distinct2),
    Metric("distinct1", "diversity", "distinct-1", percent, 1, lambda of: _varied(of).distinct1),
    Metric("distinct2", "diversity", "distinct-2", percent, 1, lambda of: _varied(of).distinct2),
    Metric("distinct_replies", "diversity", "distinct replies", percent, 1, lambda of: _varied(of).distinct_replies),
    Metric("word_types", "diversity", "word types", count, 1, lambda of: _varied(of).word_types),
    Metric("frequent", "diversity", "10 commonest sentences", percent, -1, lambda of: _varied(of).frequent),
    Metric("repeats", "diversity", "replies that repeat", percent, -1, lambda of: _varied(of).repeats),
    Metric("mean_length", "diversity", "mean length", number, 0, lambda of: _varied(of).mean_length),
    Metric("seed_effect", "seed_effect", "changed by another seed", percent, 0, _seed_effect),
)
BY_KEY = {metric.key: metric for metric in METRICS}
KEYS = tuple(BY_KEY)
GROUPS = tuple(dict.fromkeys(metric.group for metric in METRICS))
OF_SEVERAL = tuple(group for group in GROUPS if group != "seed_effect")  # what tables of several models have


def compute(part: Part, groups: Collection[str]) -> Figures:
    """`n` and every figure; None where its group is not wanted, the part has no pairs, or it is not finite."""
    found: Figures = {"n": part.n}
    for metric in METRICS:
        value = metric.compute(part) if part.n and metric.group in groups else math.nan
        found[metric.key] = finite(value)
    return found


def check_groups(wanted: Iterable[str] | None, allowed: Sequence[str] = GROUPS) -> list[str]:
    """The groups to compute, in the table's order; None is all that are allowed.

    Raises:
        ConfigError: an unknown group, an empty list, or a text in place of a list.
    """
    names = ", ".join(allowed)
    if isinstance(wanted, str) or not isinstance(wanted, Iterable | None):
        raise ConfigError(f"metrics={wanted!r}: must be a list of some of {names}")
    asked = None if wanted is None else list(wanted)
    unknown = [repr(group) for group in asked or () if group not in allowed]
    if unknown or asked == []:
        several = " for several models" if set(allowed) < set(GROUPS) else ""
        raise ConfigError(f"metrics: {', '.join(unknown) or 'an empty list'}; must be some of {names}{several}")
    return [group for group in allowed if asked is None or group in asked]
