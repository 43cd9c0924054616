"""All figures of one model on one split: `evaluate`. docs/evaluation.md says what each of them means."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import mime_fast.needs_torch

import numpy as np
import torch

from mime_fast._version import __version__
from mime_fast.config.checks import check_int
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.emotions import LABELS
from mime_fast.engine.engine import Engine
from mime_fast.engine.records import finite
from mime_fast.errors import ConfigError
from mime_fast.evaluation.measured import SEEDS, GoldOrPredicted, Measured, MeasuredPart
from mime_fast.evaluation.metrics.diversity import Diversity
from mime_fast.evaluation.metrics.likelihood import PairFigures
from mime_fast.evaluation.metrics.metric import BY_KEY, METRICS, Figures, check_groups, compute
from mime_fast.evaluation.searches import SEARCHES, Search

LIKELIHOOD_PART = ("ppl", "top1")  # of an emotion, or of a group


@dataclass(frozen=True)
class LikelihoodDetails:
    """By labelled emotion, by its polarity, and which emotion was predicted for which."""

    per_emotion: dict[str, Figures]  # `n`, `ppl` and `top1`
    by_polarity: dict[str, Figures]
    confusion: list[list[int]]  # [32][32], labelled and predicted


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        figures: by key of `METRICS`, and `n`; None where a figure was not asked for or is not finite.
        likelihood: None where it was not asked for.
        diversity: of the replies of each search; None where no figure asked for them.
        options: what was asked for, and each search's options in full.
        seconds: wall time, the loading of the model left out.
    """

    figures: Figures
    likelihood: LikelihoodDetails | None
    diversity: dict[Search, Diversity | None]
    options: dict[str, Any]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: all figures and `seconds`, and under `details` the rest."""
        likelihood = self.likelihood or LikelihoodDetails({}, {}, [])
        return {
            **self.figures,
            "seconds": self.seconds,
            "details": {
                "labels": list(LABELS),
                **{name: value or None for name, value in asdict(likelihood).items()},
                **{search: found and asdict(found) for search, found in self.diversity.items()},
                "options": self.options,
                "versions": versions(),
            },
        }


def evaluate(
    engine: Engine,
    pairs: Iterable[Pair],
    *,
    metrics: Iterable[str] | None = None,
    polarity: GoldOrPredicted = "gold",
    seed: int = 0,
    batch_size: int = 64,
    show_progress: bool = False,
) -> Evaluation:
    """Figures of a model on pairs.

    Replies always follow the predicted emotion. A pair's place is its request id, so no figure depends on the batches.

    Args:
        metrics: some groups of `METRICS`; None for all.
        polarity: the emotion that perplexity mimics: "gold", the labelled one, as the released code; or "predicted".
        seed: of the prior noise and of sampling, 0 to 2^64 - 1; `seed_effect` compares it with the next one.
        batch_size: pairs of similar length that are computed together.
        show_progress: bars on standard error.

    Raises:
        ConfigError: an unknown metric or polarity, a seed or a batch size out of range.
        InputError: no pairs, or one that the model cannot read; the message names the pair.
    """
    began = time.perf_counter()
    groups = check_groups(metrics)
    seed, batch_size = check_measuring(polarity, seed, batch_size)
    measured = Measured(engine, pairs, batch_size=batch_size, polarity=polarity, show_progress=show_progress)
    part = measured.part(seed)
    figures = compute(part, groups)
    options = {"metrics": groups, "polarity": polarity, "seed": seed, "batch_size": batch_size}
    return Evaluation(
        figures,
        _likelihood_details(measured.scores(seed), measured) if "likelihood" in groups else None,
        {search: _diversity(part, search, groups) for search in SEARCHES},
        options | {search: measured.options(search).to_dict() for search in SEARCHES},
        time.perf_counter() - began,
    )


def check_measuring(polarity: str, seed: int, batch_size: int) -> tuple[int, int]:
    """Seed and batch size as Python's own; ConfigError for an option of `evaluate` and `compare` out of range."""
    if polarity not in get_args(GoldOrPredicted):
        raise ConfigError(f"polarity={polarity!r}: must be 'gold' or 'predicted'")
    check_int("seed", seed, 0, SEEDS - 1)
    check_int("batch_size", batch_size, 1)
    return int(seed), int(batch_size)


def versions() -> dict[str, str]:
    return {"mime_fast": __version__, "torch": torch.__version__, "python": platform.python_version()}


def _diversity(part: MeasuredPart, search: Search, groups: Sequence[str]) -> Diversity | None:
    """Of the replies of a search, where a figure needed them."""
    needed: dict[Search, set[str]] = {
        "greedy": {"bleu_greedy", "greedy_dist"},
        "beam": {"bleu_beam"},
        "long": {"bleu_long"},
        "default": {"diversity"},
    }
    return part.diversity(search) if needed[search] & set(groups) else None


def _likelihood_details(scored: PairFigures, measured: Measured) -> LikelihoodDetails:
    confusion = np.zeros((len(LABELS), len(LABELS)), dtype=np.int64)
    np.add.at(confusion, (scored.emotion, scored.predicted), 1)
    return LikelihoodDetails(
        {label: _part(scored.select(scored.emotion == i)) for i, label in enumerate(LABELS)},
        {name: _part(scored.select(measured.groups[name])) for name in ("positive", "negative")},
        confusion.tolist(),
    )


def _part(scored: PairFigures) -> Figures:
    summary = asdict(scored.summary())
    return {"n": summary["n"]} | {key: finite(summary[key]) for key in LIKELIHOOD_PART}


def format_evaluation(found: Evaluation) -> str:
    """A table for people; "-" where a figure was not asked for or is not finite."""
    options = found.options
    rows = [("pairs", f"{found.figures['n']:,}"), ("polarity mimicked for PPL", options["polarity"])]
    rows += [(metric.title, cell(found.figures, metric.key)) for metric in METRICS]
    rows.append(("seconds", f"{found.seconds:.0f}"))
    lines = [f"{name:<28}{value}" for name, value in rows]
    replies = [(search, each) for search, each in found.diversity.items() if each is not None]
    if replies:
        lines += ["", f"{'replies':<28}" + "".join(f"{search:>10}" for search, _ in replies)]
        lines += [
            f"  {BY_KEY[key].title:<26}" + "".join(f"{BY_KEY[key].form(getattr(each, key)):>10}" for _, each in replies)
            for key in ("distinct_replies", "word_types", "frequent", "repeats", "mean_length")
        ]
    if found.likelihood is not None:
        lines += ["", f"{'emotion':<16}{'n':>7}{'PPL':>9}{'top-1':>9}"]
        parts = found.likelihood.by_polarity | found.likelihood.per_emotion
        lines += [
            f"{name:<16}{part['n']:>7,}{cell(part, 'ppl'):>9}{cell(part, 'top1'):>9}" for name, part in parts.items()
        ]
    return "\n".join(lines)


def cell(figures: Figures, key: str) -> str:
    """A figure as it is written; "-" for None."""
    value = figures.get(key)
    return "-" if value is None else BY_KEY[key].form(value)
