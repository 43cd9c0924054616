"""Several models side by side on the same pairs: the figures of the paper's tables as far as no people are needed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mime_fast.checkpoints.shapes import num_parameters
from mime_fast.config.checks import check_int
from mime_fast.config.model import MimeConfig
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.emotions import POSITIVE_IDS, emotion_index
from mime_fast.engine.engine import Engine
from mime_fast.evaluation import paper
from mime_fast.evaluation.evaluate import check_measuring, versions
from mime_fast.evaluation.measured import SEEDS, GoldOrPredicted, Measured
from mime_fast.evaluation.metrics.metric import BY_KEY, OF_SEVERAL, Figures, check_groups, compute
from mime_fast.evaluation.pair_checks import pairs_of
from mime_fast.evaluation.searches import Search
from mime_fast.evaluation.systems import LOAD_OPTIONS, System, check_systems, systems_of

SYSTEM_OPTIONS = (*LOAD_OPTIONS, "stochastic")  # the tables' searches and seeds are the same for all models
OVER_SEEDS = ("bleu_beam", "ppl")  # of Table 5
SEARCHED: tuple[Search, ...] = ("greedy", "beam", "long")
MAX_SEEDS = 1000


@dataclass(frozen=True)
class Spread:
    """A figure over the noise seeds."""

    mean: float
    deviation: float | None  # the sample's; None of one value
    values: list[float]


@dataclass(frozen=True)
class MeasuredModel:
    """One model's part of a `Comparison`.

    Attributes:
        figures: by group of the pairs' labels ("all", "positive", "negative"), with the first seed.
        over_seeds: by key of `OVER_SEEDS`; None where a figure was not asked for or is not finite.
        searches: the options of the plain searches in full.
    """

    name: str
    source: str
    options: dict[str, Any]
    parameters: int
    vocab_size: int
    emotion_mimicry: bool | None
    emotion_grouping: bool | None
    noise: bool
    seeds: list[int]
    figures: dict[str, Figures]
    over_seeds: dict[str, Spread | None]
    searches: dict[Search, dict[str, Any]]
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """What `compare` found."""

    n: int
    groups: dict[str, int]  # how many pairs have a positive and a negative label
    models: list[MeasuredModel]
    options: dict[str, Any]
    split: str | None = None
    versions: dict[str, str] = field(default_factory=versions)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with the paper's own figures."""
        found = asdict(self)
        if self.split is None:
            del found["split"]
        return found | {"paper": paper.to_dict()}


def compare(
    systems: Iterable[System],
    pairs: Iterable[Pair],
    *,
    split: str | None = None,
    metrics: Iterable[str] | None = None,
    noise_seeds: int = 5,
    polarity: GoldOrPredicted = "gold",
    seed: int = 0,
    batch_size: int = 64,
    load_options: dict[str, Any] | None = None,
    show_progress: bool = False,
    tell: Callable[[str], object] = lambda _: None,
) -> Comparison:
    """Figures of each model on the pairs; one model is in memory at a time.

    Args:
        split: which one the pairs are of, for the tables.
        metrics: some of `OF_SEVERAL`; None for all.
        noise_seeds: how many seeds, from `seed` on, Table 5's means are over; a model without noise has one.
        polarity, seed, batch_size, show_progress: as for `evaluate`; all tables but Table 5 are of `seed`.
        load_options: of `mime_fast.load`, for models without their own.
        tell: is called with a line on each model before it is loaded.

    Raises:
        ConfigError: something else than systems, an unknown metric or polarity, a number out of range, a name twice, an
            option that is not allowed.
        CheckpointError: no such model, or a broken one.
        BackendError: what a model is to be loaded with cannot run here.
        InputError: no pairs, or one that a model cannot read; the message names the pair.
    """
    groups = check_groups(metrics, OF_SEVERAL)
    seed, batch_size = check_measuring(polarity, seed, batch_size)
    check_int("noise_seeds", noise_seeds, 1, MAX_SEEDS)
    noise_seeds, pairs = int(noise_seeds), pairs_of(pairs)
    systems = systems_of(systems)
    check_systems(systems, SYSTEM_OPTIONS, load_options=load_options)
    models = []
    for system in systems:
        tell(f"{system.name}: {system.source}")
        models.append(
            measure(
                system.load(**(load_options or {})),
                pairs,
                system,
                groups=groups,
                seeds=[(seed + i) % SEEDS for i in range(noise_seeds)],
                polarity=polarity,
                batch_size=batch_size,
                show_progress=show_progress,
            )
        )
    options = {"metrics": groups, "polarity": polarity, "seed": seed, "noise_seeds": noise_seeds}
    positive = sum(emotion_index(pair.emotion) in POSITIVE_IDS for pair in pairs)
    sizes = {"positive": positive, "negative": len(pairs) - positive}
    return Comparison(len(pairs), sizes, models, options | {"batch_size": batch_size}, split)


def measure(
    engine: Engine,
    pairs: Sequence[Pair],
    system: System,
    *,
    groups: Sequence[str],
    seeds: Sequence[int],
    polarity: GoldOrPredicted = "gold",
    batch_size: int = 64,
    show_progress: bool = False,
) -> MeasuredModel:
    """One model's part of `compare`, by checked options."""
    began = time.perf_counter()
    stochastic = system.options.get("stochastic", True)
    measured = Measured(
        engine,
        pairs,
        batch_size=batch_size,
        polarity=polarity,
        stochastic=stochastic,
        name=system.name,
        show_progress=show_progress,
    )
    config = engine.config
    noise = stochastic and config.noise_groups > 0
    used = list(seeds) if noise else [seeds[0]]
    return MeasuredModel(
        name=system.name,
        source=system.source,
        options=dict(system.options),
        parameters=num_parameters(config),
        vocab_size=config.vocab_size,
        emotion_mimicry=config.emotion_mimicry if isinstance(config, MimeConfig) else None,
        emotion_grouping=config.emotion_grouping if isinstance(config, MimeConfig) else None,
        noise=noise,
        seeds=used,
        figures={group: compute(measured.part(used[0], group, "beam"), groups) for group in measured.groups},
        over_seeds={key: spread(measured, key, used) if BY_KEY[key].group in groups else None for key in OVER_SEEDS},
        searches={search: measured.options(search).to_dict() for search in SEARCHED},
        seconds=time.perf_counter() - began,
    )


def spread(measured: Measured, key: str, seeds: Sequence[int]) -> Spread | None:
    """A figure of all pairs over the seeds; None where it is not finite for one of them."""
    metric = BY_KEY[key]
    found = [compute(measured.part(seed), [metric.group])[key] for seed in seeds]
    values = [value for value in found if value is not None]
    if len(values) < len(found):
        return None
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, values)
