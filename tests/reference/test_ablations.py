"""The paper's ablations as switches, and combinations that are refused."""

from __future__ import annotations

import pytest
import torch

from mime_fast.config.model import MimeConfig
from mime_fast.errors import ConfigError
from mime_fast.reference.noise import prior_noise
from tests.parity import assert_close
from tests.reference.tiny import random_contexts, tiny_model


def test_no_mimicry_feeds_the_groups_directly() -> None:
    """m = e_pos and m~ = e_neg, whatever the user feels."""
    model = tiny_model(emotion_mimicry=False)
    mixture = model.sample(torch.ones(32, 12, dtype=torch.float64), None)
    m, other = model.mimicry(mixture, torch.arange(32))
    assert torch.equal(m, mixture.emotions["positive"])
    assert torch.equal(other, mixture.emotions["negative"])


@pytest.mark.parametrize("preset", ["paper", "released"])
def test_no_grouping_mixes_all_32_emotions(preset: str) -> None:
    model = tiny_model(preset, emotion_mimicry=False, emotion_grouping=False)
    assert model.noise_groups == 1
    context = model.encode(*random_contexts([3, 5]))
    mixture = model.sample(context.c, prior_noise(model, [0, 0], [0, 1]))
    weights = mixture.weights["all"]
    assert weights.shape == (2, 32)
    assert_close(mixture.emotions["all"], weights @ model.emotion_embedding.weight)
    m, other = model.mimicry(mixture, torch.tensor([0, 5]))
    assert torch.equal(m, other)


def test_mimicry_without_groups_is_refused() -> None:
    with pytest.raises(ConfigError, match="set emotion_mimicry=False"):
        MimeConfig.paper(100, emotion_grouping=False)


def test_the_presets_differ_in_every_switch() -> None:
    paper, released = MimeConfig.paper(100).to_dict(), MimeConfig.released(100).to_dict()
    assert {name for name in paper if paper[name] != released[name]} == {
        "preset",
        "speaker_table",
        "drop_ctx",
        "shared_response_encoder",
        "separate_sigma",
        "posterior_on_emotion",
        "final_relu",
        "unbiased_norm",
    }
