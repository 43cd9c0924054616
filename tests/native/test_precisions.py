"""bfloat16 and int8 stay near float32: scores, what is recognised, and most first words."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from mime_fast.config.model import MimeConfig, ModelConfig, MoelConfig
from tests.native.int8 import has_full_range
from tests.native.random_models import (
    ISAS,
    KINDS,
    native_model,
    options,
    random_dialogues,
    random_tensors,
    running,
    tokens_of,
)
from tests.parity import FARTHEST, NARROW, PRECISION_BOUNDS

DEVIATION = 2.0  # of the logits
WORDS = [1, 40, 8, 17, 33, 2, 90] * 4


def chosen_surely(config: ModelConfig, logits: npt.NDArray[np.float32], error: float) -> npt.NDArray[np.bool_]:
    """Dialogues whose listeners stay the same where logits [N, 32] are off by so much; beyond, it is another model."""
    if not isinstance(config, MoelConfig):
        return np.ones(len(logits), bool)
    ordered = -np.sort(-logits, axis=1)
    sure: npt.NDArray[np.bool_] = ordered[:, config.top_listeners - 1] - ordered[:, config.top_listeners] > 2 * error
    return sure


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.model_type)
@pytest.mark.parametrize("isa", [ISAS[0], ISAS[-1]])
@pytest.mark.parametrize(("size", "layers"), [(300, 1), (126, 3), (302, 2)])
@pytest.mark.parametrize("precision", PRECISION_BOUNDS)
def test_scores_and_first_words(kind: type[ModelConfig], precision: str, size: int, layers: int, isa: str) -> None:
    config = kind.paper(6007, hidden_size=size, num_layers=layers)
    tensors = random_tensors(config, size, logits=DEVIATION, eos=4.0)
    asked = random_dialogues(config, WORDS, layers, pads=True)
    models = [native_model(config, tensors, each, isa) for each in (precision, "float32")]
    guessed, known = (model.classify(asked.contexts, **running(2)) for model in models)
    sure = chosen_surely(config, known, float(np.abs(guessed - known).max()))
    assert sure.sum() > len(WORDS) / 4
    asked = asked.only(np.flatnonzero(sure).tolist())
    targets = np.random.default_rng(layers).integers(0, config.vocab_size, 16 * len(asked)).astype(np.int32)
    ends = np.arange(0, len(targets) + 1, 16)
    (outputs, found), (exact, expected) = (
        model.score(asked.contexts, asked.requests, targets, ends, **running(2)) for model in models
    )
    errors = (found - expected) / DEVIATION
    narrow = precision == "int8" and not has_full_range(isa)
    bound = PRECISION_BOUNDS[precision] * (NARROW if narrow else 1)
    root = np.sqrt(np.mean(errors**2))
    assert bound / 20 < root < bound  # the lower one shows that it is not float32 under another name
    assert np.abs(errors).max() < FARTHEST * bound
    for i in (0, 2, 3) if isinstance(config, MimeConfig) else (0,):
        one, other = outputs[i], exact[i]
        assert one is not None and other is not None
        assert 0 < np.abs(one - other).max() < FARTHEST * bound
    way = options(num_beams=1, max_new_tokens=1)
    first, wanted = (
        tokens_of(model.generate(asked.contexts, asked.requests, way, None, **running(2))[1]) for model in models
    )
    # Of random weights the best words are often as near to each other as int8 rounds.
    least = 0.65 if narrow else 0.8
    assert sum(one == other for one, other in zip(first, wanted, strict=True)) > least * len(asked)
