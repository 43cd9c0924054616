"""The engine's search equals the reference's on any log-probs: ids, log-probs and scores bit for bit."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mime_fast import _native_dev
from mime_fast.config.generation import GenerationConfig
from mime_fast.errors import ConfigError
from mime_fast.reference.hypothesis import FinishReason, Hypothesis
from mime_fast.text.special import EOS_ID, SOS_ID
from tests.reference.fake_decoder import Distribution, FakeDecoder, Tokens, logs, run
from tests.reference.test_search_beam import GARDEN_PATH, LENGTHS

Found = list[list[Hypothesis]]
FIRST_WORD = 4  # of a hand-written model: between its EOS and it lies SOS
WAYS: list[dict[str, Any]] = [
    {"num_beams": 1},
    {"num_beams": 1, "max_new_tokens": 1},
    {"num_beams": 1, "do_sample": True, "num_return_sequences": 4},
    {"num_beams": 1, "do_sample": True, "num_return_sequences": 3, "top_k": 2, "top_p": 0.8, "temperature": 1.7},
    {"num_beams": 2, "num_return_sequences": 2, "length_penalty": 0.0},
    {"num_beams": 2, "num_return_sequences": 2, "length_penalty": -2.0},
    {"num_beams": 3, "num_return_sequences": 3, "min_new_tokens": 2, "no_repeat_ngram_size": 2},
    {"num_beams": 4, "num_return_sequences": 4, "max_new_tokens": 2, "suppress_tokens": (5,)},
    {"num_beams": 40, "num_return_sequences": 40},
    {"num_beams": 1, "repetition_penalty": 1.3},
    {"num_beams": 3, "num_return_sequences": 3, "repetition_penalty": 2.0, "no_repeat_ngram_size": 3},
    {"num_beams": 3, "num_return_sequences": 2, "repetition_penalty": 0.25, "suppress_tokens": (4,)},
    {"num_beams": 1, "do_sample": True, "num_return_sequences": 3, "repetition_penalty": 1.5, "top_p": 0.7},
    {"num_beams": 2, "num_return_sequences": 2, "search": "mime"},
    {"num_beams": 3, "num_return_sequences": 1, "search": "mime", "min_new_tokens": 1},
    {"num_beams": 1, "search": "mime"},
]


def native(
    distribution: Distribution,
    vocab_size: int,
    options: GenerationConfig,
    count: int,
    seeds: Sequence[int],
    prefixes: Sequence[Tokens] | None,
) -> Found:
    arrays = _native_dev.search(
        lambda dialogue, words: np.array(distribution(dialogue, tuple(words)), np.float32),
        vocab_size,
        options.to_search(),
        np.array(seeds, np.uint64),
        np.arange(count, dtype=np.uint64),
        prefixes,
    )
    counts, lengths, token_ids, token_logprobs, logprobs, scores, ended = (array.tolist() for array in arrays)
    found: Found = []
    place = start = 0
    for many in counts:
        found.append([])
        for i in range(place, place + many):
            end = start + lengths[i]
            assert ended[i] == (token_ids[end - 1] == EOS_ID)
            words = tuple(token_ids[start : end - ended[i]])
            reason: FinishReason = "eos" if ended[i] else "length"
            found[-1].append(Hypothesis(words, tuple(token_logprobs[start:end]), logprobs[i], scores[i], reason))
            start = end
        place += many
    assert (place, start) == (len(lengths), len(token_ids))
    return found


def assert_equal(
    distribution: Distribution,
    vocab_size: int,
    options: Mapping[str, Any],
    *,
    count: int = 2,
    prefixes: Sequence[Tokens] | None = None,
) -> None:
    seeds = [11 + 2**63 * (i % 2) for i in range(count)]
    found = native(distribution, vocab_size, GenerationConfig(**options), count, seeds, prefixes)
    decoder = FakeDecoder(distribution, vocab_size, torch.float32)
    decoder.sos = SOS_ID
    try:
        expected = run(decoder, models=range(count), eos=EOS_ID, seeds=seeds, prefixes=prefixes, **options)
    except ConfigError as error:
        empty = [i for i, each in enumerate(found) if not each]
        assert f"no response can be generated for dialogues {empty} of this batch" in str(error)
        return
    assert found == expected


def by_hand(*models: Mapping[Tokens, Sequence[float]]) -> tuple[Distribution, int]:
    """Models of tests/reference with EOS first, in the extension's ids: UNK, PAD, SOS at -inf; others end at once."""
    vocab_size = FIRST_WORD + len(next(iter(models[0].values()))) - 1

    def distribution(model: int, tokens: Tokens) -> list[float]:
        words = tuple(EOS_ID - 2 if token == EOS_ID else token - FIRST_WORD + 1 for token in tokens)
        end, *others = logs(*models[model].get(words, (0.7, *[0.3 / (vocab_size - FIRST_WORD)] * (vocab_size - 4))))
        return [-math.inf, -math.inf, end, -math.inf, *others]

    return distribution, vocab_size


