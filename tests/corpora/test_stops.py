"""A job that ends early stops the back end at once, whatever it works on."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import closing
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mime_fast
from mime_fast.backends.native import NativeBackend
from mime_fast.corpora.answering import Answerer
from mime_fast.corpora.job import CorpusJob
from mime_fast.corpora.tasks import Kind, Task
from mime_fast.data.reading.rows import RawRow
from mime_fast.errors import BackendError, OutputError
from tests.corpora.conftest import MakeJob, some_rows, write_rows

LONG = 20.0  # seconds that a call of the back end takes unless it is stopped
KINDS: tuple[Kind, ...] = ("generate", "score", "classify")


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Is set once the back end works on the second of two chunks, which never ends by itself."""
    begun = threading.Event()
    for name in KINDS:
        monkeypatch.setattr(NativeBackend, name, _second_is_long(getattr(NativeBackend, name), begun))
    yield begun


def _second_is_long(whole: Any, begun: threading.Event) -> Any:
    calls: list[object] = []

    def call(*asked: Any) -> Any:
        calls.append(None)
        if len(calls) == 1:
            return whole(*asked)
        begun.set()
        stop, end = asked[-1], time.monotonic() + LONG
        while getattr(stop, "dtype", None) != np.uint8 or not stop[0]:
            assert time.monotonic() < end, "was not stopped"
            time.sleep(0.001)
        raise BackendError("stopped")

    return call


@pytest.mark.parametrize("kind", KINDS)
def test_answers_that_are_closed(model_dir: Path, busy: threading.Event, kind: Kind) -> None:
    rows = [RawRow("rows.jsonl", i + 1, i, json.dumps(row).encode()) for i, row in enumerate(some_rows(1024))]
    task = Task(kind, search={"num_beams": 2} if kind == "generate" else {})
    answerer = Answerer(task, mime_fast.load(model_dir, backend="native", threads=1))
    with closing(answerer.answers(rows)) as answers:
        assert len(next(answers)) == 512
        assert busy.wait(LONG)
        began = time.monotonic()
    assert time.monotonic() - began < LONG / 2


@pytest.mark.parametrize("name", ["out.jsonl", "parts/", None])
def test_a_job_that_fails(
    tmp_path: Path, make_job: MakeJob, busy: threading.Event, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    """Its answers are closed then, though the error, which somebody keeps, leads to them."""

    def full(*_: object) -> None:
        assert busy.wait(LONG)
        raise OutputError("no space left")

    monkeypatch.setattr("mime_fast.corpora.summary.Tally.add", full)
    source = write_rows(tmp_path / "in.jsonl", some_rows(1024))
    with pytest.raises(OutputError, match="no space") as kept:
        make_job(source, name and f"{tmp_path}/{name}", part_rows=2000).run()
    assert kept.tb is not None
    assert not [one for one in threading.enumerate() if one.name.startswith("mime_fast corpora")]


def _interrupted(job: CorpusJob, number: int) -> None:
    """What a child process does: it runs the job, and its second chunk brings a signal."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background may ignore it
    begun = threading.Event()
    NativeBackend.classify = _second_is_long(NativeBackend.classify, begun)  # type: ignore[method-assign]

    def send() -> None:
        begun.wait(LONG)
        os.kill(os.getpid(), number)

    threading.Thread(target=send, daemon=True).start()
    from mime_fast.cli.termination import Terminated, terminable

    try:
        with terminable():
            job.run()
    except (KeyboardInterrupt, Terminated):
        os._exit(number)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="asks /proc which signals are blocked")
def test_workers_know_no_ctrl_c_from_their_first_instruction_on(
    tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal sends it to them, too, and while they import it would be a traceback of each."""
    blocked: list[int] = []

    def looked(*asked: Any, **named: Any) -> Any:
        states = [Path(f"/proc/{child.pid}/status").read_text() for child in multiprocessing.active_children()]
        blocked.extend(int(state.split("SigBlk:")[1].split()[0], 16) for state in states)
        return futures.wait(*asked, **named)

    monkeypatch.setattr("mime_fast.corpora.pool.wait", looked)
    source = write_rows(tmp_path / "in.jsonl", some_rows(40))
    make_job(source, tmp_path / "out.jsonl", kind="classify", part_rows=10, workers=2).run()
    assert blocked and all(mask & 1 << (signal.SIGINT - 1) for mask in blocked)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(tmp_path: Path, make_job: MakeJob, children: ForkServerContext, number: int) -> None:
    source = write_rows(tmp_path / "in.jsonl", some_rows(1024))
    job = make_job(source, tmp_path / "out.jsonl", kind="classify", part_rows=2000)
    child = children.Process(target=_interrupted, args=(job, number))
    child.start()
    child.join(LONG / 2)
    child.kill()
    child.join()
    assert child.exitcode == number
    assert list(tmp_path.iterdir()) == [source]
