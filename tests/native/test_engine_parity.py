"""Random models of odd sizes: the native back end is as exact as PyTorch, and its replies are the reference's."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MimeConfig, ModelConfig, MoelConfig, MultiTaskConfig
from mime_fast.text.special import EOS_ID, PAD_ID, UNK_ID
from tests.native.parity_case import Case, logprobs, parts
from tests.native.random_models import ISAS, KINDS, SMALL, configs, random_dialogues, random_tensors
from tests.parity import assert_as_exact, assert_close

SWITCHES: list[dict[str, Any]] = [
    {},
    {"speaker_table": False},
    {"drop_ctx": False},
    {"shared_response_encoder": False},
    {"separate_sigma": False},
    {"final_relu": True},
    {"unbiased_norm": True},
    {"tie_word_embeddings": True},
    {"emotion_mimicry": False},
    {"emotion_mimicry": False, "emotion_grouping": False},
]
BASELINE_SWITCHES: list[dict[str, Any]] = [
    {},
    {"num_layers": 1},
    {"speaker_table": False},
    {"final_relu": True},
    {"unbiased_norm": True},
    {"tie_word_embeddings": True},
]
MOEL_SWITCHES: list[dict[str, Any]] = [
    {"top_listeners": 1},
    {"top_listeners": 2},
    {"top_listeners": 32},
    {"top_listeners": 32, "min_listener_weight": 0.015},
]
by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.model_type)
MANY: dict[str, Any] = {"max_new_tokens": 9, "num_beams": 4, "num_return_sequences": 4}


@st.composite
def ways(draw: st.DrawFn, config: ModelConfig) -> GenerationConfig:
    longest = draw(st.integers(1, min(12, config.max_positions)))
    both: dict[str, Any] = {"max_new_tokens": longest, "min_new_tokens": draw(st.integers(0, longest))}
    kind = draw(st.sampled_from(["greedy", "sampling", "standard", "mime"]))
    if kind in ("standard", "mime"):
        both["num_beams"] = draw(st.integers(2, 20))
        both["num_return_sequences"] = draw(st.integers(1, both["num_beams"]))
    else:
        both["num_beams"] = 1
    if kind == "mime":
        return GenerationConfig(**both, search="mime")
    if kind == "sampling":
        both |= {"do_sample": True, "num_return_sequences": draw(st.integers(1, 4))}
        both |= {"top_k": draw(st.integers(0, 30)), "top_p": draw(st.floats(0.1, 1.0))}
        both["temperature"] = draw(st.floats(0.2, 3.0))
    return GenerationConfig(
        **both,
        length_penalty=draw(st.sampled_from([1.0, 0.0, 0.7, 2.0, -1.0])),
        no_repeat_ngram_size=draw(st.integers(0, 3)),
        repetition_penalty=draw(st.sampled_from([1.0, 1.0, 1.3, 0.7, 3.0])),
        suppress_tokens=tuple(draw(st.lists(st.integers(0, config.vocab_size - 1), max_size=2))),
    )


@by_kind
@settings(max_examples=45, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32), pads=st.booleans(), stochastic=st.booleans())
def test_any_model_and_any_options(
    kind: type[ModelConfig], data: st.DataObject, seed: int, pads: bool, stochastic: bool
) -> None:
    config = data.draw(configs(kind=kind))
    words = data.draw(st.lists(st.integers(1, config.max_positions - 1), min_size=1, max_size=5))
    asked = random_dialogues(config, words, seed, pads=pads, stochastic=stochastic)
    options = data.draw(ways(config))
    tokens = st.integers(0, config.vocab_size - 1).filter(lambda token: token != EOS_ID)
    prefix = st.lists(tokens, max_size=options.max_new_tokens - 1)
    prefixes = data.draw(st.none() | st.lists(prefix, min_size=len(words), max_size=len(words)))
    case = Case(config, random_tensors(config, seed, eos=2.0), threads=data.draw(st.integers(1, 3)))
    assume(case.chooses_clearly(asked))
    case.check_generate(asked, options, prefixes)


@by_kind
@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32), pads=st.booleans())
def test_scores_and_emotions(kind: type[ModelConfig], data: st.DataObject, seed: int, pads: bool) -> None:
    config = data.draw(configs(kind=kind))
    asked = random_dialogues(config, [1, config.max_positions - 1, 5], seed, pads=pads)
    lengths = [data.draw(st.integers(1, config.max_positions)) for _ in range(3)]
    targets = np.random.default_rng(seed).integers(0, config.vocab_size, sum(lengths)).astype(np.int32)
    offsets = np.cumsum([0, *lengths])
    case = Case(config, random_tensors(config, seed), threads=data.draw(st.integers(1, 3)))
    assume(case.chooses_clearly(asked))
    outputs, log_probs = case.native.score(*parts(asked), targets, offsets)
    case.check_outputs(outputs, asked)
    for i, (start, end) in enumerate(itertools.pairwise(offsets)):
        others = (
            logprobs(backend, asked.only([i]), targets[start:end].tolist()) for backend in (case.plain, case.exact)
        )
        assert_as_exact(torch.from_numpy(log_probs[start:end]), *others)
    contexts = parts(asked)[0]
    assert_as_exact(*(torch.from_numpy(backend.classify(contexts)) for backend in case.all))
    assert_as_exact(*(torch.from_numpy(backend.context_vectors(contexts)) for backend in case.all))


@by_kind
def test_context_vectors_by_hand(kind: type[ModelConfig]) -> None:
    """The first state, then the mean of those that are not of PAD, of each context by itself."""
    config = kind.paper(301, **SMALL)
    asked = random_dialogues(config, [1, 30, 7], 5, pads=True)
    assert PAD_ID in asked.token_ids
    case = Case(config, random_tensors(config, 6))
    found = [torch.from_numpy(backend.context_vectors(parts(asked)[0])) for backend in case.all]
    for i in range(len(asked)):
        ids, states = (torch.from_numpy(x).long()[None] for x in asked.only([i]).contexts[:2])
        hidden = case.exact.model.encode(ids, states).hidden[0].detach()
        real = [state for state, token in zip(hidden, ids[0].tolist(), strict=True) if token != PAD_ID]
        expected = torch.cat([hidden[0], torch.stack(real).mean(dim=0)])
        for each in found:
            assert_close(each[i], expected)


@pytest.mark.parametrize("preset", ["paper", "released"])
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        *((MimeConfig, changes) for changes in SWITCHES),
        *((MultiTaskConfig, changes) for changes in BASELINE_SWITCHES),
        *((MoelConfig, changes) for changes in BASELINE_SWITCHES + MOEL_SWITCHES),
    ],
    ids=lambda value: (
        value.model_type
        if isinstance(value, type) and issubclass(value, ModelConfig)
        else " ".join(value) or "as it is"
    ),
)
def test_every_switch(kind: type[ModelConfig], changes: dict[str, Any], preset: str) -> None:
    config = getattr(kind, preset)(301, **SMALL, **({"num_layers": 2} | changes))
    asked = random_dialogues(config, [1, 7, 2, 30, 16, 17], 5)
    case = Case(config, random_tensors(config, 6, eos=3.0))
    assert case.chooses_clearly(asked)
    case.check_generate(asked, GenerationConfig(**MANY))


@pytest.mark.parametrize("preset", ["paper", "released"])
def test_mimic_shares_are_of_words_and_0_at_ctx(preset: str) -> None:
    config = getattr(MimeConfig, preset)(301, **SMALL)
    asked = random_dialogues(config, [1, 30, 7, 2], 5)
    found = [torch.from_numpy(each.mimic_shares(*parts(asked))) for each in Case(config, random_tensors(config, 6)).all]
    assert_as_exact(*found)
    assert not found[0][asked.offsets[:-1]].any()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("preset", ["paper", "released"])
def test_a_gate_that_is_shut_shares_equally(preset: str, isa: str) -> None:
    config = getattr(MimeConfig, preset)(301, **SMALL)
    tensors = random_tensors(config, 6)
    tensors["fusion.fc_contrib.weight"][:] = 0.0
    tensors["fusion.fc_contrib.bias"][:] = -1000.0
    asked = random_dialogues(config, [1, 30, 7, 2], 5)
    for each in Case(config, tensors, isa=isa).all:
        outputs, _ = each.generate(*parts(asked), GenerationConfig(max_new_tokens=1))
        assert outputs.mimic_share is not None and outputs.mimic_share.tolist() == [0.5] * 4


@by_kind
@pytest.mark.parametrize("vocab_size", [24_640, 25_000])
@pytest.mark.parametrize("threads", [1, 2])
def test_large_vocabularies(kind: type[ModelConfig], vocab_size: int, threads: int) -> None:
    config = kind.paper(vocab_size, hidden_size=300, ffn_channels=50)
    case = Case(config, random_tensors(config, 1, logits=3.0, eos=9.0), threads=threads)
    some, one = random_dialogues(config, [3, 40, 11, 23], 2), random_dialogues(config, [12], 2)
    assert case.chooses_clearly(some) and case.chooses_clearly(one)
    for options in (MANY, {"num_beams": 1, "do_sample": True, "top_k": 50, "top_p": 0.95, "max_new_tokens": 6}):
        case.check_generate(some, GenerationConfig(**options))
    case.check_generate(one, GenerationConfig(**MANY))  # threads split the vocabulary


@by_kind
@pytest.mark.parametrize("search", ["standard", "mime"])
def test_generated_special_tokens(kind: type[ModelConfig], search: Any) -> None:
    """PAD, which attention does not see afterwards, and UNK; in `mime` EOS too, inside of entries after the best."""
    config = kind.paper(40, **SMALL, num_layers=2)
    tensors = random_tensors(config, 5, eos=3.5)
    tensors["fc_decode.bias"][[PAD_ID, UNK_ID]] += np.array([4.0, 5.0], np.float32)
    options = GenerationConfig(**MANY, search=search)
    replies = Case(config, tensors).check_generate(random_dialogues(config, [4, 9, 1, 6, 13], 8), options)
    tokens = {token for each in replies for reply in each for token in reply.token_ids}
    assert tokens >= {PAD_ID, UNK_ID} | ({EOS_ID} if search == "mime" else set())


@by_kind
def test_longest_contexts_and_replies(kind: type[ModelConfig]) -> None:
    config = kind.paper(90, **SMALL, max_positions=129)
    case = Case(config, random_tensors(config, 4, eos=-9.0))
    options = GenerationConfig(max_new_tokens=129, num_beams=2)
    replies = case.check_generate(random_dialogues(config, [128, 1, 127], 1), options)
    assert [reply.count for (reply,) in replies] == [129] * 3


@by_kind
def test_no_dialogues(kind: type[ModelConfig]) -> None:
    config = kind.paper(40, **SMALL)
    case = Case(config, random_tensors(config))
    asked = random_dialogues(config, [])
    assert case.native.generate(*parts(asked), GenerationConfig())[1] == []
    assert case.native.classify(parts(asked)[0]).shape == (0, 32)
    assert [backend.context_vectors(parts(asked)[0]).shape for backend in case.all] == [(0, 24)] * 3
    assert case.native.score(*parts(asked), np.zeros(0, np.int32), np.zeros(1, np.int64))[1].shape == (0,)
