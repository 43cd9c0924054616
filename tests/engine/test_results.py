"""Figures of results at the ends of the floats."""

from __future__ import annotations

import math

import pytest

from mime_fast.emotions import LABELS
from mime_fast.engine.records import record
from mime_fast.engine.results import Score, perplexity


@pytest.mark.parametrize(
    ("nll", "expected"),
    [(0.0, 1.0), (2.0, math.exp(2)), (709.0, math.exp(709)), (710.0, math.inf), (math.inf, math.inf), (-800.0, 0.0)],
)
def test_a_perplexity_never_overflows(nll: float, expected: float) -> None:
    assert perplexity(nll) == expected


def test_nan_stays_nan() -> None:
    assert math.isnan(perplexity(math.nan))


@pytest.mark.parametrize("logprob", [-math.inf, -1e308, math.nan])
def test_a_score_that_json_has_no_number_for(logprob: float) -> None:
    score = Score(["rain"], [logprob, -1.0], "sad", dict.fromkeys(LABELS, 1 / 32), None)
    assert not math.isfinite(score.perplexity)
    assert record(score)["perplexity"] is None
