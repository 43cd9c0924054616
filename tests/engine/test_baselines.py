"""The baselines through the engine: replies, scores and emotions without a mixture."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

import mime_fast
from mime_fast.checkpoints.model_folder import save_model_folder
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MoelConfig, MultiTaskConfig
from mime_fast.engine.engine import Engine
from mime_fast.text.special import EOS_ID
from mime_fast.text.tokenizer import Tokenizer, tokenize
from tests.engine.conftest import DIALOGUES
from tests.reference.tiny import tiny

WAYS: list[dict[str, Any]] = [{}, {"num_beams": 1}, {"do_sample": True, "top_k": 8}, {"search": "mime"}]
RESPONSES = ["oh no !", "rain , rain and bread .", "we won", "my dog .", "yes", "the very big salad ."]


@pytest.fixture(scope="module", params=[MultiTaskConfig, MoelConfig], ids=["multi-tr", "moel"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    words = dict.fromkeys(word for turns in DIALOGUES for turn in turns for word in tokenize(turn))
    tokenizer = Tokenizer.from_words(words)
    path: Path = tmp_path_factory.mktemp("models") / "small"
    model = tiny(request.param, "released", vocab_size=tokenizer.vocab_size, num_layers=1)
    with torch.no_grad():
        model.fc_decode.bias[:7] -= 50.0  # only words are generated, and ends
        model.fc_decode.bias[EOS_ID] += 55.0
    save_model_folder(path, model, tokenizer, GenerationConfig(num_beams=2, max_new_tokens=4))
    return mime_fast.load(path, device="cpu", precision="float64", threads=1, backend="reference")


def test_what_it_is(engine: Engine) -> None:
    told = engine.describe()
    assert told["model_type"] == engine.config.model_type
    assert told["parameters"] == engine.model.num_parameters()
    assert (told["backend"], told["backend_reason"]) == ("reference", "asked for")


@pytest.mark.parametrize("options", WAYS)
def test_a_batch_equals_its_singles(engine: Engine, options: dict[str, Any]) -> None:
    whole = engine.generate(DIALOGUES, seed=3, **options)
    assert [reply.mixture for reply in whole] == [None] * len(DIALOGUES)
    for i, dialogue in enumerate(DIALOGUES):
        (single,) = engine.generate([dialogue], seed=3, request_ids=[i], **options)
        assert single.token_ids == whole[i].token_ids
        assert single.token_logprobs == pytest.approx(whole[i].token_logprobs, abs=1e-10)
        assert single.emotion_probs == pytest.approx(whole[i].emotion_probs, abs=1e-10)


@pytest.mark.parametrize(
    "changes", [{"stochastic": False}, {"seed": 9}, {"emotions": [5] * 6}, {"emotions": ["joyful"] * 6}]
)
def test_nothing_is_mimicked_or_drawn(engine: Engine, changes: dict[str, Any]) -> None:
    assert engine.generate(DIALOGUES, **changes) == engine.generate(DIALOGUES)
    assert engine.score(DIALOGUES, RESPONSES, **changes) == engine.score(DIALOGUES, RESPONSES)


def test_an_emotion_that_is_none_is_refused_all_the_same(engine: Engine) -> None:
    with pytest.raises(mime_fast.InputError, match="unknown emotion 'hungry'"):
        engine.generate(DIALOGUES[:1], emotions=["hungry"])


def test_scores_are_those_of_the_replies(engine: Engine) -> None:
    """Word for word; a reply that was cut off has no EOS."""
    replies = engine.generate(DIALOGUES, min_new_tokens=2)
    scores = engine.score(DIALOGUES, [reply.tokens for reply in replies])
    for reply, score in zip(replies, scores, strict=True):
        assert min(reply.token_ids) >= 7
        count = len(reply.token_logprobs)
        assert count >= 2
        assert score.token_logprobs[:count] == pytest.approx(reply.token_logprobs, abs=1e-10)
        assert score.mixture is None


def test_classify(engine: Engine) -> None:
    for found, reply in zip(engine.classify(DIALOGUES), engine.generate(DIALOGUES), strict=True):
        assert found.emotion == reply.emotion
        assert found.emotion_probs == pytest.approx(reply.emotion_probs)


def test_streams(engine: Engine) -> None:
    replies = [dataclasses.astuple(reply) for reply in engine.generate_iter(iter(DIALOGUES), window=len(DIALOGUES))]
    assert replies == [dataclasses.astuple(reply) for reply in engine.generate(DIALOGUES)]
    scores = list(engine.score_iter(zip(DIALOGUES, RESPONSES, strict=True), window=len(DIALOGUES)))
    assert scores == engine.score(DIALOGUES, RESPONSES)
