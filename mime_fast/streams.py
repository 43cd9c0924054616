"""The standard streams, whatever they are: closed, without a buffer, in ASCII, full."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, TextIO, cast

from mime_fast.errors import DataError, OutputError
from mime_fast.files import naming

STANDARD_OUTPUT = "standard output"


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Standard output for bytes; text in UTF-8 where it has no buffer.

    Raises:
        OutputError: it is closed, or the disk behind it is full.
        BrokenPipeError: nobody reads it.
    """
    with naming(STANDARD_OUTPUT):
        stream = _Bytes(sys.stdout)
        yield cast(BinaryIO, stream)
        stream.flush()


def standard_input() -> BinaryIO:
    """Standard input for bytes, below its buffer, whose lock a thread that waits for it would hold for ever.

    Its reads raise a DataError where it is closed.
    """
    buffer = getattr(sys.stdin, "buffer", None)
    if sys.stdin is None or (buffer is None and not hasattr(sys.stdin, "read")):
        return cast(BinaryIO, _Closed("standard input").buffer)
    if buffer is None:
        return io.BytesIO(sys.stdin.read().encode(errors="surrogateescape"))
    return cast(BinaryIO, getattr(buffer, "raw", buffer))


def tell(text: str) -> None:
    """A line on standard error, which may be closed or full."""
    with suppress(OSError, ValueError, AttributeError):
        print(text, file=sys.stderr, flush=True)


@contextmanager
def usable() -> Iterator[None]:
    """Standard streams that can be used, while the block runs.

    Descriptors 0 to 2 that are closed are taken, so that no file of ours becomes one of them; a closed standard error
    is silent, and a closed standard output refuses what is written. An error of standard output names it, also where it
    has no buffer (PYTHONUNBUFFERED). Characters that a stream's encoding has not become escapes.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest one that is free
    before = sys.stdin, sys.stdout, sys.stderr
    if sys.stdin is None:
        sys.stdin = cast(TextIO, _Closed("standard input"))
    if sys.stdout is None:
        sys.stdout = cast(TextIO, _Closed(STANDARD_OUTPUT))
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - closed below
    for stream, errors in ((sys.stdout, "backslashreplace"), (sys.stdin, "surrogateescape")):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            with suppress(ValueError):  # closed
                stream.reconfigure(errors=errors)
    sys.stdout = cast(TextIO, _Named(sys.stdout, STANDARD_OUTPUT))
    silent = sys.stderr if before[2] is None else None
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
        if silent is not None:
            silent.close()


def flush_output() -> None:
    """Write what is still in standard output's buffer. OutputError or BrokenPipeError: it cannot be."""
    if hasattr(sys.stdout, "flush"):
        with naming(STANDARD_OUTPUT):
            sys.stdout.flush()


class _Named:
    """A text stream whose errors carry its name."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream, self._shown = stream, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with naming(self._shown):
            return int(self._stream.write(text) or 0)


class _Bytes:
    """Bytes into a text stream, by its buffer if it has one."""

    def __init__(self, stream: Any) -> None:
        self._buffer = getattr(stream, "buffer", None)
        self._text = stream

    def write(self, data: bytes) -> int:
        if self._text is None:
            raise OutputError(f"{STANDARD_OUTPUT}: cannot be written: it is closed")
        if self._buffer is not None:
            self._buffer.write(data)
        else:
            self._text.write(data.decode())
        return len(data)

    def flush(self) -> None:
        target = self._text if self._buffer is None else self._buffer
        if hasattr(target, "flush"):
            target.flush()


class _Closed(io.TextIOBase):
    """A stream that is closed: what reads or writes it gets an error with its name."""

    def __init__(self, name: str) -> None:
        self._shown = name

    def isatty(self) -> bool:
        return False

    def read(self, size: int | None = -1, /) -> str:
        raise DataError(f"{self._shown}: cannot be read: it is closed")

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        return self.read()

    def write(self, text: str, /) -> int:
        raise OutputError(f"{self._shown}: cannot be written: it is closed")

    @property
    def buffer(self) -> Any:
        return _ClosedBytes(self)


class _ClosedBytes:
    """Its bytes."""

    def __init__(self, stream: _Closed) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        self._stream.read()
        return b""

    def write(self, data: bytes) -> int:
        return self._stream.write("")

    def flush(self) -> None:
        pass
