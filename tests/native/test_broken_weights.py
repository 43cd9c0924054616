"""Weights with NaN, infinities and numbers near the ends of float32: an error or finite replies, nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mime_fast import _native
from mime_fast.config.model import ModelConfig
from mime_fast.text.special import EOS_ID
from tests.native.random_models import (
    ISAS,
    KINDS,
    PRECISIONS,
    SMALL,
    Asked,
    configs,
    native_model,
    options,
    random_dialogues,
    random_tensors,
    running,
    tokens_of,
)

BAD = [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-42, 0.0, 1e20]
WAYS = [
    options(num_beams=1, max_new_tokens=6),
    options(num_beams=1, do_sample=True, num_return_sequences=3, top_k=5, top_p=0.9, max_new_tokens=6),
    options(num_beams=1, do_sample=True, temperature=1e-300, max_new_tokens=6),
    options(num_beams=3, num_return_sequences=3, max_new_tokens=6, no_repeat_ngram_size=1),
    options(num_beams=40, num_return_sequences=40, max_new_tokens=4, length_penalty=-30.0),
    options(num_beams=2, num_return_sequences=2, max_new_tokens=6, search="mime"),
]
by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.model_type)
Poison = list[tuple[float, bool, int]]
POISON = st.lists(st.tuples(st.sampled_from(BAD), st.booleans(), st.integers(0, 2**20)), min_size=1, max_size=4)


def poison(tensors: Any, with_what: Poison, which: st.DataObject) -> None:
    """Numbers at some places, or over the whole tensor."""
    for value, everywhere, place in with_what:
        values = tensors[which.draw(st.sampled_from(sorted(tensors)))].reshape(-1)
        values[slice(None) if everywhere else place % len(values)] = value


def check_generate(model: _native.Model, asked: Asked, way: Any, prefixes: Any, run: Any, vocab_size: int) -> None:
    try:
        outputs, replies = model.generate(asked.contexts, asked.requests, way, prefixes, **run)
    except _native.ModelError as error:
        assert "the model produced NaN" in str(error)
        return
    except _native.NoResponse as error:
        assert set(error.args[0]) <= set(range(len(asked)))
        return
    counts, lengths, tokens = replies[:3]
    assert (counts > 0).all() and counts.sum() == len(lengths)
    assert (lengths > 0).all() and (lengths <= way["max_new_tokens"]).all()
    assert ((tokens >= 0) & (tokens < vocab_size)).all()
    assert all(np.isfinite(values).all() for values in replies[3:6])
    assert ((outputs[1] >= 0) & (outputs[1] < 32)).all()
    for i, found in enumerate(np.split(np.array(tokens_of(replies), object), counts.cumsum()[:-1])):
        assert prefixes is None or all(list(reply)[: len(prefixes[i])] == prefixes[i] for reply in found)


@by_kind
@settings(max_examples=400, deadline=None)
@given(
    data=st.data(),
    precision=st.sampled_from(PRECISIONS),
    isa=st.sampled_from(ISAS),
    with_what=POISON,
    seed=st.integers(0, 2**32),
)
def test_any_weights(
    kind: type[ModelConfig], data: st.DataObject, precision: str, isa: str, with_what: Poison, seed: int
) -> None:
    config = data.draw(configs(max_vocab=150, max_hidden=40, kind=kind))
    tensors = random_tensors(config, seed, logits=data.draw(st.sampled_from([2.0, 1e3, 1e30])))
    poison(tensors, with_what, data)
    model = native_model(config, tensors, precision, isa)
    words = data.draw(st.lists(st.integers(1, config.max_positions - 1), max_size=4))
    asked = random_dialogues(config, words, seed, pads=True, stochastic=data.draw(st.booleans()))
    run = running(data.draw(st.integers(1, 3)), data.draw(st.integers(1, 5)))
    tokens = st.sampled_from([token for token in range(config.vocab_size) if token != EOS_ID])
    prefix = st.lists(tokens, max_size=3)
    prefixes = data.draw(st.none() | st.lists(prefix, min_size=len(words), max_size=len(words)))
    check_generate(model, asked, data.draw(st.sampled_from(WAYS)), prefixes, run, config.vocab_size)
    targets = np.arange(len(words) * 3, dtype=np.int32) % config.vocab_size
    _, log_probs = model.score(asked.contexts, asked.requests, targets, np.arange(len(words) + 1) * 3, **run)
    assert not np.isposinf(log_probs).any()
    assert model.classify(asked.contexts, **run).shape == (len(words), 32)


@by_kind
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_word_that_is_broken_is_named_where_it_is(
    kind: type[ModelConfig], value: float, precision: str, isa: str
) -> None:
    config = kind.paper(60, **SMALL)
    tensors = random_tensors(config, 1)
    tensors["word_embedding.weight"][59, 3] = value
    asked = random_dialogues(config, [5, 4, 6, 3], 1)
    asked.token_ids[asked.token_ids == 59] = 7
    model = native_model(config, tensors, precision, isa)
    way = options(num_beams=1, max_new_tokens=3, suppress_tokens=[59])
    model.generate(asked.contexts, asked.requests, way, None, **running())
    asked.token_ids[asked.offsets[1:3] + 2] = 59
    with pytest.raises(_native.ModelError, match=r"dialogues \[1, 2\] of this batch"):
        model.generate(asked.contexts, asked.requests, way, None, **running(2))
    for call in (model.classify, model.context_vectors):
        assert np.isnan(call(asked.contexts, **running())).any(axis=1).tolist() == [False, True, True, False]
    targets = np.full(4, EOS_ID, np.int32), np.arange(5)
    _, log_probs = model.score(asked.contexts, asked.requests, *targets, **running())
    assert np.isnan(log_probs).tolist() == [False, True, True, False]


@by_kind
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("threads", [1, 2])
def test_nan_in_a_later_step_is_named_by_it(kind: type[ModelConfig], precision: str, threads: int) -> None:
    config = kind.paper(60, **SMALL)
    tensors = random_tensors(config, 1, eos=-50.0)
    tensors["word_embedding.weight"][9] = np.nan
    asked = random_dialogues(config, [5, 4, 6], 1)
    asked.token_ids[asked.token_ids == 9] = 7
    prefixes = [[8, 8, 9], [8, 8], [8, 8, 9, 8]]
    way = options(num_beams=2, max_new_tokens=6, suppress_tokens=[9])
    with pytest.raises(_native.ModelError, match=r"NaN at step 3 for dialogues \[0, 2\] of this batch"):
        native_model(config, tensors, precision).generate(
            asked.contexts, asked.requests, way, prefixes, **running(threads)
        )


@by_kind
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_logits_that_all_overflow_have_no_probabilities(kind: type[ModelConfig], precision: str, isa: str) -> None:
    """As of the reference's log_softmax: NaN. All weights are finite."""
    config = kind.paper(60, **SMALL)
    tensors = random_tensors(config, 1)
    for name, value in (("decoder.norm.weight", 0.0), ("decoder.norm.bias", 2.0), ("fc_decode.weight", -3e38)):
        tensors[name][:] = value
    model, asked = native_model(config, tensors, precision, isa), random_dialogues(config, [5, 4], 1)
    _, log_probs = model.score(
        asked.contexts, asked.requests, np.arange(6, dtype=np.int32), np.arange(3) * 3, **running()
    )
    assert np.isnan(log_probs).all()
    for way in (options(num_beams=1, max_new_tokens=3), options(num_beams=3, max_new_tokens=3)):
        with pytest.raises(_native.ModelError, match="the model produced NaN"):
            model.generate(asked.contexts, asked.requests, way, None, **running())
