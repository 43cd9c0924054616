"""MoEL against a calculation written out by hand: which listeners are used, how much, and what comes of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from mime_fast.config.model import MoelConfig
from mime_fast.errors import ConfigError
from mime_fast.reference.models import new_model
from mime_fast.reference.moel import Moel, MoelMemory
from tests.parity import assert_close
from tests.reference.by_hand import array, contexts, decoder_layer, linear, norm, response, softmax
from tests.reference.tiny import random_contexts, tiny

PRESETS = pytest.mark.parametrize("preset", ["paper", "released"])
WORDS = [3, 9, 10, 11, 9]


def tiny_moel(preset: str = "paper", **changes: Any) -> Moel:
    model = tiny(MoelConfig, preset, **changes)
    assert isinstance(model, Moel)
    return model


def weights_by_hand(logits: list[float], top: int, least: float) -> list[float]:
    """The `top` largest, of equal ones those of the lowest index; those of no more than `least` are silent."""
    chosen = sorted(range(len(logits)), key=lambda i: (-logits[i], i))[:top]
    raised = {i: math.exp(logits[i]) for i in chosen}
    shares = {i: value / sum(raised.values()) for i, value in raised.items()}
    return [shares[i] if i in shares and shares[i] > least else 0.0 for i in range(len(logits))]


def decode_by_hand(model: Moel, hidden: np.ndarray, weights: list[float]) -> np.ndarray:
    """x' = shared(x) + sum_i p_i listener_i(x), which the meta listener reads."""
    x = response(WORDS, model)
    combined = decoder_layer(x, hidden, model.decoder.shared_listener)
    for weight, listener in zip(weights, model.decoder.listeners, strict=True):
        combined = combined + weight * decoder_layer(x, hidden, listener)
    for layer in model.decoder.layers:
        combined = decoder_layer(combined, hidden, layer)
    return norm(combined, model.decoder.norm)


@PRESETS
@pytest.mark.parametrize("changes", [{}, {"num_layers": 2, "top_listeners": 3}], ids=["plain", "two-layers"])
def test_what_it_hears_and_says(preset: str, changes: dict[str, int]) -> None:
    """The classifier reads c, its likeliest emotions weigh the listeners, all of which read the same x and H."""
    model = tiny_moel(preset, **changes)
    ids, states = random_contexts([6])
    hidden = contexts(ids[0].tolist(), states[0].tolist(), model)
    context = model.encode(ids, states)
    assert_close(context.hidden[0], torch.from_numpy(hidden))
    logits = array(model.emotion_key.weight) @ hidden[0]
    assert_close(context.emotion_logits[0], torch.from_numpy(logits))
    weights = weights_by_hand(logits.tolist(), changes.get("top_listeners", 5), 1e-4 if preset == "released" else 0)
    memory, mixture = model.decoder_memory(context, torch.tensor([0]), None)
    assert mixture is None
    assert isinstance(memory, MoelMemory)
    assert_close(memory.weights[0], torch.tensor(weights, dtype=torch.float64))
    out = decode_by_hand(model, hidden, weights)
    assert_close(model.decode(torch.tensor([WORDS]), memory)[0], torch.from_numpy(out))
    _, logprobs, _ = model.step(torch.tensor([3]), model.start_decoding(memory))
    assert_close(logprobs[0], torch.from_numpy(np.log(softmax(linear(out[0], model.fc_decode)))))


@PRESETS
def test_neither_emotion_nor_noise_is_heard(preset: str) -> None:
    model = tiny_moel(preset)
    assert model.noise_groups == 0
    context = model.encode(*random_contexts([4, 2]))
    plain, _ = model.decoder_memory(context, torch.tensor([0, 0]), None)
    other, _ = model.decoder_memory(context, torch.tensor([5, 31]), torch.ones(2, 0, 12, dtype=torch.float64))
    assert torch.equal(plain.fused, context.hidden)
    assert torch.equal(other.fused, plain.fused)
    assert torch.equal(other.weights, plain.weights)


