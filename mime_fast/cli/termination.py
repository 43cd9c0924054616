"""SIGTERM ends a command as Ctrl-C does: what is half done is cleared away."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

ONE = 2.0  # seconds in which several signals count as one: `timeout` sends two


class Terminated(BaseException):
    """The process got SIGTERM."""


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises Terminated in the block, unless somebody else handles or ignores it, or this is a thread."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    last = -math.inf

    def terminate(*_: object) -> None:
        nonlocal last
        if time.monotonic() - last > ONE:
            last = time.monotonic()
            raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
