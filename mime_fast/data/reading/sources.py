"""Which files an input names, and their bytes, unpacked."""

from __future__ import annotations

import glob
import gzip
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO, Literal, cast, get_args

from mime_fast.data.reading.remote import find_remote, is_uri, open_remote
from mime_fast.errors import ConfigError, DataError

Format = Literal["auto", "jsonl", "csv", "tsv", "parquet"]
_TEXT = (".jsonl", ".ndjson", ".csv", ".tsv")
_PACKED = (".gz", ".zst")
_ENDINGS = f"names ending in {', '.join((*_TEXT, '.parquet'))}"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BUFFER = 1 << 18


@dataclass(frozen=True)
class Source:
    """One file of the input, or standard input."""

    name: str  # a path or a URI
    format: Format  # never "auto"
    size: int = 0  # bytes; 0 where nobody knows
    modified: int = 0  # ns
    is_standard_input: bool = False

    @classmethod
    def file(cls, name: str, format: Format) -> Source:
        """A local file, which is there."""
        status = os.stat(name)
        return cls(name, format, status.st_size if S_ISREG(status.st_mode) else 0, status.st_mtime_ns)

    def fingerprint(self) -> dict[str, Any]:
        """What tells this file from a changed one. Standard input is compared as it is read."""
        if self.is_standard_input:
            return {"name": self.name}
        return {"name": self.name, "size": self.size, "mtime_ns": self.modified}


class Position(io.RawIOBase):
    """A stream that counts the bytes read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self.stream = stream
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self.stream.read1(len(buffer)) if hasattr(self.stream, "read1") else self.stream.read(len(buffer))
        buffer[: len(found)] = found
        self.count += len(found)
        return len(found)


def find_sources(inputs: str | Sequence[str], format: Format = "auto") -> list[Source]:
    """The files that paths, folders, globs, URIs or "-" name; those of a folder or a glob sorted by name.

    A folder's files are those ending in .jsonl, .ndjson, .csv, .tsv (also .gz, .zst) or .parquet, without those whose
    names begin with a dot or an underscore. A file's format is told by its name, JSON lines where that says nothing.

    Raises:
        DataError: nothing there. ConfigError: a format that there is not, or Parquet from standard input.
    """
    if format not in get_args(Format):
        raise ConfigError(f"input format {format!r}: one of {', '.join(get_args(Format))} is allowed")
    names = [inputs] if isinstance(inputs, str) else list(inputs)
    sources = [source for name in names for source in _find(os.fspath(name), format)]
    if sum(source.is_standard_input for source in sources) > 1:
        raise ConfigError("standard input is given twice; once is allowed")
    return sources


@contextmanager
def open_bytes(source: Source) -> Iterator[tuple[io.BufferedReader, Position]]:
    """A source's bytes, unpacked if they are gzip or zstd, and how far it was read.

    Raises:
        DataError: it cannot be opened.
    """
    stream = open_stored(source)
    position = Position(stream)
    try:
        yield _unpacked(io.BufferedReader(position, _BUFFER)), position
    finally:
        if not source.is_standard_input:
            stream.close()


def open_stored(source: Source) -> BinaryIO:
    """A source's bytes as they are stored. Raises DataError: it cannot be opened."""
    if source.is_standard_input:
        return sys.stdin.buffer
    if is_uri(source.name):
        return open_remote(source.name)
    try:
        return open(source.name, "rb")
    except OSError as error:
        raise DataError(f"{source.name}: cannot be read: {error.strerror or error}") from None


def _unpacked(stream: io.BufferedReader) -> io.BufferedReader:
    start = stream.peek(len(_ZSTD))
    if start.startswith(_GZIP):
        return io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=stream)), _BUFFER)
    if start.startswith(_ZSTD):
        import pyarrow as pa

        return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd"), _BUFFER)
    return stream


def _find(name: str, format: Format) -> list[Source]:
    if name == "-":
        if format == "parquet":
            raise ConfigError("standard input cannot be Parquet; jsonl, csv or tsv is allowed")
        return [Source("standard input", "jsonl" if format == "auto" else format, is_standard_input=True)]
    if is_uri(name):
        return _find_remote(name, format)
    path = Path(name)
    if path.is_dir():
        found = sorted(str(file) for file in path.iterdir() if file.is_file() and _is_corpus(file.name))
        if not found:
            raise DataError(f"{name}: no file of a corpus in this folder; {_ENDINGS} are read")
    elif not path.exists() and glob.has_magic(name):
        found = sorted(file for file in glob.glob(name, recursive=True) if os.path.isfile(file))
        if not found:
            raise DataError(f"{name}: no such file")
    else:
        found = [name]
    for file in found:
        if not os.access(file, os.R_OK):
            why = "Permission denied" if os.path.exists(file) else "No such file or directory"
            raise DataError(f"{file}: cannot be read: {why}")
    return [Source.file(file, _format(file) if format == "auto" else format) for file in found]


def _find_remote(uri: str, format: Format) -> list[Source]:
    found = find_remote(uri)
    found = [one for one in found if one[0] == uri or _is_corpus(one[0].rpartition("/")[2])]
    if not found:
        raise DataError(f"{uri}: no file of a corpus in this folder; {_ENDINGS} are read")
    return [Source(name, _format(name) if format == "auto" else format, size, time) for name, size, time in found]


def _is_corpus(name: str) -> bool:
    return not name.startswith((".", "_")) and (_bare(name).endswith(_TEXT) or name.endswith(".parquet"))


def _format(name: str) -> Format:
    if name.endswith(".parquet"):
        return "parquet"
    bare = _bare(name)
    return "csv" if bare.endswith(".csv") else "tsv" if bare.endswith(".tsv") else "jsonl"


def _bare(name: str) -> str:
    for ending in _PACKED:
        name = name.removesuffix(ending)
    return name
