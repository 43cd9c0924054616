"""The paper's equations, each against a calculation written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mime_fast.config.model import MimeConfig
from mime_fast.emotions import LABELS, NEGATIVE_IDS, POSITIVE_IDS
from mime_fast.reference.layers import sinusoidal_positions
from mime_fast.reference.mime import Mime
from mime_fast.reference.response_emotion import Gaussian
from tests.parity import assert_close
from tests.reference.by_hand import array, contexts, decoder_layer, encode, linear, norm, positions, response, softmax
from tests.reference.tiny import random_contexts, tiny_model


@pytest.mark.parametrize("preset", ["paper", "released"])
@pytest.mark.parametrize("layers", [1, 2])
def test_context_encoding_and_classification(preset: str, layers: int) -> None:
    """Eq. 1-6."""
    model = tiny_model(preset, num_layers=layers)
    ids, states = random_contexts([6])
    hidden = contexts(ids[0].tolist(), states[0].tolist(), model)
    context = model.encode(ids, states)
    assert_close(context.hidden[0], torch.from_numpy(hidden))
    logits = array(model.emotion_embedding.weight) @ (array(model.emotion_query.weight) @ hidden[0])
    assert_close(context.emotion_logits[0], torch.from_numpy(logits))
    assert_close(context.c[0], torch.from_numpy(hidden[0]))
    assert_close(context.vectors[0], torch.from_numpy(np.concatenate([hidden[0], sum(hidden) / 7])))


@pytest.mark.parametrize("preset", ["paper", "released"])
def test_response_emotion_sampling(preset: str) -> None:
    """Eq. 7-15; the released code takes the positive group's sigma for both groups."""
    model = tiny_model(preset)
    generator = torch.Generator().manual_seed(3)
    c = torch.randn(2, 12, generator=generator, dtype=torch.float64)
    noise = torch.randn(2, 2, 12, generator=generator, dtype=torch.float64)
    mixture = model.sample(c, noise)
    hidden = np.maximum(linear(array(c), model.prior.fc_sample), 0)
    for g, (name, ids) in enumerate((("positive", POSITIVE_IDS), ("negative", NEGATIVE_IDS))):
        sigma_name = name if preset == "paper" else "positive"
        sigma = np.exp(0.5 * linear(hidden, model.prior.fc_sigma[sigma_name]))
        z = linear(hidden, model.prior.fc_mu[name]) + array(noise)[:, g] * sigma
        weights = softmax(linear(z, model.prior.fc_d[name]))
        assert weights.shape[1] == len(ids)
        assert_close(mixture.weights[name], torch.from_numpy(weights))
        assert_close(
            mixture.emotions[name], torch.from_numpy(weights @ array(model.emotion_embedding.weight)[list(ids)])
        )


def test_without_noise_z_is_mu() -> None:
    gaussian = Gaussian(torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, 4.0]]))
    assert torch.equal(gaussian.sample(None), gaussian.mean)
    assert_close(
        gaussian.sample(torch.tensor([[1.0, 2.0]])), torch.tensor([[1 + math.exp(1.5), -2 + 2 * math.exp(2.0)]])
    )


def test_mimicry_follows_the_polarity_of_the_user_emotion() -> None:
    """Eq. 18-19, for all 32 emotions."""
    model = tiny_model()
    c = torch.randn(32, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mixture = model.sample(c, None)
    m, other = model.mimicry(mixture, torch.arange(32))
    for index in range(32):
        own, opposite = ("positive", "negative") if index in POSITIVE_IDS else ("negative", "positive")
        assert torch.equal(m[index], mixture.emotions[own][index])
        assert torch.equal(other[index], mixture.emotions[opposite][index])
    assert sorted(POSITIVE_IDS + NEGATIVE_IDS) == list(range(len(LABELS)))


@pytest.mark.parametrize("preset", ["paper", "released"])
def test_refinement_and_fusion(preset: str) -> None:
    """Eq. 20-27; the paper drops CTX and shares TR_resp_enc, the released code does neither."""
    model = tiny_model(preset)
    context = model.encode(*random_contexts([5]))
    m = torch.randn(1, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    other = torch.randn(1, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    hidden = array(context.hidden[0])[1 if preset == "paper" else 0 :]
    encoders = model.response_encoders
    assert len(encoders) == (1 if preset == "paper" else 2)
    mimic = encode(np.concatenate([hidden, np.tile(array(m), (len(hidden), 1))], 1), encoders[0])
    rest = encode(np.concatenate([hidden, np.tile(array(other), (len(hidden), 1))], 1), encoders[-1])
    refined = model.refine(context, m, other)
    assert_close(refined.mimic[0], torch.from_numpy(mimic))
    assert_close(refined.other[0], torch.from_numpy(rest))
    both = np.concatenate([mimic, rest], 1)
    gate = 1 / (1 + np.exp(-linear(both, model.fusion.fc_contrib)))
    memory = model.fuse(refined)
    assert_close(memory.fused[0], torch.from_numpy(linear(gate * both, model.fusion.fc_fused)))
    share = gate[:, :12].mean(1) / (gate[:, :12].mean(1) + gate[:, 12:].mean(1))
    assert_close(memory.mimic_share[0], torch.from_numpy(share))


@pytest.mark.parametrize("preset", ["paper", "released"])
@pytest.mark.parametrize("layers", [1, 2])
def test_decoder(preset: str, layers: int) -> None:
    """Eq. 28-30."""
    model = tiny_model(preset, num_layers=layers)
    context = model.encode(*random_contexts([4]))
    memory = model.remember(context, model.sample(context.c, None), torch.tensor([0]))
    ids = torch.tensor([[3, 9, 10, 11, 9]])
    source = array(memory.fused[0])
    x = response(ids[0].tolist(), model)
    for layer in model.decoder.layers:
        x = decoder_layer(x, source, layer)
    out = norm(x, model.decoder.norm)
    assert_close(model.decode(ids, memory)[0], torch.from_numpy(out))
    _, logprobs, _ = model.step(torch.tensor([3]), model.start_decoding(memory))
    assert_close(logprobs[0], torch.from_numpy(np.log(softmax(linear(out[0], model.fc_decode)))))


def test_positions_are_exact_in_float64() -> None:
    table = sinusoidal_positions(1000, 300, torch.float64, torch.device("cpu"))
    np.testing.assert_allclose(table[[0, 1, 17, 999]].numpy(), positions(1000, 300)[[0, 1, 17, 999]], atol=1e-12)


@pytest.mark.parametrize("vocab_size", [600, 24_489])
def test_parameter_count_of_the_released_model(vocab_size: int) -> None:
    model = Mime(MimeConfig.released(vocab_size))
    assert model.num_parameters() == 3_082_465 + 601 * vocab_size


def test_the_paper_says_17_80_million() -> None:
    """24,489 words lie in the only range that gives the paper's 17.80M."""
    assert round((3_082_465 + 601 * 24_489) / 1e6, 2) == 17.80
