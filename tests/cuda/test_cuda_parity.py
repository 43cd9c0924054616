"""The device back end against the reference; on the CPU by the plain ops where there is no GPU."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from mime_fast.backends.gpu.model import means
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MimeConfig
from mime_fast.kernels import plain
from mime_fast.kernels.plain_encoder import Sequences
from mime_fast.kernels.select import plain_ops, topk_of
from mime_fast.text.special import EOS_ID, PAD_ID, UNK_ID
from tests.cuda.device_case import ON_DEVICE, DeviceCase, device_backend
from tests.native.parity_case import logprobs, parts
from tests.native.random_models import SMALL, configs, random_dialogues, random_tensors
from tests.native.test_engine_parity import MANY, SWITCHES, ways
from tests.parity import FARTHEST, PRECISION_BOUNDS, assert_as_exact

DEVIATION = 2.0  # of the logits


@settings(max_examples=3 if ON_DEVICE else 12, deadline=None)  # each compiles kernels for new sizes
@given(
    data=st.data(), config=configs(max_vocab=300), seed=st.integers(0, 2**32), pads=st.booleans(), mean=st.booleans()
)
def test_any_model_and_any_options(data: st.DataObject, config: MimeConfig, seed: int, pads: bool, mean: bool) -> None:
    words = data.draw(st.lists(st.integers(1, config.max_positions - 1), min_size=1, max_size=5))
    asked = random_dialogues(config, words, seed, pads=pads, stochastic=not mean)
    options = data.draw(ways(config))
    tokens = st.integers(0, config.vocab_size - 1).filter(lambda token: token != EOS_ID)
    prefix = st.lists(tokens, max_size=options.max_new_tokens - 1)
    prefixes = data.draw(st.none() | st.lists(prefix, min_size=len(words), max_size=len(words)))
    DeviceCase(config, random_tensors(config, seed, eos=2.0)).check_generate(asked, options, prefixes)


@settings(max_examples=3 if ON_DEVICE else 8, deadline=None)
@given(data=st.data(), config=configs(max_vocab=300), seed=st.integers(0, 2**32), pads=st.booleans())
def test_scores_and_emotions(data: st.DataObject, config: MimeConfig, seed: int, pads: bool) -> None:
    asked = random_dialogues(config, [1, config.max_positions - 1, 5], seed, pads=pads)
    lengths = [data.draw(st.integers(1, config.max_positions)) for _ in range(3)]
    targets = np.random.default_rng(seed).integers(0, config.vocab_size, sum(lengths)).astype(np.int32)
    offsets = np.cumsum([0, *lengths])
    case = DeviceCase(config, random_tensors(config, seed))
    outputs, log_probs = case.native.score(*parts(asked), targets, offsets)
    case.check_outputs(outputs, asked)
    for i, (start, end) in enumerate(itertools.pairwise(offsets)):
        one = asked.only([i])
        others = (logprobs(backend, one, targets[start:end].tolist()) for backend in (case.plain, case.exact))
        assert_as_exact(torch.from_numpy(log_probs[start:end]), *others)
    assert_as_exact(*(torch.from_numpy(backend.classify(parts(asked)[0])) for backend in case.all))
    assert_as_exact(*(torch.from_numpy(backend.context_vectors(parts(asked)[0])) for backend in case.all))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_mean_of_a_sequence_depends_on_itself_alone(dtype: torch.dtype) -> None:
    """Bit for bit: alone, and among longer ones; what lies outside of it, or is not seen, may be NaN."""
    source = torch.Generator().manual_seed(1)
    bounds = torch.tensor([0, 30, 31, 131, 140], dtype=torch.int32)
    seen = (torch.rand(150, generator=source) > 0.2).to(torch.uint8)
    seen[bounds.long()] = 1
    x = torch.randn(150, 7, generator=source).to(dtype)
    x[(seen == 0) | (torch.arange(150) >= 140)] = torch.nan
    found = means(x, Sequences(bounds[:-1], bounds[1:], seen, 128))
    for i, (start, end) in enumerate(itertools.pairwise(bounds.tolist())):
        first, last = torch.tensor([[3], [end - start + 3]], dtype=torch.int32)
        own, longest = slice(start, end), max(16, 1 << (end - start - 1).bit_length())
        alone = Sequences(first, last, F.pad(seen[own], (3, 5)), longest)
        assert torch.equal(means(F.pad(x[own], (0, 0, 3, 5), value=torch.nan), alone)[0], found[i])
        torch.testing.assert_close(found[i], x[own][seen[own] != 0].double().mean(dim=0).float())


@pytest.mark.parametrize("preset", [MimeConfig.paper, MimeConfig.released])
@pytest.mark.parametrize("changes", SWITCHES, ids=lambda changes: " ".join(changes) or "as it is")
def test_every_switch(preset: Any, changes: dict[str, Any]) -> None:
    config = preset(101, **SMALL, num_layers=2, **changes)
    asked = random_dialogues(config, [1, 7, 2, 30, 16], 5)
    DeviceCase(config, random_tensors(config, 6, eos=3.0)).check_generate(asked, GenerationConfig(**MANY))


@pytest.mark.parametrize("search", ["standard", "mime"])
def test_generated_special_tokens(search: Any) -> None:
    """PAD, which attention does not see afterwards, and UNK; in `mime` EOS too, inside of entries after the best."""
    config = MimeConfig.paper(40, **SMALL, num_layers=2)
    tensors = random_tensors(config, 3, eos=1.5)
    tensors["fc_decode.bias"][[PAD_ID, UNK_ID]] += np.float32(4.0)
    options = GenerationConfig(**MANY, search=search)
    replies = DeviceCase(config, tensors).check_generate(random_dialogues(config, [4, 9, 1, 6, 13], 8), options)
    tokens = {token for each in replies for reply in each for token in reply.token_ids}
    assert tokens >= {PAD_ID, UNK_ID} | ({EOS_ID} if search == "mime" else set())


def test_longest_contexts_and_replies() -> None:
    config = MimeConfig.paper(90, **SMALL, max_positions=129)
    case = DeviceCase(config, random_tensors(config, 4, eos=-9.0))
    options = GenerationConfig(max_new_tokens=129, num_beams=2, no_repeat_ngram_size=3)
    replies = case.check_generate(random_dialogues(config, [128, 1, 127], 1), options)
    assert [reply.count for (reply,) in replies] == [129] * 3


def test_wide_beams() -> None:
    """More candidates of a row than the kernel of vocab_topk keeps."""
    config = MimeConfig.paper(90, **SMALL)
    options = GenerationConfig(max_new_tokens=4, num_beams=21, num_return_sequences=21)
    DeviceCase(config, random_tensors(config, 5)).check_generate(random_dialogues(config, [8, 1, 12], 1), options)


def test_no_dialogues() -> None:
    config = MimeConfig.paper(40, **SMALL)
    backend = device_backend(config, random_tensors(config))
    asked = random_dialogues(config, [])
    assert backend.generate(*parts(asked), GenerationConfig())[1] == []
    assert backend.classify(parts(asked)[0]).shape == (0, 32)
    assert backend.context_vectors(parts(asked)[0]).shape == (0, 24)
    assert backend.score(*parts(asked), np.zeros(0, np.int32), np.zeros(1, np.int64))[1].shape == (0,)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_small_dtypes_stay_near_float32(dtype: torch.dtype) -> None:
    config = MimeConfig.paper(1507, hidden_size=126, num_layers=2)
    tensors = random_tensors(config, 7, logits=DEVIATION, eos=4.0)
    words = [1, 40, 8, 17, 33, 2, 90] * 2
    asked = random_dialogues(config, words, 2, pads=True)
    targets = np.random.default_rng(1).integers(0, config.vocab_size, 16 * len(words)).astype(np.int32)
    ends = np.arange(0, len(targets) + 1, 16)
    backends = [device_backend(config, tensors, 8, each) for each in (dtype, torch.float32)]
    (outputs, found), (exact, expected) = (backend.score(*parts(asked), targets, ends) for backend in backends)
    errors = (found - expected) / DEVIATION
    bound = PRECISION_BOUNDS["bfloat16"]
    assert 0 < np.sqrt(np.mean(errors**2)) < bound
    assert np.abs(errors).max() < FARTHEST * bound
    for name in ("emotion_logits", "weights", "mimic_share"):
        assert np.abs(getattr(outputs, name) - getattr(exact, name)).max() < FARTHEST * bound
    vectors, exactly = (backend.context_vectors(parts(asked)[0]) for backend in backends)
    assert 0 < np.abs(vectors - exactly).max() < FARTHEST * bound
    options = GenerationConfig(num_beams=1, max_new_tokens=1)
    first, wanted = (backend.generate(*parts(asked), options)[1] for backend in backends)
    assert sum(one[0].token_ids == other[0].token_ids for one, other in zip(first, wanted, strict=True)) > 10


def test_sorted_candidates_are_those_of_the_twin() -> None:
    source = torch.Generator().manual_seed(1)
    hidden, weight = (torch.randn(rows, 6, generator=source).round() for rows in (9, 40))  # many logits tie
    bias = torch.zeros(40)
    bias[7] = -torch.inf
    hidden[3, 0] = torch.nan
    banned = torch.randint(-1, 40, (9, 5), generator=source).int()
    suppressed = torch.zeros(40, dtype=torch.uint8)
    suppressed[[0, 39]] = 1
    sorted_topk = topk_of(plain_ops("for tests"), 35)
    both: list[tuple[Tensor | None, Tensor | None]] = [(None, None), (suppressed, banned), (None, banned)]
    for never, bans in both:
        found, expected = (topk(hidden, weight, bias, never, bans, 35) for topk in (sorted_topk, plain.vocab_topk))
        torch.testing.assert_close(found[0], expected[0], equal_nan=True, rtol=0, atol=0)
        there = expected[0] > -torch.inf
        assert torch.equal(found[1][there], expected[1][there])


def test_options_that_leave_no_word() -> None:
    """Seven words, none twice, and seven to be said: EOS is banned until there is no word left."""
    config = MimeConfig.paper(7, **SMALL)
    case = DeviceCase(config, random_tensors(config, 1))
    options = GenerationConfig(num_beams=1, max_new_tokens=8, min_new_tokens=7, no_repeat_ngram_size=1)
    assert case.check_generate(random_dialogues(config, [3, 1, 2, 4], 1), options) == []
