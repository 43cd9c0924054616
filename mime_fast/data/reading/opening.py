"""A file's bytes, unpacked; what is no file of rows is refused."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from select import select
from typing import Any, BinaryIO

from mime_fast.data.reading.ahead import BUFFER, Ahead, Damaged
from mime_fast.data.reading.remote import is_uri, open_remote
from mime_fast.data.reading.source import Source
from mime_fast.errors import DataError
from mime_fast.streams import standard_input

_PIECE = 1 << 13  # bytes of zstd that are unpacked at once
_UNWRITTEN = b"\xff"  # no byte of UTF-8
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x2a\x4d\x18"  # of zstd and lz4, after a byte from 0x50 to 0x5f
PARQUET = b"PAR1"
_TAR_AT, _TAR = 257, b"ustar"
_FOREIGN = (  # what a file begins with, what it is, what to do
    (b"PK\x03\x04", "a zip archive, or an Excel workbook", "unpack it, or save the sheet as CSV"),
    (b"PK\x05\x06", "an empty zip archive", "give the files that belong in it"),
    (b"\xfd7zXZ\x00", "compressed with xz", "unpack it with `xz -d`"),
    *((b"BZh%d1AY&SY" % level, "compressed with bzip2", "unpack it with `bzip2 -d`") for level in range(1, 10)),
    (b"\x04\x22\x4d\x18", "compressed with lz4", "unpack it with `lz4 -d`"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as CSV"),
    (b"ARROW1", "an Arrow file", "write it as Parquet"),
    (b"\xff\xff\xff\xff", "an Arrow stream", "write it as Parquet"),
    (b"SQLite format 3", "an SQLite database", "export its table as CSV"),
    (b"%PDF", "a PDF file", "write its dialogues as JSON lines"),
)


@dataclass
class File:
    """An open file."""

    source: Source
    stream: Ahead  # unpacked
    stored: BinaryIO  # the file as it is
    position: Callable[[], int]  # bytes read of it
    text: Ahead | None = None  # what `text_of` has made of the stream

    @property
    def name(self) -> str:
        return self.source.name

    def lost_rows(self, before: int) -> int:
        """How many rows the rest of the file would have, by the `before` rows so far; at least 1."""
        done, size = self.position(), self.source.size
        return max(1, round(before * (size - done) / done)) if 0 < done < size else 1


_FAULTS = (EOFError, zlib.error, OSError, ValueError)  # what unpackers raise


@contextmanager
def open_file(source: Source, stored: BinaryIO | None = None) -> Iterator[File]:
    """A source, unpacked if it is gzip or zstd.

    Args:
        stored: its bytes, where they lie elsewhere.

    Raises:
        DataError: it cannot be opened, or is an archive or another file that has no rows.
    """
    stream = stored or open_stored(source)
    counted = Position(stream)
    try:
        plain = _unpacked(Ahead(counted), source.name)
        yield File(source, plain, stream, lambda: counted.count)
    finally:
        if not source.is_standard_input:
            stream.close()


def open_stored(source: Source) -> BinaryIO:
    """A source's bytes as they are stored. Raises DataError: it cannot be opened."""
    if source.is_standard_input:
        return standard_input()
    if is_uri(source.name):
        return open_remote(source.name)
    try:
        return open(source.name, "rb")
    except OSError as error:
        raise DataError(f"{source.name}: cannot be read: {error.strerror or error}") from None


class Position(io.RawIOBase):
    """A stream that counts the bytes read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self.stream = stream
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = getattr(self.stream, "read1", self.stream.read)
        while (found := read(len(buffer))) is None:  # of a pipe that does not block, and has nothing yet
            select([self.stream], [], [])
        buffer[: len(found)] = found
        self.count += len(found)
        return len(found)


class _Unpacked(io.RawIOBase):
    """What an unpacker gives, to the place where the file is damaged.

    A call that fails does not say how much it has written before: it is what differs from what was there.
    """

    def __init__(self, read_into: Callable[[memoryview], int], size: int) -> None:
        super().__init__()
        self._read_into, self._size = read_into, size
        self._fault: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view, size = memoryview(buffer), 0
        while size < len(view) and self._fault is None:
            piece = view[size : size + self._size]
            piece[:] = _UNWRITTEN * len(piece)
            try:
                given = self._read_into(piece)
            except _FAULTS as error:
                size += len(bytes(piece).rstrip(_UNWRITTEN))
                is_of_system = isinstance(error, OSError) and error.errno is not None
                self._fault = error if is_of_system else Damaged(str(error))
                break
            if not given:
                break
            size += given
        if not size and self._fault is not None:
            raise self._fault
        return size


def _unpacked(stream: Ahead, name: str) -> Ahead:
    start = stream.first(_TAR_AT + len(_TAR))
    plain = stream
    if start.startswith(_GZIP):
        plain = Ahead(_Unpacked(gzip.GzipFile(fileobj=stream).readinto1, BUFFER))
    elif _is_zstd(start):
        import pyarrow as pa

        packed = pa.PythonFile(stream, "r")
        plain = Ahead(_Unpacked(pa.CompressedInputStream(packed, "zstd").readinto, _PIECE))
    if plain is not stream:
        start = plain.first(_TAR_AT + len(_TAR))
        if start.startswith(_GZIP) or _is_zstd(start):
            raise DataError(f"{name}: is compressed twice; unpack it once")
        if start.startswith(PARQUET):
            raise DataError(f"{name}: is Parquet in a compressed file; unpack it")
    for magic, what, cure in _FOREIGN:
        if start.startswith(magic):
            raise DataError(f"{name}: is {what}; {cure}")
    if start[_TAR_AT:].startswith(_TAR):
        raise DataError(f"{name}: is a tar archive; unpack it with `tar -xf`, and give the files in it")
    return plain


def _is_zstd(start: bytes) -> bool:
    return start.startswith(_ZSTD) or (0x50 <= start[0] <= 0x5F and start[1:4] == _SKIPPABLE if start else False)