@pytest.mark.parametrize("way", WAYS)
def test_hand_written_models(way: dict[str, Any]) -> None:
    assert_equal(*by_hand(GARDEN_PATH, {tokens: [*row[:2], 0.0] for tokens, row in LENGTHS.items()}), way)
    assert_equal(*by_hand({(): [0.2, 0.3, 0.25, 0.25]}), way, count=1)


@pytest.mark.parametrize("way", WAYS)
def test_ties_everywhere(way: dict[str, Any]) -> None:
    assert_equal(lambda model, tokens: [-1.0] * 9, 9, way)
    assert_equal(lambda model, tokens: [-1.0] * 700, 700, way, prefixes=[(), (699,)] if way["num_beams"] > 1 else None)


def values_of(seed: int, values: Sequence[float], vocab_size: int) -> Distribution:
    """Log-probs out of a few values, a row for each (dialogue, prefix)."""
    return lambda model, tokens: random.Random(f"{seed} {model} {tokens}").choices(values, k=vocab_size)


VALUES = st.lists(
    st.one_of(
        st.sampled_from([0.0, -1.0, -2.0, -0.5, -math.inf]),
        st.floats(-20, 0, width=32),
        st.floats(-(2.0**-12), 0, width=32),
    ),
    min_size=1,
    max_size=6,
)


@st.composite
def ways(draw: st.DrawFn, vocab_size: int) -> dict[str, Any]:
    longest = draw(st.integers(1, 6))
    shortest = draw(st.integers(0, longest))
    both: dict[str, Any] = {"max_new_tokens": longest, "min_new_tokens": shortest}
    kind = draw(st.sampled_from(["greedy", "sampling", "standard", "mime"]))
    if kind in ("standard", "mime"):
        beams = draw(st.integers(2 if kind == "standard" else 1, 2 * vocab_size))
        both |= {"num_beams": beams, "num_return_sequences": draw(st.integers(1, beams))}
    else:
        both["num_beams"] = 1
    if kind == "mime":
        return both | {"search": "mime"}
    if kind == "sampling":
        both |= {
            "do_sample": True,
            "num_return_sequences": draw(st.integers(1, 5)),
            "top_k": draw(st.integers(0, vocab_size + 1)),
            "top_p": draw(st.floats(0.01, 1.0)),
            "temperature": draw(st.sampled_from([0.3, 1.0, 4.0])),
        }
    return both | {
        "length_penalty": draw(st.sampled_from([1.0, 0.0, 0.7, -1.0, 3.0])),
        "no_repeat_ngram_size": draw(st.integers(0, 3)),
        "repetition_penalty": draw(st.sampled_from([1.0, 1.0, 1.25, 1.3, 0.5, 4.0])),
        "suppress_tokens": tuple(draw(st.lists(st.integers(0, vocab_size - 1), max_size=3))),
    }


