"""Calls of daemon threads: the process waits for no such thread, and aborts if one comes back from C++ once it ends."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, current_thread

import numpy as np

from mime_fast.backends.protocol import Stop


@dataclass(frozen=True, eq=False)
class _Call:
    stop: Stop
    owner: int = field(default_factory=os.getpid)


_running: set[_Call] = set()  # without a lock, which a fork could find taken
_ended = Event()


@contextmanager
def ended_with_process(stop: Stop | None = None) -> Iterator[Stop | None]:
    """Around a call of the back end; of a daemon thread's, the process's end sets `stop` (None: a new one) and waits.

    What does not look at `stop`, such as making a model, is only waited for.

    Raises:
        SystemExit: the call was stopped, or not begun, since the process ends. The thread ends by it without a message.
    """
    if not current_thread().daemon:
        yield stop
        return
    call = _Call(np.zeros(1, np.uint8) if stop is None else stop)
    _running.add(call)
    try:
        if _ended.is_set():
            raise SystemExit
        yield call.stop
    except Exception:
        if _ended.is_set():
            raise SystemExit from None
        raise
    finally:
        _running.remove(call)


@atexit.register
def end_calls() -> None:
    """Stop the calls of daemon threads and wait for them; those of a forked child's parent are not its own."""
    _ended.set()
    while mine := [call for call in list(_running) if call.owner == os.getpid()]:
        for call in mine:
            call.stop[0] = 1
        time.sleep(0.001)
