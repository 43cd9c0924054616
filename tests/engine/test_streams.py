"""Calls in windows: order, request ids, bounded memory, errors where they belong, and no thread left behind."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
from collections.abc import Iterator
from itertools import count, cycle, islice, repeat
from typing import Any

import numpy as np
import pytest

import mime_fast
from mime_fast.backends.protocol import Contexts, Requests, Stop
from mime_fast.config.generation import GenerationConfig
from mime_fast.engine.engine import Engine
from mime_fast.engine.overlap import overlapped
from mime_fast.engine.reading import Given, Reading, Window
from mime_fast.errors import BackendError, ConfigError, InputError
from tests.engine.conftest import DIALOGUES
from tests.engine.test_engine import assert_same_reply
from tests.mixtures import mixture_of

MANY = [DIALOGUES[i % len(DIALOGUES)] for i in range(17)]
RESPONSES = ["oh no !", "we won", "rain , rain and bread .", "yes"]


def background_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("mime_fast")]


@pytest.mark.parametrize("window", [1, 4, 17, 100])
def test_a_stream_gives_what_a_list_gives(engine: Engine, window: int) -> None:
    whole = engine.generate(MANY, seed=3, num_beams=2)
    streamed = list(engine.generate_iter(iter(MANY), seed=3, num_beams=2, window=window))
    for one, other in zip(streamed, whole, strict=True):
        assert_same_reply(engine, one, other)
    assert background_threads() == []


def test_scores_stream_too(engine: Engine) -> None:
    responses = [RESPONSES[i % len(RESPONSES)] for i in range(len(MANY))]
    whole = engine.score(MANY, responses, seed=2)
    streamed = list(engine.score_iter(zip(MANY, responses, strict=True), seed=2, window=5))
    for one, other in zip(streamed, whole, strict=True):
        assert one.tokens == other.tokens
        assert one.token_logprobs == pytest.approx(other.token_logprobs, abs=1e-4)
        assert mixture_of(one).positive == pytest.approx(mixture_of(other).positive, abs=1e-4)


def test_a_list_goes_through_windows(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    generate = engine.backend.generate

    def counting(contexts: Contexts, *arguments: Any) -> Any:
        sizes.append(len(contexts))
        return generate(contexts, *arguments)

    whole = engine.generate(MANY, emotions=["sad"] * 17, prefixes=["we won"] * 17, num_beams=1)
    monkeypatch.setattr(engine.backend, "generate", counting)
    windows = Reading.windows

    def of_five(self: Reading, dialogues: Any, given: Given, size: int) -> Iterator[Window]:
        return windows(self, dialogues, given, 5)

    monkeypatch.setattr(Reading, "windows", of_five)
    parted = engine.generate(MANY, emotions=["sad"] * 17, prefixes=["we won"] * 17, num_beams=1)
    assert sizes == [5, 5, 5, 2]
    assert [reply.token_ids for reply in parted] == [reply.token_ids for reply in whole]


def test_request_ids_count_on(engine: Engine) -> None:
    whole = engine.generate(MANY, num_beams=1)
    streamed = list(engine.generate_iter(MANY[6:], num_beams=1, first_request_id=6, window=4))
    for one, other in zip(streamed, whole[6:], strict=True):
        assert_same_reply(engine, one, other)


def test_a_seed_in_an_array(engine: Engine) -> None:
    seed: Any = np.array(3)
    options: Any = {"seed": seed, "best_of": 1}
    assert list(engine.generate_iter([["rain ."]], **options)) == engine.generate([["rain ."]], **options)
    with pytest.raises(InputError, match="dialogues is of type ndarray; must be an iterable"):
        engine.generate_iter(seed)


def test_what_comes_with_the_dialogues_is_read_beside_them(engine: Engine) -> None:
    given: dict[str, Any] = {
        "emotions": ["joyful", None, "sad"] * 3,
        "prefixes": ["we won", None, ["oh"]] * 3,
        "seed": list(range(9)),
    }
    whole = engine.generate(MANY[:9], num_beams=1, **given)
    lazily = {name: iter(values) for name, values in given.items()}
    for one, other in zip(engine.generate_iter(MANY[:9], num_beams=1, window=4, **lazily), whole, strict=True):
        assert_same_reply(engine, one, other)


def test_an_endless_stream_is_read_a_few_windows_ahead(engine: Engine) -> None:
    read = 0

    def endless() -> Iterator[list[str]]:
        nonlocal read
        for read in count(1):  # noqa: B007 - the function above sees it
            yield DIALOGUES[4]

    replies = engine.generate_iter(endless(), num_beams=1, max_new_tokens=2, window=3)
    assert len(list(islice(replies, 10))) == 10
    assert read <= 10 + 3 * 3
    replies.close()  # type: ignore[attr-defined]
    assert background_threads() == []


def test_no_stream_no_thread(engine: Engine) -> None:
    assert list(engine.generate_iter(iter([]))) == []
    assert list(engine.score_iter([])) == []
    replies = engine.generate_iter(MANY[:3])
    next(replies)
    assert background_threads() == []


def test_a_bad_dialogue_comes_after_the_windows_before_it(engine: Engine) -> None:
    replies = engine.generate_iter([*MANY[:7], [], *MANY], num_beams=1, window=3)
    assert len(list(islice(replies, 6))) == 6
    with pytest.raises(InputError, match="dialogue 7 is an empty list"):
        next(replies)
    assert background_threads() == []


def test_an_iterable_that_fails(engine: Engine) -> None:
    def failing() -> Iterator[list[str]]:
        yield from MANY[:5]
        raise OSError("the disk is gone")

    replies = engine.generate_iter(failing(), num_beams=1, window=2)
    assert len(list(islice(replies, 4))) == 4
    with pytest.raises(OSError, match="the disk is gone"):
        next(replies)
    assert background_threads() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window=0"),
        ({"window": 10**30}, "window=10+: must be an integer of 1 to"),
        ({"num_beams": 0}, "num_beams=0"),
        ({"suppress": 1}, "suppress"),
        ({"stochastic": 1}, "stochastic=1"),
        ({"truncation": "newest"}, "truncation='newest'"),
        ({"strict_turns": 0}, "strict_turns=0"),
        ({"first_request_id": -1}, "first_request_id=-1"),
        ({"first_request_id": 2**64}, f"first_request_id={2**64}: must be an integer from 0 to 2\\^64 - 1"),
        ({"emotions": "sad"}, "emotions is of type str"),
        ({"prefixes": b"we"}, "prefixes is of type bytes"),
        ({"seed": 1.5}, r"seed=1.5: must be an integer from 0 to 2\^64 - 1, or an iterable of one"),
    ],
)
def test_options_are_checked_at_the_call(engine: Engine, options: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, InputError, TypeError), match=message):
        engine.generate_iter(MANY, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"emotions": ["sad"]}, "1 emotions for 17 dialogues"),
        ({"prefixes": ["we"] * 3}, "3 prefixes for 17 dialogues"),
        ({"seed": [1, 2]}, "2 seed for 17 dialogues"),
        ({"first_request_id": 2**64 - 3}, "request_ids, dialogue 3"),
        ({"prefixes": [None, "", *[None] * 15]}, "prefix 1 is ''"),
        (
            {"prefixes": [None, "we won the race", *[None] * 15], "max_new_tokens": 4},
            "prefix 1 has 4 words; must have at most 3",
        ),
    ],
)
def test_values_are_checked_as_they_come(engine: Engine, options: dict[str, Any], message: str) -> None:
    replies = engine.generate_iter(MANY, **options)
    with pytest.raises(InputError, match=message):
        next(replies)


@pytest.mark.parametrize("name", ["emotions", "prefixes", "seed"])
def test_too_few_of_each_are_counted_from_the_beginning(engine: Engine, name: str) -> None:
    values: dict[str, Any] = {"emotions": ["sad"] * 3, "prefixes": [None] * 3, "seed": [1, 2, 3]}
    replies = engine.generate_iter(MANY[:5], num_beams=1, window=2, **{name: values[name]})
    with pytest.raises(InputError, match=f"3 {name} for 4 dialogues or more; must be one each"):
        list(replies)


@pytest.mark.parametrize("longer", ["emotions", "prefixes", "seed"])
@pytest.mark.parametrize("window", [3, 4, 17])
def test_more_than_one_each_is_refused_at_the_end(engine: Engine, longer: str, window: int) -> None:
    """Dialogues that fill windows and those that do not; the last window is not answered before it is known."""
    values: dict[str, Any] = {"emotions": ["sad"] * 13, "prefixes": [None] * 13, "seed": list(range(13))}
    replies = engine.generate_iter(MANY[:12], num_beams=1, window=window, **{longer: iter(values[longer])})
    with pytest.raises(InputError, match=f"{longer}: more than 12 for 12 dialogues; must be one each"):
        list(replies)
    assert len(list(engine.generate_iter(MANY[:12], num_beams=1, window=window, **{longer: values[longer][:12]}))) == 12
    assert background_threads() == []


def test_endless_numbers_go_with_any_stream(engine: Engine) -> None:
    counted = list(engine.generate_iter(MANY[:5], num_beams=1, seed=count(3), emotions=cycle(["sad", None]), window=2))
    given: dict[str, Any] = {"seed": [3, 4, 5, 6, 7], "emotions": ["sad", None, "sad", None, "sad"]}
    for one, other in zip(counted, engine.generate(MANY[:5], num_beams=1, **given), strict=True):
        assert_same_reply(engine, one, other)
    assert len(list(engine.generate_iter(MANY[:5], num_beams=1, emotions=repeat("sad"), window=2))) == 5
    with pytest.raises(InputError, match="emotions: more than 5 for 5 dialogues"):
        list(engine.generate_iter(MANY[:5], num_beams=1, emotions=repeat("sad", 7), window=2))


def test_unordered_values_are_refused(engine: Engine) -> None:
    for name, values in (("emotions", {"sad", "joyful"}), ("seed", {3: 4}), ("prefixes", {"oh": 1}.keys())):
        with pytest.raises(InputError, match=rf"{name} is of type \w+; must be a list, in the order of the dialogues"):
            engine.generate_iter(MANY, **{name: values})  # type: ignore[arg-type]


@pytest.mark.parametrize("dialogues", [None, 3, "rain", b"rain"])
def test_what_is_no_stream_is_refused_at_the_call(engine: Engine, dialogues: Any) -> None:
    for call in (engine.generate_iter, engine.score_iter):
        with pytest.raises(InputError, match=f"of type {type(dialogues).__name__}; must be an iterable"):
            call(dialogues)


def test_pairs_are_checked(engine: Engine) -> None:
    with pytest.raises(InputError, match="pairs is of type str"):
        engine.score_iter("rain")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"pair 1 is \(\['rain'\],\)"):
        list(engine.score_iter([(["rain"], "yes"), (["rain"],)]))  # type: ignore[list-item]
    with pytest.raises(InputError, match="response 2 is empty"):
        list(engine.score_iter([(["rain"], "yes"), (["rain"], "no"), (["rain"], "")]))


def windows(number: int) -> Iterator[Window]:
    none = np.zeros(0, np.int32)
    contexts = Contexts(none, none, np.zeros(2, np.int64))
    requests = Requests(np.zeros(1, np.uint64), np.zeros(1, np.uint64), np.zeros(1, np.int32), False)
    return (Window(start, False, contexts, requests) for start in range(number))


def test_work_and_reading_go_on_at_the_same_time() -> None:
    """Each window's work can end only when the next one has been read."""
    read = [threading.Event() for _ in range(5)]

    def reading() -> Iterator[Window]:
        for window in windows(5):
            read[window.start].set()
            yield window

    def work(window: Window, _: Stop | None) -> int:
        assert window.start == 4 or read[window.start + 1].wait(30)
        return window.start

    assert [result for _, result in overlapped(reading(), work)] == [0, 1, 2, 3, 4]