@settings(max_examples=400, deadline=None)
@given(data=st.data(), vocab_size=st.integers(4, 12), values=VALUES, seed=st.integers(0, 2**32))
def test_any_options_on_rows_full_of_ties(data: st.DataObject, vocab_size: int, values: list[float], seed: int) -> None:
    way = data.draw(ways(vocab_size))
    words = st.sampled_from([token for token in range(vocab_size) if token != EOS_ID])
    prefix = st.lists(words, max_size=way["max_new_tokens"] - 1).map(tuple)
    prefixes = data.draw(st.none() | st.lists(prefix, min_size=3, max_size=3))
    assert_equal(values_of(seed, values, vocab_size), vocab_size, way, count=3, prefixes=prefixes)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), values=st.lists(st.floats(-4, 20, width=32), min_size=2, max_size=9), seed=st.integers(0, 2**32))
def test_a_penalty_of_logits_of_both_signs(data: st.DataObject, values: list[float], seed: int) -> None:
    way = data.draw(ways(9).filter(lambda way: way["num_beams"] == 1 and way.get("search") != "mime"))
    way["repetition_penalty"] = data.draw(st.floats(0.1, 8.0))
    assert_equal(values_of(seed, values, 9), 9, way, count=3)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), vocab_size=st.integers(60, 300), values=VALUES, seed=st.integers(0, 2**32))
def test_wide_beams(data: st.DataObject, vocab_size: int, values: list[float], seed: int) -> None:
    beams = data.draw(st.integers(14, 40))  # candidates are kept in order up to 32, in a heap beyond
    way: dict[str, Any] = {"num_beams": beams, "num_return_sequences": beams, "max_new_tokens": 3}
    if data.draw(st.booleans()):
        way["search"] = "mime"
    assert_equal(values_of(seed, values, vocab_size), vocab_size, way, count=1)


@pytest.mark.parametrize("search", ["standard", "mime"])
def test_where_rounding_makes_sums_equal_the_lower_token_comes_first(search: str) -> None:
    """Also where its log-prob is not among the row's best."""

    def far(model: int, tokens: Tokens) -> list[float]:
        return [-(2.0**26)] * 8 if not tokens else [-4.0, -3.0, -9.0, -2.0, -1.0, -2.0, -1.0, -1.0]

    way: dict[str, Any] = {"num_beams": 2, "num_return_sequences": 2, "max_new_tokens": 2, "search": search}
    assert_equal(far, 8, way)
    assert_equal(far, 8, {**way, "max_new_tokens": 4, "min_new_tokens": 3})
    assert_equal(lambda model, tokens: far(model, tokens)[::-1], 8, {**way, "max_new_tokens": 4, "min_new_tokens": 3})


def test_a_log_prob_of_nothing_beside_one_of_almost_nothing() -> None:
    def distribution(model: int, tokens: Tokens) -> list[float]:
        return [-1.0] * 4 if not tokens else [-(2.0**-24), 0.0, -3.0, -3.0]

    assert_equal(distribution, 4, {"num_beams": 1, "search": "mime", "max_new_tokens": 3})


@settings(max_examples=200, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32), vocab_size=st.integers(4, 90))
def test_sums_that_rounding_makes_equal(data: st.DataObject, seed: int, vocab_size: int) -> None:
    """Behind a first word of a log-prob so low that few of the next ones' differences are left."""
    first = float(np.float32(-(2.0 ** data.draw(st.integers(10, 24)))))
    values = data.draw(st.lists(st.floats(-4, 0, width=32), min_size=2, max_size=40))
    beams = data.draw(st.integers(2, 40))
    way: dict[str, Any] = {"num_beams": beams, "num_return_sequences": beams, "max_new_tokens": 3}
    way["search"] = data.draw(st.sampled_from(["standard", "mime"]))
    if way["search"] == "standard":
        way |= {"suppress_tokens": (3,), "no_repeat_ngram_size": data.draw(st.integers(0, 2))}
    following = values_of(seed, values, vocab_size)
    assert_equal(lambda model, tokens: following(model, tokens) if tokens else [first] * vocab_size, vocab_size, way)
