"""The twins in plain PyTorch give the reference's numbers in float64."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import pytest
import torch

from mime_fast.config.generation import GenerationConfig
from mime_fast.kernels import plain
from mime_fast.kernels.plain_noise import gumbel, philox4x32, standard_normal
from mime_fast.kernels.plain_sampling import kept_logits
from mime_fast.kernels.select import plain_ops, topk_of
from mime_fast.kernels.weights import DecoderCache, DecoderWeights, PriorWeights
from mime_fast.reference import philox
from mime_fast.reference.candidates import exact_topk
from mime_fast.reference.decoder import DecoderLayer, Memory
from mime_fast.reference.mime import Mime
from mime_fast.reference.noise import prior_noise
from mime_fast.reference.response_emotion import GROUPS
from mime_fast.reference.search import filter_logits
from mime_fast.text.special import SOS_ID
from tests.kernels.cases import Random, bits
from tests.parity import assert_close
from tests.reference.tiny import random_contexts, tiny_model

SEEDS = [0, 1234, 2**64 - 1, 2**63, 5]
REQUESTS = [0, 7, 2**64 - 1, 2**32, 2**31]
SWITCHES: list[dict[str, Any]] = [
    {},
    {"separate_sigma": False},
    {"emotion_mimicry": False},
    {"emotion_mimicry": False, "emotion_grouping": False},
]


def test_philox_gives_the_published_words() -> None:
    counter = tuple(torch.tensor(word) for word in (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344))
    words = philox4x32(counter, (torch.tensor(0xA4093822), torch.tensor(0x299F31D0)))  # type: ignore[arg-type]
    assert [f"{int(word):08x}" for word in words] == ["d16cfe09", "94fdcceb", "5001e420", "24126ea1"]


@pytest.mark.parametrize("size", [1, 4, 30, 300])
def test_normals_are_the_references(size: int) -> None:
    for purpose in (0, 1):
        drawn = standard_normal(bits(SEEDS), bits(REQUESTS), purpose, size)
        expected = philox.standard_normal(SEEDS, REQUESTS, purpose, size)
        np.testing.assert_allclose(drawn.numpy(), expected, rtol=1e-14, atol=1e-14)


def test_gumbel_numbers_are_the_references() -> None:
    steps, sequences = [0, 2, 29, 2**14 - 1, 1], [0, 1, 2**24 - 1, 7, 0]
    drawn = gumbel(bits(SEEDS), bits(REQUESTS), torch.tensor(sequences), torch.tensor(steps), 11)
    expected = philox.gumbel(SEEDS, REQUESTS, steps, sequences, np.tile(np.arange(11), (5, 1)))
    np.testing.assert_allclose(drawn.numpy(), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    "way",
    [{}, {"top_k": 3}, {"top_k": 900}, {"top_p": 0.6}, {"top_p": 1e-9}, {"top_k": 9, "top_p": 0.5, "temperature": 0.3}],
    ids=str,
)
def test_what_sampling_keeps_is_the_reference_s(way: dict[str, Any]) -> None:
    """Of equal values at the cut, too, and where few are allowed, or none."""
    options = GenerationConfig(num_beams=1, do_sample=True, **way)
    values = torch.cat([Random(1)(20, 40).float(), (Random(2).ids(4, 20, 40) - 5).float()])
    values[3], values[4, 2:], values[5, ::2] = -inf, -inf, -inf
    assert torch.equal(kept_logits(values, options), filter_logits(values, options))


@pytest.mark.parametrize("changes", SWITCHES, ids=str)
@pytest.mark.parametrize("stochastic", [True, False])
@torch.no_grad()
def test_response_emotion(changes: dict[str, Any], stochastic: bool) -> None:
    model = tiny_model(**changes)
    c = torch.randn(5, model.config.hidden_size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mimicked = torch.tensor([0, 5, 11, 2, 31], dtype=torch.int32)
    mixture = model.sample(c, prior_noise(model, SEEDS, REQUESTS) if stochastic else None)
    prior = PriorWeights.pack(model.state_dict(), model.config, torch.float64, "cpu")
    d, m, m_other = plain.response_emotion(c, bits(SEEDS), bits(REQUESTS), mimicked, prior, stochastic)
    for found, expected in zip((m, m_other), model.mimicry(mixture, mimicked.long()), strict=True):
        assert_close(found, expected)
    for group, weights in mixture.weights.items():
        assert_close(d[:, list(GROUPS[group])], weights)


@torch.no_grad()
def test_gate_fusion() -> None:
    model = tiny_model()
    ids, states = random_contexts([3, 6])
    context = model.encode(ids, states)
    refined = model.refine(context, torch.randn(2, 12).double(), torch.randn(2, 12).double())
    memory = model.fuse(refined)
    gate = model.fusion
    fused, share = plain.gate_fusion(
        refined.mimic[refined.real],
        refined.other[refined.real],
        gate.fc_contrib.weight,
        gate.fc_contrib.bias,
        gate.fc_fused.weight,
        gate.fc_fused.bias,
    )
    assert_close(fused, memory.fused[refined.real])
    assert_close(share, memory.mimic_share[refined.real])


def test_vocab_topk_and_score() -> None:
    generator = torch.Generator().manual_seed(3)
    hidden, weight = (torch.randn(size, 6, dtype=torch.float64, generator=generator) for size in (4, 9))
    weight[5] = weight[2]  # a tie
    bias = torch.zeros(9, dtype=torch.float64)
    log_probs = (hidden @ weight.T).log_softmax(dim=-1)
    suppressed = torch.zeros(9, dtype=torch.uint8)
    suppressed[7] = 1
    banned = torch.tensor([[-1, -1], [3, -1], [3, 4], [-1, 8]], dtype=torch.int32)
    expected = log_probs.clone()
    expected[:, 7] = expected[1, 3] = expected[2, 3] = expected[2, 4] = expected[3, 8] = -inf
    values, ids, total = plain.vocab_topk(hidden, weight, bias, suppressed, banned, 12)
    assert_close(total, (hidden @ weight.T).logsumexp(dim=-1))
    best, order = exact_topk(expected, 9)
    assert_close(values[:, :9], best)
    assert torch.equal(ids[:, :9], order.masked_fill(best == -inf, 0).int())
    assert (values[:, 9:] == -inf).all() and (ids[:, 9:] == 0).all()
    hidden[1, 0] = torch.nan
    values, ids, _ = plain.vocab_topk(hidden, weight, bias, None, None, 2)
    assert values[1].isnan().all() and (ids[1] == 0).all() and not values[[0, 2, 3]].isnan().any()
    targets = torch.tensor([0, 1, 2, 8], dtype=torch.int32)
    scores = plain.vocab_score(hidden, weight, bias, targets)
    assert scores.isnan().tolist() == [False, True, False, False]
    assert_close(scores[2:], log_probs[[2, 3], [2, 8]])


def fill_memory(model: Mime, caches: tuple[DecoderCache, ...], memory: torch.Tensor) -> None:
    for layer, cache in zip(model.decoder.layers, caches, strict=True):
        assert isinstance(layer, DecoderLayer)
        attention = layer.memory_attention
        cache.memory_keys.copy_(attention.key(memory).unflatten(-1, (model.config.num_heads, -1)))
        cache.memory_values.copy_(attention.value(memory).unflatten(-1, (model.config.num_heads, -1)))


@pytest.mark.parametrize("preset", ["paper", "released"])
@torch.no_grad()
def test_decoder_steps_with_beams_that_part_and_die(preset: str) -> None:
    model = tiny_model(preset, num_layers=2)
    dialogues, beams, length, lengths = 3, 4, 7, [5, 2, 6]
    rows = dialogues * beams
    generator = torch.Generator().manual_seed(2)
    memory = torch.randn(dialogues, max(lengths), model.config.hidden_size, dtype=torch.float64, generator=generator)
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    state = model.decoder.start(Memory(memory.repeat_interleave(beams, 0), real.repeat_interleave(beams, 0)))
    caches = tuple(
        DecoderCache.empty(model.config, rows, length, dialogues, max(lengths), memory)
        for _ in range(model.config.num_layers)
    )
    fill_memory(model, caches, memory)
    weights = DecoderWeights.pack(model.state_dict(), model.config, torch.float64, "cpu")
    words, ancestry = (torch.full((rows, length), 99, dtype=torch.int32) for _ in range(2))  # unwritten ones: no matter
    tokens = torch.full((rows,), SOS_ID, dtype=torch.int32)
    masked, lengths_tensor = (~real).to(torch.uint8), torch.tensor(lengths, dtype=torch.int32)
    for step in range(length):
        words[:, step], ancestry[:, step] = tokens, torch.arange(rows) % beams
        history = plain.History(words, ancestry, torch.full((rows,), step, dtype=torch.int32))
        out = plain.decoder_step(history, masked, lengths_tensor, weights, caches)
        expected, state = model.decoder.step(model.embed_response(tokens.long()), tokens.long(), state)
        assert_close(out, expected)
        parents = torch.randint(0, beams, (rows,), generator=generator) + torch.arange(rows) // beams * beams
        words, ancestry, state = words[parents], ancestry[parents], state.select(parents)
        tokens = torch.randint(0, 9, (rows,), generator=generator).int()  # PAD among them


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_logits_are_not_rounded_to_the_dtype_of_the_products(dtype: torch.dtype) -> None:
    """Near 12 bfloat16 has steps of 0.06."""
    source = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(rows, 30, generator=source).to(dtype) for rows in (5, 70))
    bias = 12 + torch.randn(70, generator=source)
    exact = hidden.double() @ weight.double().T + bias.double()
    logits = plain.vocab_logits(hidden, weight, bias)
    assert logits.dtype == torch.float32 and (logits - exact).abs().max() < 1e-4
    expected = exact.log_softmax(dim=-1).sort(dim=-1, descending=True)
    for k in (10, 40):
        found, ids, total = topk_of(plain_ops("for tests"), k)(hidden, weight, bias, None, None, k)
        assert torch.equal(ids, expected.indices[:, :k].int())
        assert (found - expected.values[:, :k]).abs().max() < 1e-4
        assert (total - exact.logsumexp(dim=-1)).abs().max() < 1e-4
