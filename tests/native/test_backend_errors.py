"""The native back end fails as the reference does: the same error, about the same dialogues."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mime_fast.backends.native import NativeBackend
from mime_fast.backends.protocol import Backend
from mime_fast.checkpoints.model_folder import ModelWeights
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MimeConfig, ModelConfig, MoelConfig, MultiTaskConfig
from mime_fast.errors import BackendError, ConfigError, MimeFastError
from mime_fast.text.special import EOS_ID
from tests.native.parity_case import Case, parts
from tests.native.random_models import SMALL, Tensors, random_dialogues, random_tensors

CONFIG = MimeConfig.paper(60, **SMALL)
ASKED = random_dialogues(CONFIG, [5, 4, 6, 3, 9], 1)
ASKED.token_ids[ASKED.token_ids == 59] = 7
ASKED.token_ids[ASKED.offsets[[1, 4]] + 2] = 59  # in dialogues 1 and 4
TARGETS = np.full(5, EOS_ID, np.int32), np.arange(6)
CALLS: dict[str, Callable[[Backend, GenerationConfig], Any]] = {
    "generate": lambda backend, options: backend.generate(*parts(ASKED), options),
    "score": lambda backend, options: backend.score(*parts(ASKED), *TARGETS),
    "classify": lambda backend, options: backend.classify(parts(ASKED)[0]),
}


def broken(name: str, index: Any = slice(None)) -> Tensors:
    tensors = random_tensors(CONFIG, 1)
    tensors[name][index] = np.nan
    return tensors


def both_fail(
    error: type[MimeFastError],
    dialogues: list[int],
    case: Case,
    call: Callable[[Backend, GenerationConfig], Any],
    **way: Any,
) -> list[str]:
    """Messages of the reference and of the native back end; both name the dialogues."""
    messages = []
    for backend in (case.plain, case.native):
        with pytest.raises(error, match=re.escape(f"dialogues {dialogues} of this batch")) as found:
            call(backend, GenerationConfig(**{"max_new_tokens": 9, **way}))
        messages.append(str(found.value))
        assert found.value.dialogues == tuple(dialogues)
    return messages


@pytest.mark.parametrize("way", [{"num_beams": 1}, {}, {"search": "mime"}], ids=["greedy", "beams", "mime"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_nan_in_the_context(call: Callable[[Backend, GenerationConfig], Any], way: dict[str, Any]) -> None:
    both_fail(BackendError, [1, 4], Case(CONFIG, broken("word_embedding.weight", 59)), call, **way)


def context_vectors(backend: Backend, _: GenerationConfig) -> Any:
    return backend.context_vectors(parts(ASKED)[0])


def test_nan_in_the_context_vectors() -> None:
    messages = both_fail(BackendError, [1, 4], Case(CONFIG, broken("word_embedding.weight", 59)), context_vectors)
    assert set(messages) == {"the model produced NaN in the context vectors of dialogues [1, 4] of this batch"}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_nan_in_the_emotions_alone(call: Callable[[Backend, GenerationConfig], Any]) -> None:
    case = Case(CONFIG, broken("emotion_query.weight"))
    _in_the_emotions(case, call)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("kind", [MultiTaskConfig, MoelConfig], ids=lambda kind: kind.model_type)
def test_nan_in_the_emotions_of_baselines(
    kind: type[ModelConfig], call: Callable[[Backend, GenerationConfig], Any]
) -> None:
    config = kind.paper(60, **SMALL)
    tensors = random_tensors(config, 1)
    tensors["emotion_key.weight"][3] = np.nan
    _in_the_emotions(Case(config, tensors), call)


def _in_the_emotions(case: Case, call: Callable[[Backend, GenerationConfig], Any]) -> None:
    reference, native = both_fail(BackendError, [0, 1, 2, 3, 4], case, call)
    assert (
        native == reference == "the model produced NaN in the emotion logits of dialogues [0, 1, 2, 3, 4] of this batch"
    )


@pytest.mark.parametrize("call", [CALLS["generate"], CALLS["score"]])
def test_nan_in_the_decoder(call: Callable[[Backend, GenerationConfig], Any]) -> None:
    case = Case(CONFIG, broken("fc_decode.bias", 17))
    reference, native = both_fail(BackendError, [0, 1, 2, 3, 4], case, call)
    assert native == reference


@pytest.mark.parametrize(
    "way",
    [
        {"num_beams": 1, "suppress_tokens": range(60)},
        {"suppress_tokens": range(60)},
        {"do_sample": True, "num_beams": 1, "num_return_sequences": 3, "suppress_tokens": range(60)},
        {"min_new_tokens": 2, "suppress_tokens": [token for token in range(60) if token != EOS_ID]},
        {"no_repeat_ngram_size": 1, "suppress_tokens": range(2, 60)},
    ],
)
def test_no_response(way: dict[str, Any]) -> None:
    case = Case(CONFIG, random_tensors(CONFIG, 1))
    reference, native = both_fail(ConfigError, [0, 1, 2, 3, 4], case, CALLS["generate"], **way)
    assert native == reference


def test_stopped() -> None:
    case = Case(CONFIG, random_tensors(CONFIG, 1))
    for backend in (case.native, case.plain):
        with pytest.raises(BackendError, match="stopped"):
            backend.generate(*parts(ASKED), GenerationConfig(), None, np.ones(1, np.uint8))
        with pytest.raises(BackendError, match="stopped"):
            backend.context_vectors(parts(ASKED)[0], np.ones(1, np.uint8))


def test_a_model_that_is_too_wide_for_int8() -> None:
    weights = ModelWeights(MimeConfig.paper(60, **SMALL | {"ffn_channels": 50_000}), {})
    with pytest.raises(BackendError, match=r"^precision='int8': a layer has 150000 inputs; must have at most 132104"):
        NativeBackend(weights, "int8", 1, 1, "auto")
