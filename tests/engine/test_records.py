"""An answer as JSON: its keys, its digits, and what JSON has not."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from mime_fast.corpora.schema import columns_of, flat_names, flat_values
from mime_fast.emotions import LABELS, NEGATIVE, POSITIVE
from mime_fast.engine.records import record
from mime_fast.engine.results import Candidate, Classification, EmotionMixture, Reply, Score

PROBS = {label: i / 1000 + 1e-9 for i, label in enumerate(LABELS)}
MIXTURE = EmotionMixture(dict.fromkeys(POSITIVE, 0.123456), dict.fromkeys(NEGATIVE, 1 / 3), "negative", 0.98765)


def candidate(score: float = -1.5, finish: Any = "eos") -> Candidate:
    return Candidate("i see .", ["i", "see", "."], [5, 6, 7], [-0.5] * 4, -2.0, score, finish)


def answers() -> dict[str, Any]:
    return {
        "generate": Reply([candidate(), candidate(-1.75, "length")], "sad", PROBS, MIXTURE),
        "score": Score(["a"], [-1.0, -0.25], "sad", PROBS, MIXTURE),
        "classify": Classification("sad", PROBS, "negative"),
    }


def test_a_reply_says_how_it_ended() -> None:
    found = record(answers()["generate"], top_emotions=2)
    assert (found["finish_reason"], found["num_tokens"], found["logprob"]) == ("eos", 4, -2.0)
    assert [one["finish_reason"] for one in found["candidates"]] == ["eos", "length"]
    assert found["mixture"]["positive"]["joyful"] == 0.1235 and found["mixture"]["mimic_share"] == 0.9877
    assert list(found["emotion_probs"]) == [LABELS[31], LABELS[30]]
    assert "candidates" not in record(Reply([candidate()], "sad", PROBS, None))


def test_all_emotions_come_in_the_order_of_the_labels() -> None:
    found = record(answers()["classify"])
    assert list(found) == ["emotion", "emotion_probs", "polarity"]
    assert tuple(found["emotion_probs"]) == LABELS and found["emotion_probs"][LABELS[1]] == 0.001


def test_what_json_has_not_is_none() -> None:
    found = record(Score(["a"], [-math.inf, -1.0], "sad", PROBS, None))
    assert (found["logprob"], found["perplexity"], found["token_logprobs"]) == (None, None, [None, -1.0])
    assert found["mixture"] is None
    assert record(Reply([candidate(math.nan)], "sad", PROBS, None))["score"] is None
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("kind", ["generate", "score", "classify"])
def test_the_columns_are_those_of_the_records(kind: str) -> None:
    one = {"id": "x", "row": 0, **({"seed": 1} if kind == "generate" else {}), **record(answers()[kind])}
    assert set(columns_of(kind)) == set(one)
    cells = dict(zip(flat_names(kind), flat_values(kind, one), strict=True))
    assert cells[f"emotion_probs.{LABELS[7]}"] == one["emotion_probs"][LABELS[7]]
    if kind != "classify":
        assert cells["mixture.positive.joyful"] == 0.1235
    if kind == "score":
        assert json.loads(str(cells["token_logprobs"])) == [-1.0, -0.25]
