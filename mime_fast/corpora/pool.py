"""Processes that share the parts of a job."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from typing import Self

from mime_fast.backends.threads import default_threads
from mime_fast.corpora.part_work import PartWork, Report, run_worker, start_worker
from mime_fast.corpora.parts import PartResult
from mime_fast.data.reading.rows import RawRow
from mime_fast.errors import BackendError


class Pool:
    """Worker processes, each with an engine; gone when the block ends."""

    def __init__(self, work: PartWork, workers: int, report: Report) -> None:
        """`report` is called, on a thread, with what the workers report."""
        self._report = report
        self._ended = threading.Event()
        self._workers = workers
        options = {**work.spec.load_options, "threads": _threads(work, workers)}
        self._work = replace(work, spec=replace(work.spec, load_options=options))
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        context = get_context("spawn")
        self._theirs, self._alive = context.Pipe(duplex=False)
        self._reports, into = context.Pipe(duplex=False)
        given = (self._work, self._theirs, into, context.Lock())
        self._pool = ProcessPoolExecutor(self._workers, context, start_worker, given)
        self._into = into  # open, so that the thread never meets the end of the pipe
        self._listener = threading.Thread(target=self._listen, name="mime_fast workers' reports", daemon=True)
        self._listener.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._pool is not None
        if kind is not None:
            self._alive.close()  # ends the workers, whatever they do
        self._pool.shutdown(cancel_futures=True)
        self._alive.close()
        self._theirs.close()
        self._ended.set()
        self._listener.join(timeout=5)  # it waits for ever where a worker was killed in the middle of a report
        if not self._listener.is_alive():
            self._reports.close()
            self._into.close()

    def _listen(self) -> None:
        while self._reports.poll(0.1) or not self._ended.is_set():
            if self._reports.poll():
                self._report(self._reports.recv())

    def make(self, todo: Iterator[tuple[int, Iterator[RawRow]]]) -> Iterator[tuple[int, PartResult]]:
        """The parts as they are done, in any order; one more than there are workers is in memory."""
        assert self._pool is not None
        running: set[Future[tuple[int, PartResult]]] = set()
        try:
            for number, rows in todo:
                taken = list(rows)
                with _without_interrupts():
                    running.add(self._pool.submit(run_worker, number, taken))
                if len(running) > self._workers:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool:
            raise BackendError(
                "a worker process ended before its work did (too little memory? a script that starts the job "
                "outside of `if __name__ == '__main__':`?); what is done is kept: start the job again"
            ) from None


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """What begins in the block, a process that still imports included, has Ctrl-C blocked; here it comes after it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _threads(work: PartWork, workers: int) -> int | None:
    given: int | None = work.spec.load_options.get("threads")
    return given or max(1, default_threads() // workers)
