"""Several models side by side on the same pairs: the figures of the paper's tables as far as no people are needed."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from typing import Any, get_args

import torch

from mime_fast._version import __version__
from mime_fast.config.checks import check_bool, check_int
from mime_fast.config.model import MimeConfig
from mime_fast.data.batches import length_order, make_examples
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.emotions import POSITIVE
from mime_fast.engine.engine import Engine
from mime_fast.errors import ConfigError
from mime_fast.evaluation.outputs import figures, make_outputs, over_seeds
from mime_fast.evaluation.paper import PAPER
from mime_fast.evaluation.replies import BEAM, GREEDY, Replies
from mime_fast.evaluation.report import SEEDS, GoldOrPredicted, check_pairs
from mime_fast.evaluation.systems import LOAD_OPTIONS, System, check_systems

METRICS = ("likelihood", "bleu_greedy", "bleu_beam", "diversity")
SYSTEM_OPTIONS = (*LOAD_OPTIONS, "stochastic")  # the tables' searches and seeds are the same for all models
MAX_SEEDS = 1000


def compare(
    systems: Sequence[System],
    pairs: Sequence[Pair],
    *,
    metrics: Sequence[str] | None = None,
    noise_seeds: int = 5,
    polarity: GoldOrPredicted = "gold",
    seed: int = 0,
    batch_size: int = 64,
    load_options: dict[str, Any] | None = None,
    show_progress: bool = False,
    tell: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:
    """Figures of each model on the pairs, JSON-ready; one model is in memory at a time.

    Args:
        metrics: some of `METRICS`; None for all.
        noise_seeds: how many seeds, from `seed` on, Table 5's means are over; a model without noise has one.
        polarity, seed, batch_size, show_progress: as for `evaluate`; all tables but Table 5 are of `seed`.
        load_options: of `mime_fast.load`, for models without their own.
        tell: is called with a line on each model before it is loaded.

    Raises:
        ConfigError: an unknown metric or polarity, a number out of range, a name twice, an option that is not allowed.
        CheckpointError: no such model, or a broken one.
        InputError: no pairs, or one that a model cannot read; the message names the pair.
    """
    wanted = check_metrics(metrics)
    if polarity not in get_args(GoldOrPredicted):
        raise ConfigError(f"polarity={polarity!r}: 'gold' or 'predicted' is allowed")
    check_int("seed", seed, 0, SEEDS - 1)
    check_int("noise_seeds", noise_seeds, 1, MAX_SEEDS)
    check_int("batch_size", batch_size, 1)
    check_systems(systems)
    for system in systems:
        check_bool(f"{system.name}: stochastic", system.options.get("stochastic", True))
    measured = []
    for system in systems:
        tell(f"{system.name}: {system.source}")
        began = time.perf_counter()
        row = measure(
            system.load(**(load_options or {})),
            pairs,
            metrics=wanted,
            seeds=[(seed + i) % SEEDS for i in range(noise_seeds)],
            stochastic=system.options.get("stochastic", True),
            gold_polarity=polarity == "gold",
            batch_size=batch_size,
            name=system.name,
            show_progress=show_progress,
        )
        about = {"name": system.name, "source": system.source, "options": dict(system.options)}
        measured.append(about | row | {"seconds": time.perf_counter() - began})
    options = {"metrics": wanted, "polarity": polarity, "seed": seed, "noise_seeds": noise_seeds}
    return {
        "n": len(pairs),
        "groups": _group_sizes(pairs),
        "models": measured,
        "paper": PAPER,
        "options": options | {"batch_size": batch_size},
        "versions": {"mime_fast": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def measure(
    engine: Engine,
    pairs: Sequence[Pair],
    *,
    metrics: Sequence[str],
    seeds: Sequence[int],
    stochastic: bool = True,
    gold_polarity: bool = True,
    batch_size: int = 64,
    name: str = "",
    show_progress: bool = False,
) -> dict[str, Any]:
    """One model's part of `compare`: what it is, `figures` by group and `over_seeds`, by checked options."""
    examples = make_examples(pairs, engine.tokenizer)
    check_pairs(pairs, examples, engine.config.max_positions)
    batches = length_order(examples, batch_size)
    replies = Replies(engine, pairs, batches, stochastic=stochastic, name=name, show_progress=show_progress)
    config = engine.config
    noise = stochastic and engine.model.noise_groups > 0
    used = list(seeds) if noise else [seeds[0]]
    outputs = make_outputs(engine, examples, batches, replies, used, metrics, gold_polarity=gold_polarity)
    return {
        "parameters": engine.model.num_parameters(),
        "vocab_size": engine.config.vocab_size,
        "emotion_mimicry": config.emotion_mimicry if isinstance(config, MimeConfig) else None,
        "emotion_grouping": config.emotion_grouping if isinstance(config, MimeConfig) else None,
        "noise": noise,
        "seeds": used,
        "figures": {group: figures(outputs, where, metrics) for group, where in outputs.groups().items()},
        "over_seeds": over_seeds(outputs, metrics),
        "searches": {key: replies.resolve(search).to_dict() for key, search in (("greedy", GREEDY), ("beam", BEAM))},
    }


def check_metrics(metrics: Sequence[str] | None) -> list[str]:
    """The metrics to compute, in the order of `METRICS`; ConfigError for an unknown one, or none."""
    unknown = [repr(metric) for metric in metrics or () if metric not in METRICS]
    if unknown or (metrics is not None and not metrics):
        allowed = ", ".join(METRICS)
        raise ConfigError(
            f"metrics: {', '.join(unknown) or 'an empty list'}; for several models some of {allowed} are allowed"
        )
    return [metric for metric in METRICS if metrics is None or metric in metrics]


def _group_sizes(pairs: Sequence[Pair]) -> dict[str, int]:
    positive = sum(pair.emotion in POSITIVE for pair in pairs)
    return {"positive": positive, "negative": len(pairs) - positive}
