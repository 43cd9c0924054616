"""Fleiss' kappa, and intervals by resampling dialogues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval; NaN where nothing defines it."""

    value: float
    low: float
    high: float


def fleiss_kappa(counts: Counts) -> float:
    """Agreement beyond chance of a fixed number of raters (Fleiss 1971).

    Args:
        counts: [n, categories], how many raters put a subject into a category; every row has the same sum, 2 or more.

    Returns:
        1 for full agreement, 0 for what only chance gives; NaN without subjects, or where all is in one category.
    """
    return float(kappas(counts, np.ones((1, len(counts))))[0])


def kappas(counts: Counts, weights: Floats) -> Floats:
    """Fleiss' kappa of resamples, [R]: `weights` [R, n] says how often each subject of `counts` is in each of them."""
    if not len(counts):
        return np.full(len(weights), np.nan)
    raters = counts.sum(axis=1)[0]
    agreeing = (counts * (counts - 1)).sum(axis=1) / (raters * (raters - 1))  # P_i
    subjects = weights.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = weights @ agreeing / subjects
        shares = weights @ counts / (raters * subjects)[:, None]  # p_j
        chance = (shares**2).sum(axis=1)
        # 1 - chance below rounding: only one category
        found: Floats = np.where(1 - chance > 1e-12, (observed - chance) / (1 - chance), np.nan)
    return found


def resamples(count: int, number: int, seed: int) -> Floats:
    """How often each of `count` dialogues is in each of `number` samples drawn with replacement, [number, count]."""
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = generator.integers(0, max(count, 1), (number, count))
    weights = np.zeros((number, count))
    np.add.at(weights, (np.arange(number)[:, None], drawn), 1.0)
    return weights


def ratio(sums: Floats, counts: Floats, weights: Floats) -> Estimate:
    """sum(sums) / sum(counts) over dialogues [n], with the percentile interval of its resamples `weights` [R, n]."""
    return estimate(quotient(sums, counts, np.ones((1, len(sums))))[0], quotient(sums, counts, weights))


def quotient(sums: Floats, counts: Floats, weights: Floats) -> Floats:
    """The ratio in each resample, [R]; NaN where nothing is counted."""
    totals = weights @ counts
    found = np.full(len(weights), np.nan)
    np.divide(weights @ sums, totals, out=found, where=totals > 0)
    return found


def estimate(value: float, resampled: Floats) -> Estimate:
    """A figure with the percentile interval of its resampled values; NaNs among these are left out."""
    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return Estimate(float(value), np.nan, np.nan)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(value), float(low), float(high))
