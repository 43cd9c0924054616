"""`precision="screened"` says what float32 says: tokens of all searches, and scores within the bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mime_fast.config.model import MimeConfig, ModelConfig
from tests.native.random_models import (
    ISAS,
    KINDS,
    SMALL,
    native_model,
    options,
    random_dialogues,
    random_tensors,
    running,
    tokens_of,
)
from tests.parity import SCREENED_BOUND

WORDS = [9, 1, 33, 17, 16, 15, 4, 60, 2, 31] * 4
WAYS = {
    "greedy": options(num_beams=1, max_new_tokens=8),
    "beams": options(num_beams=5, num_return_sequences=5, max_new_tokens=9),
    "bans": options(
        num_beams=4, max_new_tokens=9, no_repeat_ngram_size=1, suppress_tokens=list(range(5, 900)), min_new_tokens=3
    ),
    "long": options(num_beams=3, num_return_sequences=3, max_new_tokens=12, length_penalty=0.3),
    "mime": options(num_beams=5, num_return_sequences=5, max_new_tokens=9, search="mime"),
    "penalty": options(num_beams=3, max_new_tokens=6, repetition_penalty=1.3),
    "sampling": options(num_beams=1, do_sample=True, temperature=0.6, top_p=0.5, max_new_tokens=7),
    "wide": options(num_beams=21, max_new_tokens=4),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.model_type)
@pytest.mark.parametrize("isa", [ISAS[0], ISAS[-1]])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_tokens_and_scores_are_those_of_float32(kind: type[ModelConfig], isa: str, way: dict[str, Any]) -> None:
    """Flat logits: the normaliser's tail is large, and many sums are nearly equal."""
    config = kind.paper(4800, **{**SMALL, "hidden_size": 64}, num_layers=1)
    tensors = random_tensors(config, 11, logits=1.5, eos=3.0)
    asked = random_dialogues(config, WORDS, 4)
    prefixes = [[7, 8][: i % 3] for i in range(len(WORDS))]
    models = [native_model(config, tensors, precision, isa) for precision in ("screened", "float32")]
    assert [model.screened for model in models] == [True, False]
    (_, found), (_, expected) = (
        model.generate(asked.contexts, asked.requests, way, prefixes, **running(2)) for model in models
    )
    assert tokens_of(found) == tokens_of(expected)
    np.testing.assert_allclose(found[3], expected[3], rtol=0, atol=SCREENED_BOUND)


WAITING = WAYS | {
    "several draws, bans": options(
        num_beams=1,
        do_sample=True,
        temperature=0.9,
        top_p=0.6,
        num_return_sequences=3,
        max_new_tokens=9,
        no_repeat_ngram_size=2,
        suppress_tokens=[5, 9],
    ),
    "several draws of top_k": options(
        num_beams=1, do_sample=True, top_k=9, num_return_sequences=4, max_new_tokens=9, min_new_tokens=3
    ),
}


@pytest.mark.parametrize("prefixes", [None, [[7, 8][: i % 3] for i in range(len(WORDS))]], ids=["", "prefixes"])
@pytest.mark.parametrize("way", WAITING.values(), ids=WAITING)
def test_dialogues_that_wait_for_dense_rows_say_the_same(way: dict[str, Any], prefixes: list[list[int]] | None) -> None:
    """One at a time none waits; all at once, most do."""
    config = MimeConfig.paper(4800, **{**SMALL, "hidden_size": 64})
    tensors = random_tensors(config, 11, logits=1.5, eos=3.0)
    asked = random_dialogues(config, WORDS, 4)
    model = native_model(config, tensors, "screened")
    runs = [
        model.generate(asked.contexts, asked.requests, way, prefixes, **running(threads, batch))[1]
        for threads, batch in ((1, 1), (1, 40), (1, 7), (2, 64))
    ]
    for run in runs[1:]:
        assert [np.asarray(each).tobytes() for each in run] == [np.asarray(each).tobytes() for each in runs[0]]


def test_all_draws_of_a_row_have_one_normaliser() -> None:
    """Also those that its best words do not decide, which wait for a dense one."""
    config = MimeConfig.paper(4800, **{**SMALL, "hidden_size": 64}, num_layers=1)
    model = native_model(config, random_tensors(config, 11, logits=2.5, eos=3.0), "screened")
    asked = random_dialogues(config, WORDS, 4)
    way = options(
        num_beams=1, do_sample=True, temperature=0.5, top_p=0.7, max_new_tokens=7, num_return_sequences=24
    ) | {"length_penalty": 0.0}
    _, found = model.generate(asked.contexts, asked.requests, way, None, **running(2))
    np.testing.assert_array_equal(found[5], found[4])  # a reply's score and its log-prob


def test_scores_of_given_replies() -> None:
    config = MimeConfig.paper(4800, **{**SMALL, "hidden_size": 64})
    tensors = random_tensors(config, 2, logits=1.5)
    asked = random_dialogues(config, WORDS, 4)
    targets = np.random.default_rng(1).integers(0, 4800, 12 * len(WORDS)).astype(np.int32)
    ends = np.arange(0, len(targets) + 1, 12)
    found, expected = (
        native_model(config, tensors, precision).score(asked.contexts, asked.requests, targets, ends, **running(2))[1]
        for precision in ("screened", "float32")
    )
    assert 0 < np.abs(found - expected).max() < SCREENED_BOUND  # the lower one: it is not float32 under another name


@pytest.mark.parametrize("case", ["equal rows", "zeros", "huge"])
def test_weights_that_a_screen_is_of_no_use_for(case: str) -> None:
    """It is left out, and the model is float32's bit for bit."""
    config = MimeConfig.paper(2000, **SMALL)
    tensors = random_tensors(config, 3)
    weight = tensors["fc_decode.weight"]
    tensors["fc_decode.bias"][:] = 0
    cases: dict[str, Any] = {"equal rows": weight[:1], "zeros": 0, "huge": 1e6 * weight}
    weight[:] = cases[case]
    asked = random_dialogues(config, [3, 8, 20], 1)
    models = [native_model(config, tensors, precision) for precision in ("screened", "float32")]
    assert not models[0].screened
    way = options(num_beams=4, max_new_tokens=6)
    found, expected = (model.generate(asked.contexts, asked.requests, way, None, **running())[1] for model in models)
    assert [np.asarray(each).tobytes() for each in found] == [np.asarray(each).tobytes() for each in expected]


def test_a_screen_whose_rows_take_two_passes_is_left_out() -> None:
    """The first words are equal and overflow every list; the best words, few, come later."""
    config = MimeConfig.paper(4800, **{**SMALL, "hidden_size": 64})
    tensors = random_tensors(config, 5)
    tensors["fc_decode.bias"][:] = 0
    tensors["fc_decode.bias"][700:720] = 12
    assert native_model(config, tensors, "screened").screened
    tensors["fc_decode.weight"][:600] = tensors["fc_decode.weight"][0]
    assert not native_model(config, tensors, "screened").screened
