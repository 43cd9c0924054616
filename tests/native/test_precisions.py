"""bfloat16 and int8 stay near float32: scores, what is heard, and most first words."""

from __future__ import annotations

import numpy as np
import pytest

from mime_fast.config import MimeConfig
from tests.native.random_models import (
    ISAS,
    native_model,
    options,
    random_dialogues,
    random_tensors,
    running,
    tokens_of,
)
from tests.parity import FARTHEST, PRECISION_BOUNDS

DEVIATION = 2.0  # of the logits
WORDS = [1, 40, 8, 17, 33, 2, 90] * 4


@pytest.mark.parametrize("isa", [ISAS[0], ISAS[-1]])
@pytest.mark.parametrize(("size", "layers"), [(300, 1), (126, 3), (302, 2)])
@pytest.mark.parametrize("precision", PRECISION_BOUNDS)
def test_scores_and_first_words(precision: str, size: int, layers: int, isa: str) -> None:
    config = MimeConfig.paper(6007, hidden_size=size, num_layers=layers)
    tensors = random_tensors(config, size, logits=DEVIATION, eos=4.0)
    asked = random_dialogues(config, WORDS, layers, pads=True)
    targets = np.random.default_rng(layers).integers(0, config.vocab_size, 16 * len(WORDS)).astype(np.int32)
    ends = np.arange(0, len(targets) + 1, 16)
    models = [native_model(config, tensors, each, isa) for each in (precision, "float32")]
    (heard, found), (exact, expected) = (
        model.score(asked.contexts, asked.requests, targets, ends, **running(2)) for model in models
    )
    errors = (found - expected) / DEVIATION
    bound = PRECISION_BOUNDS[precision]
    root = np.sqrt(np.mean(errors**2))
    assert bound / 20 < root < bound  # the lower one shows that it is not float32 under another name
    assert np.abs(errors).max() < FARTHEST * bound
    for one, other in ((heard[0], exact[0]), (heard[2], exact[2]), (heard[3], exact[3])):
        assert 0 < np.abs(one - other).max() < FARTHEST * bound
    way = options(num_beams=1, max_new_tokens=1)
    first, wanted = (
        tokens_of(model.generate(asked.contexts, asked.requests, way, None, **running(2))[1]) for model in models
    )
    assert sum(one == other for one, other in zip(first, wanted, strict=True)) > 0.8 * len(WORDS)
