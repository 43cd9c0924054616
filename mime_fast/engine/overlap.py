"""A call's windows: a thread runs the back end on one while the caller's prepares the next and reads the last."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from mime_fast.backends.protocol import Stop
from mime_fast.engine.reading import Window
from mime_fast.errors import BackendError, ConfigError

Result = TypeVar("Result")


def overlapped(
    windows: Iterable[Window], work: Callable[[Window, Stop | None], Result]
) -> Iterator[tuple[Window, Result]]:
    """Each window with what `work` makes of it, in order.

    `work` is on one background thread, a window ahead of the caller; a window that is all there is needs no thread.
    The thread is gone when the iterator ends, fails or is closed. What is wrong with a window's input is raised after
    the results of the windows before it.
    """
    coming = iter(windows)
    window = next(coming, None)
    if window is None:
        return
    if window.last:
        yield window, _named(work, window, None)
        return
    stop = np.zeros(1, np.uint8)
    owner = os.getpid()
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mime_fast")
    fault: Exception | None = None
    try:
        running: tuple[Window, Future[Result]] | None = window, pool.submit(_named, work, window, stop)
        while running is not None:
            try:
                window = None if fault else next(coming, None)
            except Exception as error:  # the caller's iterable can raise anything
                window, fault = None, error
            following = None if window is None else (window, pool.submit(_named, work, window, stop))
            yield running[0], running[1].result()
            if os.getpid() != owner:  # the thread is in the other process: nothing would ever come
                raise BackendError("these replies were begun in another process; ask for them anew in this one")
            running = following
        if fault is not None:
            raise fault
    finally:
        if os.getpid() == owner:
            stop[0] = 1
            pool.shutdown(cancel_futures=True)


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
