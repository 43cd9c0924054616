"""`load(precision="screened", exact_logprobs=True)`: float32's log-probs beside its tokens."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import mime_fast
from mime_fast.backends.protocol import refuse_nan
from mime_fast.engine.engine import Engine
from mime_fast.errors import BackendError, ConfigError

DIALOGUES = [
    ["i failed my driving test again ."],
    ["my sister had a baby !", "congratulations ! boy or girl ?", "a girl . i can not wait to hold her ."],
    ["somebody stole my bike ."],
    ["there was a noise in the attic all night .", "what was it ?", "i did not dare to look ."],
    ["i found twenty dollars in an old coat ."],
    ["we are going to the sea tomorrow ."],
] * 4
SEARCHES: dict[str, dict[str, Any]] = {
    "the model's own": {},
    "three of the best": {"num_return_sequences": 3},
    "draws": {"best_of": 1, "num_return_sequences": 3},
    "greedy": {"do_sample": False, "best_of": 1},
    "beams": {"num_beams": 4, "num_return_sequences": 4, "length_penalty": 0.7},
    "mime": {"search": "mime", "num_beams": 4, "num_return_sequences": 4},
    "cut short": {"num_beams": 3, "max_new_tokens": 3},
    "prefixes": {"num_beams": 3, "prefixes": ["i am", None, "oh no"] * 8},
}


@pytest.fixture(scope="module")
def engines() -> tuple[Engine, Engine, Engine]:
    """float32, and screened with exact log-probs and without."""
    wanted: list[dict[str, Any]] = [{}, {"precision": "screened", "exact_logprobs": True}, {"precision": "screened"}]
    dense, exact, screened = (mime_fast.load(device="cpu", backend="native", threads=2, **each) for each in wanted)
    return dense, exact, screened


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_replies(engines: tuple[Engine, Engine, Engine], search: dict[str, Any]) -> None:
    every = [
        [one for reply in engine.generate(DIALOGUES, seed=3, **search) for one in reply.candidates]
        for engine in engines
    ]
    assert [[one.token_ids for one in found] for found in every[1:]] == [[one.token_ids for one in every[0]]] * 2
    for field in ("token_logprobs", "logprob", "score"):
        dense, exact, screened = (np.hstack([getattr(one, field) for one in found]) for found in every)
        np.testing.assert_allclose(exact, dense, rtol=1e-12 if field == "score" else 0)
        assert np.abs(screened - dense).max() > 1e-6  # there is something to mend


def test_given_responses(engines: tuple[Engine, Engine, Engine]) -> None:
    dense, exact, screened = (
        np.hstack(
            [score.token_logprobs for score in engine.score(DIALOGUES, ["oh no ! what happened ?"] * len(DIALOGUES))]
        )
        for engine in engines
    )
    np.testing.assert_array_equal(exact, dense)
    assert np.abs(screened - dense).max() > 1e-5


def test_a_reply_does_not_depend_on_the_others(engines: tuple[Engine, Engine, Engine]) -> None:
    exact = engines[1]
    together = exact.generate(DIALOGUES, num_beams=4, num_return_sequences=2)
    for number in (1, 3, 17):
        (alone,) = exact.generate([DIALOGUES[number]], num_beams=4, num_return_sequences=2, request_ids=[number])
        assert alone == together[number]


@pytest.mark.parametrize("search", ["beams", "mime", "three of the best", "draws"])
def test_they_are_in_the_order_of_what_they_score(
    engines: tuple[Engine, Engine, Engine], monkeypatch: pytest.MonkeyPatch, search: str
) -> None:
    """The later a candidate came, the likelier it is found to be; draws stay in their own order."""
    exact, way = engines[1], SEARCHES[search] | ({"length_penalty": 0} if search == "beams" else {})
    before = exact.generate(DIALOGUES[:2], **way)

    def score(contexts: Any, requests: Any, targets: Any, offsets: Any, stop: Any = None) -> Any:
        log_probs = np.zeros(len(targets), np.float32)
        log_probs[offsets[:-1]] = 100 * np.arange(len(contexts)) - 10000
        return None, log_probs

    monkeypatch.setattr(exact.backend, "score", score)
    for reply, old in zip(exact.generate(DIALOGUES[:2], **way), before, strict=True):
        found = [tuple(one.token_ids) for one in reply.candidates]
        came = [tuple(one.token_ids) for one in old.candidates]
        assert len(set(came)) == len(came) > 1
        assert found == (came if search == "draws" else came[::-1])


def test_an_error_is_about_the_dialogues_of_the_replies(
    engines: tuple[Engine, Engine, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = engines[1]

    def score(contexts: Any, requests: Any, targets: Any, offsets: Any, stop: Any = None) -> Any:
        log_probs = np.zeros(len(targets), np.float32)
        log_probs[offsets[[5, 6, 11]]] = np.nan
        refuse_nan("log-probs", log_probs, offsets=offsets)

    monkeypatch.setattr(exact.backend, "score", score)
    with pytest.raises(BackendError, match=r"in the log-probs of dialogues \[1, 2\] of this batch$") as error:
        exact.generate(DIALOGUES[:4], **SEARCHES["beams"])
    assert error.value.dialogues == (1, 2)


def test_a_repetition_penalty_leaves_nothing_to_mend(engines: tuple[Engine, Engine, Engine]) -> None:
    dense, exact, _ = (engine.generate(DIALOGUES, num_beams=3, repetition_penalty=1.3) for engine in engines)
    assert exact == dense


def test_it_is_told_and_kept(engines: tuple[Engine, Engine, Engine]) -> None:
    assert [engine.describe().get("exact_logprobs", False) for engine in engines] == [False, True, False]
    assert "and its log-probs" in engines[1].describe()["contract"]
    again = pickle.loads(pickle.dumps(engines[1]))
    assert again.describe() == engines[1].describe()
    assert list(again.generate_iter(DIALOGUES, window=5)) == engines[1].generate(DIALOGUES)
    with pytest.raises(ConfigError, match=r"^exact_logprobs='yes': must be true or false"):
        mime_fast.load(exact_logprobs="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_elsewhere_nothing_changes(precision: str) -> None:
    plain, asked = (
        mime_fast.load(device="cpu", backend="native", precision=precision, exact_logprobs=exact).generate(
            DIALOGUES[:6]
        )
        for exact in (False, True)
    )
    assert asked == plain