def test_closing_stops_the_work() -> None:
    began = threading.Event()

    def endless(window: Window, stop: Stop | None) -> None:
        assert stop is not None
        if window.start:
            began.set()
            while not stop[0]:
                time.sleep(0.001)
            raise BackendError("stopped")

    results = overlapped(windows(4), endless)
    next(results)
    assert began.wait(30)
    results.close()  # type: ignore[attr-defined]
    assert background_threads() == []


def test_an_iterator_that_its_own_thread_collects(monkeypatch: pytest.MonkeyPatch) -> None:
    faults: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", faults.append)
    began, forgotten = threading.Event(), threading.Event()

    def work(window: Window, _: Stop | None) -> int:
        if window.start:
            began.set()
            assert forgotten.wait(30)
            gc.collect()
        return window.start

    gc.collect()
    gc.disable()
    try:
        circle: list[Any] = [overlapped(windows(4), work)]
        circle.append(circle)
        next(circle[0])
        assert began.wait(30)
        del circle
        forgotten.set()
        deadline = time.monotonic() + 30
        while background_threads():
            assert time.monotonic() < deadline
            time.sleep(0.001)
    finally:
        gc.enable()
    assert not faults


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timer")
def test_an_interrupt_stops_the_work() -> None:
    """The caller waits for a window that ends only when it is told to stop."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def endless(_: Window, stop: Stop | None) -> None:
        assert stop is not None
        while not stop[0]:
            time.sleep(0.001)
        raise BackendError("stopped")

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            list(overlapped(windows(4), endless))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert background_threads() == []


def test_a_back_end_stops_when_told(engine: Engine) -> None:
    reading = Reading(engine.tokenizer, 99, True, None)
    (window,) = reading.windows(MANY, Given.with_list(MANY, None, responses=["yes"] * 17))
    stop = np.ones(1, np.uint8)
    options = GenerationConfig()
    with pytest.raises(BackendError, match="stopped"):
        engine.backend.generate(window.contexts, window.requests, options, None, stop)
    with pytest.raises(BackendError, match="stopped"):
        engine.backend.score(window.contexts, window.requests, *window.targets(engine.tokenizer), stop)
    with pytest.raises(BackendError, match="stopped"):
        engine.backend.classify(window.contexts, stop)


def test_an_error_of_the_back_end_says_in_which_window() -> None:
    def work(window: Window, _: Stop | None) -> int:
        if window.start == 2:
            raise BackendError("the model produced NaN").about([0])
        return window.start

    results = overlapped(windows(4), work)
    assert [next(results)[1], next(results)[1]] == [0, 1]
    with pytest.raises(BackendError, match="in the batch of dialogues 2 to 2: the model produced NaN") as found:
        next(results)
    assert found.value.dialogues == (2,)
    assert background_threads() == []


def test_calls_from_many_threads(engine: Engine) -> None:
    expected = engine.generate(MANY, num_beams=2)
    found: dict[int, list[mime_fast.Reply]] = {}

    def call(number: int) -> None:
        found[number] = list(engine.generate_iter(MANY, num_beams=2, window=4))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for replies in found.values():
        assert [reply.token_ids for reply in replies] == [reply.token_ids for reply in expected]
    assert len(found) == 3
