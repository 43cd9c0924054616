"""Every search option has the same effect in the extension as in the reference, and none is dropped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mime_fast import _native_dev
from mime_fast.config.generation import OPTIONS, GenerationConfig
from mime_fast.text.special import EOS_ID
from tests.native.test_search import assert_equal, native
from tests.reference.fake_decoder import random_model

VOCAB_SIZE = 12
LIKELY_END = 1.5  # added to EOS's logit, so that lengths differ
# Of each option: what it is beside, and values of which no two give the same replies.
EXAMPLES: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "num_beams": ({}, [1, 2, 5]),
    "max_new_tokens": ({"num_beams": 3}, [2, 5]),
    "min_new_tokens": ({"num_beams": 3}, [0, 4, 6]),
    "do_sample": ({"num_beams": 1}, [False, True]),
    "top_k": ({"num_beams": 1, "do_sample": True, "temperature": 3.0}, [0, 1, 2]),
    "top_p": ({"num_beams": 1, "do_sample": True, "temperature": 3.0}, [1.0, 0.1, 0.5]),
    "temperature": ({"num_beams": 1, "do_sample": True}, [0.1, 1.0, 3.0]),
    "length_penalty": ({"num_beams": 3}, [-2.0, 1.0, 3.0]),
    "no_repeat_ngram_size": ({"num_beams": 2, "max_new_tokens": 9, "min_new_tokens": 7}, [0, 1, 2]),
    "repetition_penalty": ({"num_beams": 3, "min_new_tokens": 6}, [1.0, 1.2, 3.0, 0.1]),
    "num_return_sequences": ({"num_beams": 3}, [1, 3]),
    "suppress_tokens": ({"num_beams": 3}, [(), (4, 5, 6), (7, 8, 9)]),
    "search": ({"num_beams": 3}, ["standard", "mime"]),
}


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if not option.engine])
def test_an_option_counts(name: str) -> None:
    beside, values = EXAMPLES[name]
    model = random_model(1, VOCAB_SIZE).distribution

    def distribution(dialogue: int, tokens: tuple[int, ...]) -> list[float]:
        logits = list(model(dialogue, tokens))
        logits[EOS_ID] += LIKELY_END
        return logits

    found = []
    for value in values:
        options = {"max_new_tokens": 6, **beside, name: value}
        assert_equal(distribution, VOCAB_SIZE, options, count=20)
        found.append(native(distribution, VOCAB_SIZE, GenerationConfig(**options), 20, range(20), None))
    assert all(one != other for i, one in enumerate(found) for other in found[:i])


def test_an_option_that_the_extension_does_not_know_is_refused() -> None:
    options, keys = GenerationConfig().to_search() | {"colour": 1}, np.zeros(0, np.uint64)
    with pytest.raises(ValueError, match="unknown search option 'colour'"):
        _native_dev.search(lambda *_: np.zeros(VOCAB_SIZE, np.float32), VOCAB_SIZE, options, keys, keys, None)
