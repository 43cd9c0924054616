"""Replies that begin with given words."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mime_fast.engine.engine import Engine
from mime_fast.errors import InputError
from mime_fast.text.special import UNK_ID
from tests.engine.conftest import DIALOGUES, tolerance
from tests.engine.test_engine import WAYS, assert_same_reply

PREFIXES: list[Any] = ["We won", None, ["the", "whole"], "no , no , no", None, "where was it ?"]


@pytest.mark.parametrize("options", WAYS)
def test_every_candidate_begins_with_them(engine: Engine, options: dict[str, Any]) -> None:
    several: dict[str, Any] = {"num_return_sequences": 3} if options.get("num_beams") != 1 else {}
    replies = engine.generate(DIALOGUES, prefixes=PREFIXES, **options, **several)
    free = engine.generate(DIALOGUES, **options, **several)
    for prefix, reply, plain in zip(PREFIXES, replies, free, strict=True):
        words = prefix.lower().split() if isinstance(prefix, str) else prefix or []
        for one in reply.candidates:
            assert one.tokens[: len(words)] == words
            assert len(one.token_ids) <= 9
            assert one.logprob == pytest.approx(math.fsum(one.token_logprobs), abs=1e-4)
        if not words:
            assert_same_reply(engine, reply, plain)


def test_a_batch_equals_its_singles(engine: Engine) -> None:
    whole = engine.generate(DIALOGUES, prefixes=PREFIXES)
    for i, dialogue in enumerate(DIALOGUES):
        (single,) = engine.generate([dialogue], prefixes=[PREFIXES[i]], request_ids=[i])
        assert_same_reply(engine, single, whole[i])


def test_their_log_probs_are_those_of_the_score(engine: Engine) -> None:
    replies = engine.generate(DIALOGUES, prefixes=PREFIXES, num_beams=2)
    known = [i for i, reply in enumerate(replies) if reply.tokens and min(reply.token_ids) >= 7]
    scores = engine.score([DIALOGUES[i] for i in known], [replies[i].tokens for i in known], request_ids=known)
    assert {0, 2} <= set(known)
    for i, score in zip(known, scores, strict=True):
        generated = replies[i].token_logprobs
        assert score.token_logprobs[: len(generated)] == pytest.approx(generated, abs=tolerance(engine))


@pytest.mark.parametrize("options", WAYS)
def test_unknown_words_are_unk_to_the_model_and_stay_as_given(engine: Engine, options: dict[str, Any]) -> None:
    for prefix in (["zebra", "qqqzz"], "Zebra qqqzz"):
        (reply,) = engine.generate(DIALOGUES[:1], prefixes=[prefix], **options)
        assert reply.token_ids[:2] == [UNK_ID, UNK_ID]
        assert reply.tokens[:2] == ["zebra", "qqqzz"]
        assert reply.text.startswith("zebra qqqzz")
        assert len(reply.tokens) == len(reply.token_ids)
        (streamed,) = engine.generate_iter(DIALOGUES[:1], prefixes=[prefix], **options)
        assert_same_reply(engine, streamed, reply)
        assert streamed.tokens == reply.tokens


@pytest.mark.parametrize(
    ("prefixes", "message"),
    [
        (["we"] * 2, "2 prefixes for 6 dialogues"),
        ("we", "prefixes is of type str"),
        ([None, None, "", None, None, None], "prefix 2 is '': must have at least one word, or be None for no prefix"),
        ([[], *[None] * 5], r"prefix 0 is \[\]: must have at least one word, or be None"),
        ([["We", "won"], *[None] * 5], "prefix 0, token 0 is 'We': .* must be 'we'"),
        ([["we", 5], *[None] * 5], "prefix 0, token 1 is of type int"),
        ([None, "rain rain rain rain", *[None] * 4], r"prefix 1 has 4 words; must have at most 3 .*max_new_tokens=4"),
    ],
)
def test_they_are_checked(engine: Engine, prefixes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        engine.generate(DIALOGUES, prefixes=prefixes, max_new_tokens=4)
