"""A result does not depend on the batch, its order, the batch size or the threads: bit for bit, in every precision."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mime_fast import _native
from mime_fast.config.model import MimeConfig, ModelConfig
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
from tests.parity import SCREENED_BOUND

WAYS = {
    "greedy": options(num_beams=1, max_new_tokens=8),
    "sampling": options(num_beams=1, do_sample=True, num_return_sequences=3, top_k=40, max_new_tokens=7),
    "beams": options(num_beams=5, num_return_sequences=5, max_new_tokens=9, no_repeat_ngram_size=2),
    "wide": options(num_beams=21, num_return_sequences=2, max_new_tokens=4),
    "mime": options(num_beams=3, num_return_sequences=3, max_new_tokens=9, search="mime"),
}
WORDS = [9, 1, 33, 17, 16, 15, 4, 60, 2, 31]
RUNS = [running(threads, size) for threads, size in itertools.product((1, 2, 3, 5), (1, 3, 64))]


@pytest.fixture(
    scope="module",
    params=[*itertools.product(KINDS, PRECISIONS, [ISAS[0], ISAS[-1]])],
    ids=lambda param: f"{param[0].model_type} {param[1]} {param[2]}",
)
def model(request: pytest.FixtureRequest) -> _native.Model:
    """Five chunks of vocabulary for the threads to share."""
    kind, *way = request.param
    config = kind.paper(4800, **{**SMALL, "hidden_size": 22}, num_layers=2)
    return native_model(config, random_tensors(config, 3, eos=6.0), *way)


@pytest.fixture(scope="module")
def asked() -> Asked:
    return random_dialogues(MimeConfig.paper(4800), WORDS, 4, pads=True)


def made(outputs: Any) -> list[Any]:
    """A baseline does not make all of what may be recognised."""
    return [array for array in outputs if array is not None]


def per_dialogue(outputs: Any, replies: Any, prefix: list[int] | None = None) -> list[tuple[bytes, ...]]:
    """The bytes of all that belongs to each dialogue."""
    counts, lengths, *flat = replies
    token_ends, reply_ends = lengths.cumsum(), counts.cumsum()
    found = []
    for i, (count, end) in enumerate(zip(counts, reply_ends, strict=True)):
        each = slice(end - count, end)
        tokens = slice(token_ends[end - 1] - lengths[each].sum(), token_ends[end - 1])
        parts = [array[i] for array in made(outputs)] + [lengths[each], *(array[tokens] for array in flat[:2])]
        found.append(tuple(part.tobytes() for part in (*parts, *(array[each] for array in flat[2:]))))
    return found


def generated(model: _native.Model, asked: Asked, way: dict[str, Any], prefixes: Any, run: Any) -> list[Any]:
    return per_dialogue(*model.generate(asked.contexts, asked.requests, way, prefixes, **run))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_generate(model: _native.Model, asked: Asked, way: dict[str, Any]) -> None:
    prefixes = [[7, 8][: i % 3] for i in range(len(asked))]
    together = generated(model, asked, way, prefixes, running())
    assert len(set(together)) == len(asked)
    for run in RUNS:
        assert generated(model, asked, way, prefixes, run) == together
    for threads in (1, 3):
        alone = [generated(model, asked.only([i]), way, [prefixes[i]], running(threads)) for i in range(len(asked))]
        assert [found for (found,) in alone] == together
    order = np.random.default_rng(0).permutation(len(asked)).tolist()
    shuffled = generated(model, asked.only(order), way, [prefixes[i] for i in order], running(2, 3))
    assert shuffled == [together[i] for i in order]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_score_and_classify_and_context_vectors(model: _native.Model, asked: Asked, threads: int) -> None:
    lengths = [1, 40, 7, 33, 16, 2, 90, 5, 3, 17]
    targets = np.random.default_rng(1).integers(0, 4800, sum(lengths)).astype(np.int32)
    offsets = np.cumsum([0, *lengths])

    def scored(which: list[int], run: dict[str, Any]) -> list[Any]:
        some = asked.only(which)
        tokens = np.concatenate([targets[offsets[i] : offsets[i + 1]] for i in which])
        ends = np.cumsum([0, *(lengths[i] for i in which)])
        outputs, log_probs = model.score(some.contexts, some.requests, tokens, ends, **run)
        logits, vectors = (call(some.contexts, **run) for call in (model.classify, model.context_vectors))
        assert np.array_equal(logits, outputs[0])
        return [
            (*(array[n].tobytes() for array in (*made(outputs), vectors)), log_probs[ends[n] : ends[n + 1]].tobytes())
            for n in range(len(which))
        ]

    everything = list(range(len(asked)))
    together = scored(everything, running())
    for size in (1, 3, 64):
        assert scored(everything, running(threads, size)) == together
    assert [scored([i], running(threads))[0] for i in everything] == together
    order = np.random.default_rng(2).permutation(everything).tolist()
    assert scored(order, running(threads)) == [together[i] for i in order]


@pytest.mark.parametrize("way", [way for name, way in WAYS.items() if name != "wide"])
def test_the_score_of_a_reply_is_what_it_was_generated_with(
    model: _native.Model, asked: Asked, way: dict[str, Any]
) -> None:
    outputs, replies = model.generate(asked.contexts, asked.requests, way, None, **running())
    owners = np.repeat(np.arange(len(asked)), replies[0]).tolist()
    again, log_probs = model.score(
        asked.only(owners).contexts,
        asked.only(owners).requests,
        replies[2],
        np.cumsum([0, *replies[1]]),
        **running(2, 3),
    )
    if model.screened:  # how much of a normaliser is exact depends on how many words are asked for
        np.testing.assert_allclose(log_probs, replies[3], rtol=0, atol=SCREENED_BOUND)
    else:
        assert log_probs.tobytes() == replies[3].tobytes()
    for one, other in zip(made(outputs), made(again), strict=True):
        assert one[owners].tobytes() == other.tobytes()
    for tokens, ended in zip(tokens_of(replies), replies[6].tolist(), strict=True):
        assert (tokens[-1] == EOS_ID) == ended


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.model_type)
@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    precision=st.sampled_from(PRECISIONS),
    isa=st.sampled_from(ISAS),
    seed=st.integers(0, 2**32),
)
def test_any_model(kind: type[ModelConfig], data: st.DataObject, precision: str, isa: str, seed: int) -> None:
    config = data.draw(configs(max_vocab=3000, max_hidden=100, kind=kind))
    way = {**data.draw(st.sampled_from(list(WAYS.values()))), "min_new_tokens": 1}
    words = data.draw(st.lists(st.integers(1, config.max_positions - 1), min_size=1, max_size=9))
    asked = random_dialogues(config, words, seed, pads=True)
    model = native_model(config, random_tensors(config, seed, eos=3.0), precision, isa)
    run = running(data.draw(st.integers(1, 5)), data.draw(st.integers(1, 10)))
    together = generated(model, asked, way, None, run)
    assert [generated(model, asked.only([i]), way, None, running())[0] for i in range(len(words))] == together


@pytest.mark.parametrize("way", [{}, {"top_p": 0.9}, {"repetition_penalty": 1.3}])
def test_a_draw_does_not_depend_on_how_many_there_are(model: _native.Model, asked: Asked, way: dict[str, Any]) -> None:
    """Draws that begin with the same words share their rows."""
    all_ways = {"num_beams": 1, "do_sample": True, "top_k": 3, "max_new_tokens": 6, "no_repeat_ngram_size": 2, **way}
    found = {}
    for count in (1, 3, 12):
        search = options(**all_ways, num_return_sequences=count)
        _, replies = model.generate(asked.contexts, asked.requests, search, None, **running(1, 64))
        counts, lengths, tokens, logprobs = replies[:4]
        assert counts.tolist() == [count] * len(WORDS)
        ends = lengths.cumsum()
        found[count] = [
            [(tokens[end - n : end].tobytes(), logprobs[end - n : end].tobytes()) for n, end in zip(*each, strict=True)]
            for each in zip(lengths.reshape(-1, count), ends.reshape(-1, count), strict=True)
        ]
    for one, three, twelve in zip(found[1], found[3], found[12], strict=True):
        assert one == twelve[:1] and three == twelve[:3]
    beginnings = [{draw[0][:4] for draw in each} for each in found[12]]
    assert max(map(len, beginnings)) <= 3 and sum(len(set(each)) for each in found[12]) > len(WORDS)
