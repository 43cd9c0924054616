"""The cut of a row to its best tokens, in the model: of sums that rounding makes equal, the lower token's wins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mime_fast.config.model import MimeConfig
from mime_fast.text.special import EOS_ID
from tests.native.random_models import (
    ISAS,
    PRECISIONS,
    SMALL,
    native_model,
    options,
    random_dialogues,
    random_tensors,
    running,
)

FAR = 8  # a token of next to no probability, which a reply begins with
VOCABULARY = 2100  # three chunks


@pytest.mark.parametrize("isa", [ISAS[0], ISAS[-1]])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    "way",
    [
        {"num_beams": 1, "search": "mime"},
        {"num_beams": 3, "search": "mime"},
        {"num_beams": 3},
        {"num_beams": 20, "suppress_tokens": [2003, 2005], "no_repeat_ngram_size": 1},
    ],
    ids=["one", "three", "standard", "many"],
)
def test_equal_sums(way: dict[str, Any], threads: int, precision: str, isa: str) -> None:
    """All logits are biases: a few lie steps apart that are gone from a sum of -2e6, the higher the later."""
    config = MimeConfig.paper(VOCABULARY, **SMALL)
    tensors = random_tensors(config, 1)
    tensors["fc_decode.weight"][:] = 0.0
    bias = tensors["fc_decode.bias"]
    bias[:] = -30.0
    bias[2000:2060] = 1.0 + 2.0**-22 * np.arange(60, dtype=np.float32)
    bias[[EOS_ID, FAR]] = -50.0, -1e6
    beams = way["num_beams"]
    asked = random_dialogues(config, [4], 1)
    found = native_model(config, tensors, precision, isa).generate(
        asked.contexts,
        asked.requests,
        options(**{**way, "max_new_tokens": 4, "num_return_sequences": beams}),
        [[FAR, FAR]],
        **running(threads),
    )[1]
    replies = found[2].reshape(beams, 4).tolist()
    banned = way.get("suppress_tokens", [])
    best = [token for token in range(2000, 2060) if token not in banned]
    again = "no_repeat_ngram_size" not in way
    pairs = [(one, other) for one in best[:beams] for other in best[: beams + 1] if again or one != other]
    assert len(set(found[4].tolist())) == 1  # their sums are equal
    assert sorted(map(tuple, replies)) == [(FAR, FAR, *pair) for pair in pairs[:beams]]
