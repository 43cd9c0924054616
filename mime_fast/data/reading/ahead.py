"""Streams of which what comes next can be looked at before it is read."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

BUFFER = 1 << 18


class Damaged(Exception):
    """What an unpacker cannot go on from."""


class Ahead(io.BufferedReader):
    """A buffered stream. What a look shows does not depend on the pieces in which a pipe gives its bytes."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._rest = _Rest(raw)
        super().__init__(self._rest, BUFFER)

    def look(self, is_enough: Callable[[bytes], bool]) -> bytes:
        """What comes next, until it is enough, at most `BUFFER` bytes; it is still to be read.

        Where the stream ends it is less, and where it cannot be read on: reading raises the fault after what was found.
        """
        found = bytearray()
        try:
            while len(found) < BUFFER and not is_enough(bytes(found)):
                piece = self.read1(BUFFER)
                found += piece
                if not piece:
                    self._rest.is_ended = True
                    break
        except (Damaged, OSError) as error:
            self._rest.fault = error
        finally:
            self._rest.first = bytes(found) + self._rest.first
        return bytes(found[:BUFFER])

    def first(self, size: int) -> bytes:
        """The first bytes; fewer where a line ends before, as a program may write no more until it is answered."""
        return self.look(lambda start: len(start) >= size or b"\n" in start)

    def line(self) -> bytes:
        """What begins with the first line that is not blank, and blank ones before it."""
        return self.look(lambda start: b"\n" in start.lstrip())


class _Rest(io.RawIOBase):
    """What was looked at, and then what follows it in a stream."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__()
        self.raw = raw
        self.first = b""
        self.fault: Exception | None = None
        self.is_ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.first:
            found, self.first = self.first[: len(buffer)], self.first[len(buffer) :]
            buffer[: len(found)] = found
            return len(found)
        if self.fault is not None:
            raise self.fault
        return 0 if self.is_ended else self.raw.readinto(buffer)
