"""Multi-TR against a calculation written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mime_fast.config.model import MultiTaskConfig
from mime_fast.reference.models import new_model
from mime_fast.reference.multitask import MultiTask
from tests.parity import assert_close
from tests.reference.by_hand import array, contexts, decoder_layer, linear, norm, response, softmax
from tests.reference.tiny import random_contexts, tiny

PRESETS = pytest.mark.parametrize("preset", ["paper", "released"])


@PRESETS
@pytest.mark.parametrize("layers", [1, 2])
def test_what_it_hears_and_says(preset: str, layers: int) -> None:
    """The classifier reads c; every layer of the decoder reads H, CTX included."""
    model = tiny(MultiTaskConfig, preset, num_layers=layers)
    assert isinstance(model, MultiTask)
    ids, states = random_contexts([6])
    hidden = contexts(ids[0].tolist(), states[0].tolist(), model)
    context = model.encode(ids, states)
    assert_close(context.hidden[0], torch.from_numpy(hidden))
    assert_close(context.emotion_logits[0], torch.from_numpy(array(model.emotion_key.weight) @ hidden[0]))
    memory, mixture = model.decoder_memory(context, torch.tensor([0]), None)
    assert mixture is None
    words = [3, 9, 10, 11, 9]
    x = response(words, model)
    assert len(model.decoder.layers) == layers
    for layer in model.decoder.layers:
        x = decoder_layer(x, hidden, layer)
    out = norm(x, model.decoder.norm)
    assert_close(model.decode(torch.tensor([words]), memory)[0], torch.from_numpy(out))
    _, logprobs, _ = model.step(torch.tensor([3]), model.start_decoding(memory))
    assert_close(logprobs[0], torch.from_numpy(np.log(softmax(linear(out[0], model.fc_decode)))))


@PRESETS
def test_neither_emotion_nor_noise_is_heard(preset: str) -> None:
    model = tiny(MultiTaskConfig, preset)
    assert model.noise_groups == 0
    context = model.encode(*random_contexts([4, 2]))
    plain, _ = model.decoder_memory(context, torch.tensor([0, 0]), None)
    other, _ = model.decoder_memory(context, torch.tensor([5, 31]), torch.ones(2, 0, 12, dtype=torch.float64))
    assert torch.equal(plain.fused, context.hidden)
    assert torch.equal(other.fused, plain.fused)
    assert torch.equal(other.real, context.real)


@pytest.mark.parametrize("vocab_size", [7, 600, 24_489])
def test_parameter_count_of_the_released_model(vocab_size: int) -> None:
    with torch.device("meta"):
        two = new_model(MultiTaskConfig.released(vocab_size))
        one = new_model(MultiTaskConfig.released(vocab_size, num_layers=1))
    assert two.num_parameters() == 846_501 + 601 * vocab_size
    assert one.num_parameters() == 518_801 + 601 * vocab_size
