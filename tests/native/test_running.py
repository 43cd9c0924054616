"""Runs that are stopped, interrupted, starved of memory or called from many threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from mime_fast import _native
from mime_fast.config.model import MimeConfig
from mime_fast.text.special import EOS_ID
from tests.native.random_models import (
    ISAS,
    SANITIZED,
    Asked,
    native_model,
    options,
    random_dialogues,
    random_tensors,
    running,
)

SECONDS = 4.0 if SANITIZED else 1.0  # within which a run ends
PATIENCE = 0.3  # before it is stopped
CONFIG = MimeConfig.paper(24_640)
LONG = options(num_beams=5, max_new_tokens=1000, suppress_tokens=[EOS_ID])
DRAWN = {"do_sample": True, "num_beams": 1, "top_p": 0.9, "max_new_tokens": 1000}
Call = Callable[..., Any]


@pytest.fixture(scope="module")
def model() -> _native.Model:
    return native_model(CONFIG, random_tensors(CONFIG))


@pytest.fixture(scope="module")
def slowest() -> _native.Model:
    return native_model(CONFIG, random_tensors(CONFIG), isa=ISAS[0])


def generating(model: _native.Model, asked: Asked, way: dict[str, Any]) -> Call:
    return lambda **run: model.generate(asked.contexts, asked.requests, way, None, **run)


def scoring(model: _native.Model, asked: Asked, length: int) -> Call:
    targets = np.full(length * len(asked), 7, np.int32), np.arange(len(asked) + 1) * length
    return lambda **run: model.score(asked.contexts, asked.requests, *targets, **run)


def classifying(model: _native.Model, asked: Asked) -> Call:
    return lambda **run: model.classify(asked.contexts, **run)


@contextmanager
def ended_soon(error: type[BaseException], message: str | None, stop: Callable[[], Any]) -> Iterator[None]:
    """The block, which would run for long, ends by the error, not much later than `stop` was called."""
    called: list[float] = []

    def act() -> None:
        called.append(time.perf_counter())
        stop()

    timer = threading.Timer(PATIENCE, act)
    timer.start()
    try:
        with pytest.raises(error, match=message):
            yield
        ended = time.perf_counter()
    finally:
        timer.cancel()
        timer.join()
    assert ended - called[0] < SECONDS


def calls(model: _native.Model) -> list[Call]:
    """Each of half a minute and more."""
    many = random_dialogues(CONFIG, [999] * 400)
    return [
        generating(model, random_dialogues(CONFIG, [20] * 200), LONG),
        generating(model, random_dialogues(CONFIG, [20]), options(num_beams=2000, max_new_tokens=1000)),
        generating(model, random_dialogues(CONFIG, [20] * 64), options(num_beams=10_000, max_new_tokens=1000)),
        generating(model, many, LONG),
        scoring(model, many, 1000),
        scoring(model, random_dialogues(CONFIG, [5] * 4000), 90),
        generating(model, random_dialogues(CONFIG, [20]), options(num_return_sequences=10_000, **DRAWN)),
    ]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("which", range(7))
def test_the_stop_byte(model: _native.Model, which: int, threads: int) -> None:
    stop = np.zeros(1, np.uint8)
    with ended_soon(_native.ModelError, "stopped", lambda: stop.fill(1)):
        calls(model)[which](**running(threads) | {"stop": stop})


@pytest.mark.parametrize("which", ["generate", "score", "classify"])
def test_the_stop_byte_in_the_slowest_kernels(slowest: _native.Model, which: str) -> None:
    many = random_dialogues(CONFIG, [999] * 400)
    call = {
        "generate": generating(slowest, many, LONG),
        "score": scoring(slowest, many, 1000),
        "classify": classifying(slowest, many),
    }[which]
    stop = np.zeros(1, np.uint8)
    with ended_soon(_native.ModelError, "stopped", lambda: stop.fill(1)):
        call(**running(2) | {"stop": stop})


def test_a_stop_byte_that_is_set_already(model: _native.Model) -> None:
    some = random_dialogues(CONFIG, [3, 4])
    for call in (generating(model, some, LONG), scoring(model, some, 2), classifying(model, some)):
        with pytest.raises(_native.ModelError, match="stopped"):
            call(**running(2) | {"stop": np.ones(1, np.uint8)})


@pytest.mark.parametrize(("which", "threads"), [(0, 1), (0, 3), (2, 3), (3, 1), (4, 3), (5, 1)])
def test_ctrl_c(model: _native.Model, which: int, threads: int) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background may ignore it
    try:
        with ended_soon(KeyboardInterrupt, None, lambda: signal.raise_signal(signal.SIGINT)):
            calls(model)[which](**running(threads))
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_a_handler_raises_is_raised_and_one_that_does_not_lets_go_on(model: _native.Model) -> None:
    seen: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        if len(seen) == 2:
            raise LookupError("the second")

    def second() -> None:
        while not seen:  # two signals that wait for the handler count as one
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, handle)
    try:
        with ended_soon(LookupError, "the second", second):
            threading.Timer(PATIENCE / 3, signal.raise_signal, [signal.SIGINT]).start()
            calls(model)[0](**running(2))
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(seen) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads in /proc")
def test_no_more_threads_than_there_are_pieces_of_work() -> None:
    """Of one dialogue, threads share the vocabulary; a small one is a single piece."""
    config = MimeConfig.paper(60, hidden_size=12, num_heads=2, attention_depth=8, ffn_channels=5)
    asked, way = random_dialogues(config, [5]), options(num_beams=5, max_new_tokens=1000, suppress_tokens=[EOS_ID])
    call = generating(native_model(config, random_tensors(config)), asked, way)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(call, **running(1)).result()
        before = most = len(os.listdir("/proc/self/task"))
        future = pool.submit(call, **running(64))
        while not future.done():
            most = max(most, len(os.listdir("/proc/self/task")))
        future.result()
    assert most - before < 8


def test_other_threads_go_on_while_a_model_is_packed() -> None:
    tensors, over, ticks = random_tensors(CONFIG), threading.Event(), 0

    def tick() -> None:
        nonlocal ticks
        while not over.wait(0.001):
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        before = ticks
        native_model(CONFIG, tensors, "screened")
        assert ticks - before >= 5
    finally:
        over.set()
        thread.join()


def test_parallel_calls_on_one_model(model: _native.Model) -> None:
    some = [random_dialogues(CONFIG, [3, 30, 9, 1], seed) for seed in range(12)]
    ways = [options(max_new_tokens=6), options(num_beams=1, do_sample=True, max_new_tokens=6)]

    def one(i: int) -> list[bytes]:
        outputs, replies = generating(model, some[i], ways[i % 2])(**running(1 + i % 3))
        scored, log_probs = scoring(model, some[i], 7)(**running(2))
        logits = classifying(model, some[i])(**running(1))
        return [array.tobytes() for array in (*outputs, *replies, *scored, log_probs, logits)]

    alone = [one(i) for i in range(len(some))]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(len(some)))) == alone
        assert list(pool.map(one, [0] * 8)) == alone[:1] * 8


STARVED = """
import resource, sys
from mime_fast.config.model import MimeConfig
from tests.native.random_models import *

config = MimeConfig.paper(24_640, hidden_size=32)
model = native_model(config, random_tensors(config))
asked = random_dialogues(config, [20] * 64)
model.generate(asked.contexts, asked.requests, options(max_new_tokens=2), None, **running(2))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
way = {"wide": options(num_beams=10_000, max_new_tokens=1000, no_repeat_ngram_size=2),
       "sampling": options(num_beams=1, do_sample=True, num_return_sequences=10_000, max_new_tokens=900)}[sys.argv[1]]
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]) * 2**20, hard))
try:
    model.generate(asked.contexts, asked.requests, way, None, **running(int(sys.argv[3])))
except MemoryError:
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    print("out of memory")
"""


@pytest.mark.skipif(SANITIZED or sys.platform != "linux", reason="memory cannot be limited as it is here")
@pytest.mark.parametrize(("way", "megabytes", "threads"), [("wide", 20, 1), ("wide", 90, 2), ("sampling", 60, 3)])
def test_out_of_memory(way: str, megabytes: int, threads: int) -> None:
    arguments = [sys.executable, "-c", STARVED, way, str(megabytes), str(threads)]
    found = subprocess.run(
        arguments, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=False
    )
    assert (found.returncode, found.stdout) == (0, "out of memory\n"), found.stderr
