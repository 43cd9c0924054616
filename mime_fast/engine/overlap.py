"""A call's windows: a thread runs the back end on one while the caller's prepares the next and reads the last."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread, current_thread
from typing import Generic, TypeVar

import numpy as np

from mime_fast.backends.protocol import Stop
from mime_fast.engine.ending import end_calls, ended_with_process
from mime_fast.engine.reading import Window
from mime_fast.errors import BackendError, ConfigError

Result = TypeVar("Result")


def overlapped(
    windows: Iterable[Window], work: Callable[[Window, Stop | None], Result]
) -> Iterator[tuple[Window, Result]]:
    """Each window with what `work` makes of it, in order.

    `work` is on one background thread, a window ahead of the caller; a window that is all there is needs no thread.
    The thread is gone when the iterator ends, fails or is closed, or the process ends. What is wrong with a window's
    input is raised after the results of the windows before it.
    """
    coming = iter(windows)
    window = next(coming, None)
    if window is None:
        return
    if window.last:
        with ended_with_process() as stop:
            found = _named(work, window, stop)
        yield window, found
        return
    worker = _Worker(work)
    fault: Exception | None = None
    try:
        running: tuple[Window, Future[Result]] | None = window, worker.submit(window)
        while running is not None:
            try:
                window = None if fault else next(coming, None)
            except Exception as error:  # the caller's iterable can raise anything
                window, fault = None, error
            following = None if window is None else (window, worker.submit(window))
            with ended_with_process(worker.stop):
                found = running[1].result()
            yield running[0], found
            if os.getpid() != worker.owner:  # the thread is in the other process: nothing would ever come
                raise BackendError("these replies were begun in another process; ask for them anew in this one")
            running = following
        if fault is not None:
            raise fault
    finally:
        worker.end()


class _Worker(Generic[Result]):
    """A thread that works on one window after the other until `end`, which the end of the process calls, too.

    A daemon: the executors of concurrent.futures are joined at the process's end before their owners can stop the work.
    """

    def __init__(self, work: Callable[[Window, Stop | None], Result]) -> None:
        self.owner = os.getpid()
        self._work = work
        self.stop: Stop = np.zeros(1, np.uint8)
        self._coming: SimpleQueue[tuple[Window, Future[Result]] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="mime_fast", daemon=True)
        self._thread.start()
        atexit.register(self._end_with_process)

    def submit(self, window: Window) -> Future[Result]:
        """The window's result, when it is there."""
        result: Future[Result] = Future()
        self._coming.put((window, result))
        return result

    def end(self) -> None:
        """Stop the work and wait for the thread; nothing in a forked child, which has none."""
        atexit.unregister(self._end_with_process)
        if os.getpid() == self.owner:
            self.stop[0] = 1
            self._coming.put(None)
            if self._thread is not current_thread():  # which may be the one that collects a forgotten iterator
                self._thread.join()

    def _end_with_process(self) -> None:
        end_calls()  # first: it lets those who wait for results end without an error
        self.end()

    def _run(self) -> None:
        while (coming := self._coming.get()) is not None:
            self._finish(*coming)
            del coming  # while the thread waits, it keeps no window alive

    def _finish(self, window: Window, result: Future[Result]) -> None:
        if self.stop[0]:
            result.cancel()
            return
        try:
            found = _named(self._work, window, self.stop)
        except BaseException as error:
            result.set_exception(error)
            del result  # the error's traceback would lead back to it
        else:
            result.set_result(found)


def watched(results: Iterable[Result], total: int, unit: str, show: bool) -> list[Result]:
    """The results as a list; `show`: with a bar while they come."""
    if not show:
        return list(results)
    from mime_fast.progress import Bar

    found = []
    with Bar(total, unit=unit, show=True) as progress:
        for one in results:
            found.append(one)
            progress.update()
    return found


def _named(work: Callable[[Window, Stop | None], Result], window: Window, stop: Stop | None) -> Result:
    """Errors number dialogues inside the window; they get to know which one it is."""
    try:
        return work(window, stop)
    except (BackendError, ConfigError) as error:
        if window.start == 0:
            raise
        end = window.start + len(window.contexts) - 1
        found = type(error)(f"in the batch of dialogues {window.start} to {end}: {error}")
        raise found.about(window.start + dialogue for dialogue in error.dialogues) from None