@pytest.mark.parametrize("top", [1, 5, 32])
def test_weights_of_the_likeliest(top: int) -> None:
    model = tiny_moel(top_listeners=top)
    logits = torch.randn(4, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 3
    weights = model.listener_weights(logits)
    expected = [weights_by_hand(row, top, 0) for row in logits.tolist()]
    assert_close(weights, torch.tensor(expected, dtype=torch.float64))
    assert (weights > 0).sum(dim=1).tolist() == [top] * 4
    assert_close(weights.sum(dim=1), torch.ones(4, dtype=torch.float64))


def test_of_equal_logits_the_lowest_index_is_heard() -> None:
    model = tiny_moel()
    logits = torch.zeros(2, 32, dtype=torch.float64)
    logits[1, [31, 7]] = 1.0
    weights = model.listener_weights(logits)
    assert weights[0].nonzero()[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert weights[1].nonzero()[:, 0].tolist() == [0, 1, 2, 7, 31]
    assert_close(weights[0, :5], torch.full((5,), 0.2, dtype=torch.float64))


def test_a_listener_of_little_weight_is_heard_in_training_alone() -> None:
    """No more than the least weight is silent; the others keep theirs, which then sum to less than 1."""
    model = tiny_moel("released", min_listener_weight=1e-4)
    logits = torch.zeros(1, 32, dtype=torch.float64)
    logits[0, :5] = torch.tensor([30.0, 29.0, 21.1, 20.0, 19.0])
    training = model.train().listener_weights(logits)
    weights = model.eval().listener_weights(logits)
    assert_close(training[0], torch.tensor(weights_by_hand(logits[0].tolist(), 5, 0), dtype=torch.float64))
    assert training[0].nonzero()[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert [weight > 1e-4 for weight in training[0, :5].tolist()] == [True, True, False, False, False]
    assert torch.equal(weights[0, :2], training[0, :2])
    assert not weights[0, 2:].any()


def test_the_least_weight_itself_is_silent() -> None:
    logits = torch.full((1, 32), -1e9, dtype=torch.float64)
    logits[0, :2] = torch.tensor([math.log(1 - 0.25 / 32), math.log(0.25 / 32)])
    first, share = tiny_moel().listener_weights(logits)[0, :2].tolist()
    for least, second in ((share, 0.0), (math.nextafter(share, 0), share)):
        assert tiny_moel(min_listener_weight=least).listener_weights(logits)[0, :2].tolist() == [first, second]


def test_nobody_else_is_run() -> None:
    """Broken weights of listeners that are not used break nothing, whole prefixes and single steps alike."""
    model = tiny_moel()
    context = model.encode(*random_contexts([5, 3]))
    memory, _ = model.decoder_memory(context, torch.tensor([0, 0]), None)
    ids = torch.tensor([WORDS] * 2)
    before, first = model.decode(ids, memory), model.step(ids[:, 0], model.start_decoding(memory))[0]
    silent = (memory.weights == 0).all(dim=0).nonzero()[:, 0].tolist()
    assert 22 <= len(silent) <= 27
    with torch.no_grad():
        for i in silent:
            for parameter in model.decoder.listeners[i].parameters():
                parameter.fill_(torch.nan)
    assert torch.equal(model.decode(ids, memory), before)
    assert torch.equal(model.step(ids[:, 0], model.start_decoding(memory))[0], first)


@PRESETS
def test_gold_weights_are_one_listener_alone(preset: str) -> None:
    model = tiny_moel(preset)
    ids, states = random_contexts([6])
    context = model.encode(ids, states)
    weights = model.gold_weights(torch.tensor([7]))
    assert torch.equal(weights[0], torch.eye(32, dtype=torch.float64)[7])
    out = model.decode(torch.tensor([WORDS]), model.listen(context, weights))
    assert_close(out[0], torch.from_numpy(decode_by_hand(model, array(context.hidden[0]), weights[0].tolist())))


@pytest.mark.parametrize("vocab_size", [7, 600, 24_489])
def test_parameter_count_of_the_released_model(vocab_size: int) -> None:
    with torch.device("meta"):
        model = new_model(MoelConfig.released(vocab_size))
    assert isinstance(model, Moel)
    assert model.num_parameters() == 6_746_951 + 601 * vocab_size
    layers = [model.decoder.shared_listener, *model.decoder.listeners, *model.decoder.layers]
    assert {sum(parameter.numel() for parameter in layer.parameters()) for layer in layers} == {188_150}
    assert len(layers) == 34


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"top_listeners": 0}, "top_listeners=0: must be an integer of 1 to 32"),
        ({"top_listeners": 33}, "top_listeners=33"),
        ({"top_listeners": True}, "top_listeners=True"),
        ({"min_listener_weight": -0.1}, "min_listener_weight=-0.1: must be a finite number from 0 to 0.015625"),
        ({"min_listener_weight": 0.02}, "min_listener_weight=0.02"),
        ({"min_listener_weight": math.nan}, "min_listener_weight=nan"),
    ],
)
def test_what_a_config_refuses(changes: dict[str, object], message: str) -> None:
    """Half an even share of 32 is the most, so that one is always used."""
    with pytest.raises(ConfigError) as caught:
        MoelConfig.paper(29, **changes)
    assert message in str(caught.value)
