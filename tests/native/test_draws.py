"""Sampling from a row's best words draws what the whole row does, or says that it cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mime_fast import _native_dev
from mime_fast.config.generation import GenerationConfig
from mime_fast.reference.philox import gumbel
from mime_fast.reference.search import filter_logits
from tests.native.random_models import options

Floats = npt.NDArray[np.float32]
SEEDS = list(range(12))


def log_sum_exp(logits: Floats) -> float:
    wide = logits.astype(np.float64)
    return float(np.logaddexp.reduce(wide))


def defined(logits: Floats, sampling: dict[str, Any], banned: list[int]) -> list[int]:
    """docs/search.md: the tokens of SEEDS at step 0."""
    log_probs = (logits.astype(np.float64) - log_sum_exp(logits)).astype(np.float32)
    log_probs[[*banned, *sampling["suppress_tokens"]]] = -np.inf
    config = GenerationConfig(num_beams=1, do_sample=True, **{name: sampling[name] for name in CHOICES})
    kept = filter_logits(torch.from_numpy(log_probs)[None], config)[0].numpy()
    tokens = np.arange(len(logits))[None]
    return [int(np.argmax(kept + gumbel([seed], [0], [0], [0], tokens)[0])) for seed in SEEDS]


CHOICES = ("temperature", "top_k", "top_p")


def rows(kind: str, words: int, source: np.random.Generator) -> Floats:
    plain = source.standard_normal(words)
    made = {
        "trained": 5 * plain,
        "flat": 0.3 * plain,
        "steep": 30 * plain,
        "equal": np.zeros(words),
        "few values": np.rint(2 * plain),
        "nearly equal": 5 + 1e-6 * plain,
        "one far out": np.where(np.arange(words) == words // 2, 40, plain),
    }
    return made[kind].astype(np.float32)


KINDS = ["trained", "flat", "steep", "equal", "few values", "nearly equal", "one far out"]


@settings(max_examples=400, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    words=st.integers(1, 700),
    temperature=st.sampled_from([1e-300, 1e-20, 1e-12, 1e-7, 1e-5, 1e-3, 0.3, 0.6, 1.0, 1.7, 1e9, 1e60]),
    top_k=st.sampled_from([0, 0, 1, 2, 5, 30, 31, 32, 50, 2000]),
    top_p=st.sampled_from([0.0001, 0.5, 0.9, 0.999999, 1.0]),
    off=st.sampled_from([0.0, 0.003, -0.2]),
    banned=st.lists(st.integers(0, 699), max_size=4, unique=True).map(sorted),
    seed=st.integers(0, 2**32),
)
def test_the_token_is_the_one_of_the_definition(
    kind: str, words: int, temperature: float, top_k: int, top_p: float, off: float, banned: list[int], seed: int
) -> None:
    logits = rows(kind, words, np.random.default_rng(seed))
    banned = [token for token in banned if token < words - 1]
    suppressed = [0] if words > 1 and words - 1 not in banned else []
    sampling = options(
        num_beams=1, do_sample=True, temperature=temperature, top_k=top_k, top_p=top_p, suppress_tokens=suppressed
    )
    found = _native_dev.draws(logits, log_sum_exp(logits), off, sampling, SEEDS, banned)
    assert [every for every, _ in found] == defined(logits, sampling, banned)
    assert all(best in (None, every) for every, best in found)


@pytest.mark.parametrize(
    ("sampling", "share"),
    [({"temperature": 0.6, "top_p": 0.5}, 0.9), ({"top_k": 20}, 0.99), ({"top_k": 8, "top_p": 0.9}, 0.99)],
    ids=str,
)
def test_usual_rows_are_decided(sampling: dict[str, Any], share: float) -> None:
    decided = []
    for seed in range(60):
        logits = rows("trained", 16_000, np.random.default_rng(seed))
        way = options(num_beams=1, do_sample=True, **sampling)
        decided += [best for _, best in _native_dev.draws(logits, log_sum_exp(logits), 0.01, way, SEEDS, [])]
    assert sum(best is not None for best in decided) >= share * len(decided)


def test_what_the_rest_may_change_is_left_undecided() -> None:
    """Two words at the cut: which of them is kept depends on the rest of the row."""
    logits = np.zeros(5_000, np.float32)
    logits[:40] = 7.0
    way = options(num_beams=1, do_sample=True, temperature=1.0, top_p=0.9)
    assert {best for _, best in _native_dev.draws(logits, log_sum_exp(logits), 0.0, way, SEEDS, [])} == {None}
    logits[0] = 40.0
    assert {best for _, best in _native_dev.draws(logits, log_sum_exp(logits), 0.0, way, SEEDS, [])} == {0}


@pytest.mark.parametrize("temperature", [1e-300, 1e-20, 1e-12, 1e9, 1e60, 1e300])
@pytest.mark.parametrize("suppressed", [[], [3]])
def test_temperatures_beyond_float32(temperature: float, suppressed: list[int]) -> None:
    """1 / temperature is 0 or infinite in float32, or the quotients have no digits left for a Gumbel number."""
    logits = np.array([0, 0, -5, -6], np.float32)
    way = options(num_beams=1, do_sample=True, temperature=temperature, top_p=0.9, suppress_tokens=suppressed)
    found = _native_dev.draws(logits, log_sum_exp(logits), 0.0, way, SEEDS, [])
    assert [every for every, _ in found] == defined(logits, way, [])
    assert all(best in (None, every) for every, best in found)
