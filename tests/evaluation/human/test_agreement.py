"""Fleiss' kappa against a published example, and intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mime_fast.evaluation.human.agreement import estimate, fleiss_kappa, kappas, quotient, ratio, resamples

# 14 raters, 10 subjects, 5 categories: the worked example of Fleiss' kappa that textbooks and encyclopaedias share.
PUBLISHED = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def test_the_published_example() -> None:
    """By hand: the P_i sum to 3.780, p = (20, 28, 39, 21, 32) / 140, so (0.3780 - 0.2128) / (1 - 0.2128) = 0.210."""
    counts = np.array(PUBLISHED)
    agreeing = [sum(n * (n - 1) for n in row) / (14 * 13) for row in PUBLISHED]
    assert [round(share, 3) for share in agreeing] == [
        1.0,
        0.253,
        0.308,
        0.440,
        0.330,
        0.462,
        0.242,
        0.176,
        0.286,
        0.286,
    ]
    chance = (20**2 + 28**2 + 39**2 + 21**2 + 32**2) / 140**2
    assert fleiss_kappa(counts) == pytest.approx((sum(agreeing) / 10 - chance) / (1 - chance), abs=1e-12)
    assert round(fleiss_kappa(counts), 3) == 0.210


def test_limits() -> None:
    assert fleiss_kappa(np.array([[3, 0], [0, 3]])) == 1.0
    assert fleiss_kappa(np.array([[1, 1], [1, 1]])) == -1.0
    assert math.isnan(fleiss_kappa(np.array([[3, 0], [3, 0]])))  # only one category: chance explains all
    assert math.isnan(fleiss_kappa(np.zeros((0, 3), dtype=np.int64)))


def test_chance_alone_gives_about_zero() -> None:
    drawn = np.random.default_rng(0).multinomial(3, [0.2, 0.3, 0.5], 20_000)
    assert abs(fleiss_kappa(drawn)) < 0.01


def test_weights_are_repetitions() -> None:
    counts = np.array(PUBLISHED)
    weights = np.array([[2, 0, 1, 1, 0, 3, 1, 1, 0, 1]], dtype=float)
    repeated = np.repeat(counts, weights[0].astype(int), axis=0)
    assert kappas(counts, weights)[0] == pytest.approx(fleiss_kappa(repeated), abs=1e-12)


def test_resamples_are_seeded_and_of_the_same_size() -> None:
    weights = resamples(7, 50, 3)
    assert (resamples(6, 50, 0).sum(axis=1) == 6).all()
    assert weights.shape == (50, 7) and (weights.sum(axis=1) == 7).all()
    assert (weights == resamples(7, 50, 3)).all() and (weights != resamples(7, 50, 4)).any()


def test_an_interval_is_as_wide_as_theory_says() -> None:
    """A mean of 400 numbers of deviation 2: 1.96 * 2 / sqrt(400) to each side."""
    values = np.random.default_rng(1).normal(3, 2, 400)
    found = ratio(values, np.ones(400), resamples(400, 4000, 0))
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.06)


def test_an_interval_leaves_out_a_fortieth_at_each_end() -> None:
    found = estimate(0.0, np.arange(1001.0))
    assert (found.low, found.high) == pytest.approx((25, 975))


def test_what_nothing_defines_is_nan() -> None:
    assert math.isnan(quotient(np.zeros(2), np.zeros(2), np.ones((1, 2)))[0])
    found = estimate(math.nan, np.array([math.nan]))
    assert math.isnan(found.value) and math.isnan(found.low) and math.isnan(found.high)
    assert estimate(1.0, np.array([math.nan, 1.0, 1.0])).low == 1.0
