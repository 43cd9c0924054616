"""Rows in chunks for the engine: full ones, or what has come when the input pauses."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Row = TypeVar("Row")

CHUNK = 512  # rows that the engine gets at once, and sorts by length among themselves
PAUSE = 0.02  # seconds without a row after which the chunk goes on its way


def full(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Chunks of `CHUNK` rows; only the last one is shorter."""
    coming = iter(rows)
    while chunk := list(islice(coming, CHUNK)):
        yield chunk


def as_they_come(rows: Iterable[Row], pause: float = PAUSE) -> Iterator[list[Row]]:
    """Chunks of `CHUNK` rows, or of fewer where no other has come for `pause` seconds. A thread reads the rows."""
    coming: queue.Queue[Row | _End] = queue.Queue(2 * CHUNK)
    stopped = threading.Event()

    def read() -> None:
        error: BaseException | None = None
        try:
            for row in rows:
                coming.put(row)
                if stopped.is_set():
                    return
        except BaseException as caught:
            error = caught
        coming.put(_End(error))

    threading.Thread(target=read, name="mime_fast reading", daemon=True).start()  # it may wait for a row forever
    try:
        yield from _chunks(coming, pause)
    finally:
        stopped.set()
        while not coming.empty():  # so that the thread sees it
            coming.get_nowait()


class _End:
    """What comes after the last row: why it is the last."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def _chunks(coming: queue.Queue[Row | _End], pause: float) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    while True:
        try:
            row = coming.get(timeout=pause if chunk else None)
        except queue.Empty:
            yield chunk
            chunk = []
            continue
        if isinstance(row, _End):
            if chunk:
                yield chunk
            if row.error is not None:
                raise row.error
            return
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
