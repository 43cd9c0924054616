"""Text files in any encoding as UTF-8, with line feeds, and their lines."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from mime_fast.data.reading.ahead import BUFFER, Ahead
from mime_fast.data.reading.opening import File
from mime_fast.data.reading.rows import Broken
from mime_fast.errors import DataError

_MARKS = (  # the longer one first, which begins like the shorter
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ESCAPE = "mime_fast.escape"
_LETTERS = 8  # that show whether they have zeros beside them
_WIDE = {  # which bytes of a letter of English are not zero
    "utf-32-le": (True, False, False, False),
    "utf-32-be": (False, False, False, True),
    "utf-16-le": (True, False),
    "utf-16-be": (False, True),
}


def text_lines(file: File, stream: Ahead) -> Iterator[tuple[int, bytes | Broken]]:
    """The lines of `text_of(file)`, numbered from 1; one that is too long is broken, and not kept in memory."""
    limit = file.source.reading.max_row_bytes
    for number in count(1):
        line = stream.readline(limit + 1)
        if not line:
            return
        if len(line) > limit and not line.endswith(b"\n"):
            while (rest := stream.readline(limit)) and not rest.endswith(b"\n"):
                pass
            yield number, Broken(f"longer than {limit} bytes (--max-row-bytes)", line[:200].decode(errors="replace"))
            continue
        yield number, line


def text_of(file: File) -> Ahead:
    """The file as UTF-8 without a byte order mark, with line feeds also where it has only carriage returns.

    Raises:
        DataError: it is not of its encoding, or is UTF-16 or UTF-32 without a mark and without the order of its bytes.
    """
    if file.text is None:
        file.text = _text(file)
    return file.text


def _text(file: File) -> Ahead:
    stream = file.stream
    start = stream.first(max(len(mark) for mark, _ in _MARKS))
    encoding = codecs.lookup(file.source.reading.encoding).name
    for mark, marked in _MARKS:
        if start.startswith(mark):
            stream.read(len(mark))
            encoding = marked
            break
    else:
        if encoding == "utf-8":
            _check_wide(stream.look(_shows_width), file.name)
        elif start and encoding in ("utf-16", "utf-32"):
            raise DataError(
                f"{file.name}: does not begin with a byte order mark, as {encoding} must; without one --encoding "
                f"{encoding}-le or {encoding}-be reads it"
            )
    if encoding != "utf-8":
        stream = _recoded(stream, encoding, file.name)
    start = stream.look(lambda start: b"\n" in start)
    if b"\r" in start[:-1] and b"\n" not in start:
        return _changed(stream, lambda piece, _: piece.replace(b"\r", b"\n"))
    return stream


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """As `surrogateescape`, which leaves out bytes below 128 (a half of a letter of UTF-16, say)."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC80 | byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_ESCAPE, _escaped)


def _recoded(stream: Ahead, encoding: str, name: str) -> Ahead:
    """The text in UTF-8; a byte that the encoding does not have becomes none of UTF-8, and makes its row a bad one."""
    decoder = codecs.getincrementaldecoder(encoding)(_ESCAPE)

    def utf8(piece: bytes, last: bool) -> bytes:
        try:
            return decoder.decode(piece, last).encode("utf-8", "surrogateescape")
        except UnicodeError as error:
            raise DataError(f"{name}: cannot be read as {encoding} ({error}); --encoding must name its own") from None

    return _changed(stream, utf8)


def _shows_width(start: bytes) -> bool:
    """Whether `_check_wide` would say the same of a longer start; a short line without zeros is not waited after."""
    return len(start) >= _LETTERS * 4 or (len(start) > 1 and b"\n" in start and b"\0" not in start)


def _check_wide(start: bytes, name: str) -> None:
    """Refuse UTF-16 and UTF-32 without a mark, in which every letter of English has zeros beside it."""
    for encoding, pattern in _WIDE.items():
        width = len(pattern)
        letters = start[: _LETTERS * width]
        if len(letters) >= 4 * width and all((byte > 0) == pattern[i % width] for i, byte in enumerate(letters)):
            raise DataError(f"{name}: looks like {encoding}; --encoding {encoding} reads it")


class _Changed(io.RawIOBase):
    """A stream whose pieces go through a function, which is called with `True` after the last."""

    def __init__(self, stream: Ahead, change: Callable[[bytes, bool], bytes]) -> None:
        super().__init__()
        self._stream, self._change = stream, change
        self._rest = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest and not self._ended:
            piece = self._stream.read1(BUFFER)
            self._ended = not piece
            self._rest = self._change(piece, self._ended)
        found, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(found)] = found
        return len(found)


def _changed(stream: Ahead, change: Callable[[bytes, bool], bytes]) -> Ahead:
    return Ahead(_Changed(stream, change))
