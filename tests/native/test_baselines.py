"""Multi-TR and MoEL in the native back end: who is chosen, what it says of itself, and who listens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mime_fast import _native
from mime_fast.backends.native import NativeBackend
from mime_fast.backends.select import Wanted, choose
from mime_fast.checkpoints.model_folder import ModelWeights
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import ModelConfig, MoelConfig, MultiTaskConfig
from tests.native.parity_case import parts, torch_model
from tests.native.random_models import (
    PRECISIONS,
    SMALL,
    native_model,
    options,
    random_dialogues,
    random_tensors,
    running,
    tokens_of,
)

CONFIG = MoelConfig.paper(60, **SMALL)
TENSORS = random_tensors(CONFIG, 1)
ASKED = random_dialogues(CONFIG, [5, 4, 6, 3, 9, 1, 30, 12], 1)


@pytest.mark.parametrize("kind", [MultiTaskConfig, MoelConfig], ids=lambda kind: kind.model_type)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_native_runs_baselines_and_says_what_it_does(kind: type[ModelConfig], precision: str) -> None:
    config = kind.paper(60, **SMALL)
    model = torch_model(config, random_tensors(config, 1))
    backend = choose(ModelWeights.of(model), Wanted(device="cpu", precision=precision)).backend
    assert isinstance(backend, NativeBackend)
    reference = choose(ModelWeights.of(model), Wanted(device="cpu", backend="reference")).backend
    for each in (backend, reference):
        assert set(each.describe()["implementations"]) == {"encode", "decode", "search", "random_numbers"}
        heard, _ = each.generate(*parts(ASKED), GenerationConfig(max_new_tokens=2))
        assert heard.weights is heard.mimic_share is None
        assert heard.emotion_logits.shape == (len(ASKED), 32) and heard.mimicked.shape == (len(ASKED),)


def heard_listeners(top: int) -> list[set[int]]:
    """The likeliest emotions of each dialogue."""
    logits = native_model(CONFIG, TENSORS).classify(ASKED.contexts, **running())
    return [set(order[:top].tolist()) for order in np.argsort(-logits, axis=1, kind="stable")]


def replies(tensors: Any, **run: Any) -> list[list[int]]:
    model = native_model(CONFIG, tensors)
    way = options(num_beams=3, max_new_tokens=5)
    return tokens_of(model.generate(ASKED.contexts, ASKED.requests, way, None, **running(**run))[1])


def broken(listener: int) -> Any:
    name = f"decoder.listeners.{listener}.ffn.conv2.bias"
    return {**TENSORS, name: np.full_like(TENSORS[name], np.nan)}


def test_a_listener_matters_to_those_who_hear_it_alone() -> None:
    sound, heard = replies(TENSORS), heard_listeners(CONFIG.top_listeners)
    assert len(set.union(*heard)) > CONFIG.top_listeners  # not the same for all
    for listener in range(32):
        hearers = [i for i, each in enumerate(heard) if listener in each]
        if not hearers:
            assert replies(broken(listener)) == sound
            continue
        with pytest.raises(_native.ModelError) as found:
            replies(broken(listener), threads=2, batch_size=3)
        assert f"NaN at step 0 for dialogues {hearers} of this batch" in str(found.value)


def test_listeners_of_next_to_no_weight_are_not_heard() -> None:
    """Weights between 0.015 and 1, of 32 emotions: few are left, the likeliest among them."""
    config = CONFIG.replace(top_listeners=32, min_listener_weight=0.015)
    logits = native_model(config, TENSORS).classify(ASKED.contexts, **running())
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    assert np.abs(weights - 0.015).min() > 1e-5
    heard = [set(np.flatnonzero(row > 0.015).tolist()) for row in weights]
    assert min(map(len, heard)) >= 1 and max(map(len, heard)) < 32
    targets = np.full(len(ASKED), 9, np.int32), np.arange(len(ASKED) + 1)
    for listener in range(0, 32, 5):
        model = native_model(config, broken(listener))
        _, log_probs = model.score(ASKED.contexts, ASKED.requests, *targets, **running())
        assert np.isnan(log_probs).tolist() == [listener in each for each in heard]
