"""The beam step of the GPU, compiled for the CPU: the reference's search bit for bit on rows full of ties.

Several threads share a slot as a block's threads do on a GPU, so that a missing barrier shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mime_fast.config.generation import GenerationConfig
from mime_fast.errors import ConfigError
from mime_fast.kernels.beam_state import BeamSizes, BeamState
from mime_fast.text.special import EOS_ID, SOS_ID
from tests.cuda.beam_case import compiled, plain, searched, seen
from tests.cuda.device_case import ON_DEVICE
from tests.native.test_search import VALUES, WAYS, by_hand, values_of, ways
from tests.reference.fake_decoder import Distribution, FakeDecoder, Tokens, run
from tests.reference.test_search_beam import GARDEN_PATH, LENGTHS
from tools import gpu_beam_steps

KINDS = (partial(compiled, threads=1), plain)
THREADS = (*KINDS, partial(compiled, threads=3))
WAYS = [way for way in WAYS if not way.get("do_sample")]


def _exact(value: float) -> float:
    """The next multiple of 2^-14: float32 adds a few of them without rounding."""
    return value if math.isinf(value) else math.ldexp(round(math.ldexp(value, 14)), -14)


# A row's words are ordered before they are added (docs/gpu.md): ties are the reference's where sums are exact.
# `test_sums_that_rounding_makes_equal_go_by_the_token` has the others.
EXACT_VALUES = VALUES.map(lambda values: [_exact(value) for value in values])


def assert_equal(
    distribution: Distribution,
    vocab_size: int,
    way: Mapping[str, Any],
    *,
    count: int = 2,
    prefixes: Sequence[Tokens] | None = None,
    kinds: Sequence[Any] = KINDS,
) -> None:
    options = GenerationConfig(**way)
    found = searched(distribution, vocab_size, options, count, prefixes, kinds)
    decoder = FakeDecoder(distribution, vocab_size, torch.float32)
    decoder.sos = SOS_ID
    try:
        expected = run(decoder, models=range(count), eos=EOS_ID, prefixes=prefixes, **way)
    except ConfigError as error:
        empty = [i for i, each in enumerate(found) if not each]
        assert f"no response can be generated for dialogues {empty} of this batch" in str(error)
        return
    assert found == expected


@pytest.mark.parametrize("way", WAYS)
def test_hand_written_models(way: dict[str, Any]) -> None:
    models = by_hand(GARDEN_PATH, {tokens: [*row[:2], 0.0] for tokens, row in LENGTHS.items()})
    assert_equal(*models, way, kinds=THREADS)
    assert_equal(*by_hand({(): [0.2, 0.3, 0.25, 0.25]}), way, count=1, kinds=THREADS)


@pytest.mark.parametrize("way", WAYS)
def test_ties_everywhere(way: dict[str, Any]) -> None:
    assert_equal(lambda model, tokens: [-1.0] * 9, 9, way, kinds=THREADS)
    prefixes: Any = [(), (699,)] if way["num_beams"] > 1 else None
    assert_equal(lambda model, tokens: [-1.0] * 700, 700, way, prefixes=prefixes)


@settings(max_examples=250, deadline=None)
@given(data=st.data(), vocab_size=st.integers(4, 12), values=EXACT_VALUES, seed=st.integers(0, 2**32))
def test_any_options_on_rows_full_of_ties(data: st.DataObject, vocab_size: int, values: list[float], seed: int) -> None:
    way = data.draw(ways(vocab_size).filter(lambda way: not way.get("do_sample")))
    words = st.sampled_from([token for token in range(vocab_size) if token != EOS_ID])
    prefix = st.lists(words, max_size=way["max_new_tokens"] - 1).map(tuple)
    prefixes = data.draw(st.none() | st.lists(prefix, min_size=3, max_size=3))
    assert_equal(values_of(seed, values, vocab_size), vocab_size, way, count=3, prefixes=prefixes)


@settings(max_examples=20, deadline=None)
@given(data=st.data(), values=EXACT_VALUES, seed=st.integers(0, 2**32), threads=st.integers(2, 6))
def test_threads_that_share_a_slot(data: st.DataObject, values: list[float], seed: int, threads: int) -> None:
    way = data.draw(ways(8).filter(lambda way: not way.get("do_sample")))
    kinds = (partial(compiled, threads=threads), partial(compiled, threads=1))
    assert_equal(values_of(seed, values, 8), 8, way, count=3, kinds=kinds)


def test_sums_that_rounding_makes_equal_go_by_the_token() -> None:
    """Log-probs in order whose sums are out of order: -2^26 leaves no place for their difference."""

    def distribution(model: int, tokens: Tokens) -> list[float]:
        return [-(2.0**26)] * 8 if not tokens else [-4.0, -3.0, -9.0, -2.0, -1.0, -2.0, -1.0, -1.0]

    way: dict[str, Any] = {"num_beams": 5, "num_return_sequences": 5, "max_new_tokens": 2}
    for options in (way, {**way, "search": "mime"}):
        found = searched(distribution, 8, GenerationConfig(**options), 1, None, THREADS)
        expected = run(FakeDecoder(distribution, 8, torch.float32), eos=EOS_ID, **options)
        assert [one.score for one in found[0]] == [one.score for one in expected[0]]


@pytest.mark.parametrize("kind", THREADS)
def test_nan_stops_its_own_slot(kind: Any) -> None:
    sizes = BeamSizes.of(GenerationConfig(num_beams=2, max_new_tokens=4), 9)
    state = BeamState.empty(sizes, 3, 1.0, "cpu")
    state.start(torch.tensor([0, 2]))
    advance = kind(state)
    log_probs = torch.tensor([-1.0, -2.0, -3.0, -4.0]).repeat(6, 1)
    ids = torch.tensor([5, 6, 7, 8], dtype=torch.int32).repeat(6, 1)
    log_probs[[1, 2, 3, 5]] = math.nan  # rows that are not live
    advance(3, log_probs.clone(), ids, log_probs.clone())
    assert (state.active.tolist(), state.live_count.item()) == ([1, 0, 1], 2)
    log_probs[0] = log_probs[5] = -1.0
    log_probs[4, 3] = math.nan
    advance(3, log_probs, ids, log_probs)
    assert state.active.tolist() == [0, 0, 0]
    assert (state.broken_at.tolist(), state.live_count.item()) == ([1, -1, 1], 0)


def test_slots_are_started_again_and_moved() -> None:
    way: dict[str, Any] = {"num_beams": 3, "num_return_sequences": 3, "max_new_tokens": 5}
    sizes = BeamSizes.of(GenerationConfig(**way), 7)
    state = BeamState.empty(sizes, 4, 1.0, "cpu")
    for x in state.by_slot():
        x.fill_(-(2**30))  # whatever an earlier search left
    state.active.zero_()
    state.start(torch.tensor([3, 1]))
    before = seen(state)
    state.move(torch.tensor([1, 3]))
    assert state.active.tolist() == [1, 1, 0, 0]
    assert [fact for fact in seen(state)[3:] if fact != []] == [fact for fact in before[3:] if fact != []]
    assert state.live_count.item() == 2


@pytest.mark.parametrize("options", gpu_beam_steps.WAYS, ids=str)
def test_the_device_beside_the_twin(options: GenerationConfig) -> None:
    """On the CPU this tries what runs under a sanitizer on a GPU."""
    assert gpu_beam_steps.check(options, 3, "cuda" if ON_DEVICE else "cpu") >= 3
