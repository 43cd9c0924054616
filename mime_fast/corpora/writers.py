"""Records as JSON lines, tables of text or Parquet, as the ending of an output's name says."""

from __future__ import annotations

import csv
import gzip
import io
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, cast

from mime_fast.corpora.schema import arrow_schema, flat_names, flat_values
from mime_fast.errors import ConfigError
from mime_fast.files import json_bytes

ROW_GROUP = 10_000  # rows of a joined Parquet file's row group, at least
_ENDINGS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}
_CRLF = "\r\n"
_PACKED = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True)
class OutputFormat:
    """How records are written."""

    kind: Literal["jsonl", "csv", "tsv", "parquet"] = "jsonl"
    packed: Literal["", "gzip", "zstd"] = ""

    @classmethod
    def of(cls, name: str) -> OutputFormat:
        """That of a file's name, or of a folder's that ends in "/"; without an ending it is JSON lines.

        Raises:
            ConfigError: a file's ending that is not known.
        """
        base = name.rstrip("/").rpartition("/")[2].lower()
        inner, packed = base, ""
        for ending, algorithm in _PACKED.items():
            if base.endswith(ending):
                inner, packed = base.removesuffix(ending), algorithm
        ending = Path(inner).suffix
        kind = _ENDINGS.get(ending, "" if ending and not name.endswith("/") else "jsonl")
        if not kind or (kind == "parquet" and packed):
            raise ConfigError(
                f"{name}: an output must end in {', '.join(_ENDINGS)}, the ones of text also with "
                f"{' or '.join(_PACKED)} after it (a folder of parts ends in /)"
            )
        return cls(cast(Any, kind), cast(Any, packed))

    @classmethod
    def of_pipe(cls, name: str) -> OutputFormat:
        """That of a pipe or a device: what its name says, else JSON lines. ConfigError: Parquet."""
        try:
            found = cls.of(name)
        except ConfigError:
            return cls()
        if found.kind == "parquet":
            raise ConfigError(f"{name}: Parquet cannot be written into a pipe; give a file, or JSON lines")
        return found

    @property
    def ending(self) -> str:
        """What the names of files in this format end in."""
        return f".{self.kind}" + {"": "", "gzip": ".gz", "zstd": ".zst"}[self.packed]

    def writer(self, stream: BinaryIO, kind: str, *, header: bool = True) -> Writer:
        """A writer of a task's records to a stream; `header`: whether a table begins with one."""
        if self.kind == "parquet":
            return Parquet(stream, kind)
        packed = _packing(stream, self.packed)
        return JsonLines(packed) if self.kind == "jsonl" else Table(packed, kind, self.delimiter, header)

    @property
    def delimiter(self) -> str:
        return "\t" if self.kind == "tsv" else ","

    def join(self, parts: Iterable[Path], stream: BinaryIO, kind: str) -> None:
        """All parts, which were written without a header, in one file; one row group of Parquet is in memory."""
        if self.kind == "parquet":
            _join_parquet(parts, stream, kind)
            return
        if self.kind != "jsonl":
            self.writer(stream, kind).finish()
        join_bytes(parts, stream)


class Writer(Protocol):
    """Takes the records of one part."""

    def add(self, records: Sequence[dict[str, Any]]) -> None: ...

    def finish(self) -> None:
        """Nothing comes after."""


class JsonLines:
    """One line per record."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def add(self, records: Sequence[dict[str, Any]]) -> None:
        self._stream.write(b"".join(map(json_bytes, records)))

    def finish(self) -> None:
        _end(self._stream)


class Table:
    """One line per record, of cells that `flat_names` names."""

    def __init__(self, stream: BinaryIO, kind: str, delimiter: str, header: bool) -> None:
        self._stream = stream
        self._kind = kind
        self._delimiter = delimiter
        if header:
            self._write([flat_names(kind)])

    def add(self, records: Sequence[dict[str, Any]]) -> None:
        self._write([flat_values(self._kind, record) for record in records])

    def finish(self) -> None:
        _end(self._stream)

    def _write(self, rows: Sequence[Sequence[object]]) -> None:
        lines = _Lines()
        csv.writer(lines, delimiter=self._delimiter, lineterminator=_CRLF).writerows(rows)
        self._stream.write("".join(lines).encode(errors="backslashreplace"))


class _Lines(list[str]):
    """The rows of a csv.writer, which quotes a carriage return only where its lines end with one, with line feeds."""

    def write(self, row: str) -> None:
        self.append(f"{row.removesuffix(_CRLF)}\n")


class Parquet:
    """One row group per part."""

    def __init__(self, stream: BinaryIO, kind: str) -> None:
        self._stream = stream
        self._schema = arrow_schema(kind)
        self._tables: list[Any] = []

    def add(self, records: Sequence[dict[str, Any]]) -> None:
        import pyarrow as pa

        rows = [{**record, "id": str(record["id"])} for record in records]
        self._tables.append(pa.Table.from_pylist(rows, self._schema))

    def finish(self) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        table = pa.concat_tables(self._tables) if self._tables else self._schema.empty_table()
        parquet.write_table(table.combine_chunks(), self._stream, compression="zstd")


class _Packed:
    """A stream that packs what it gets; `end` leaves the stream below open."""

    def __init__(self, packer: Any) -> None:
        self._packer = packer

    def write(self, data: bytes) -> int:
        self._packer.write(data)
        return len(data)

    def flush(self) -> None:
        self._packer.flush()

    def end(self) -> None:
        self._packer.close()


def _packing(stream: BinaryIO, packed: str) -> BinaryIO:
    if packed == "gzip":  # without a name and a time, so that equal rows are equal bytes
        return cast(BinaryIO, _Packed(gzip.GzipFile("", "wb", 6, stream, 0)))
    if packed == "zstd":
        import pyarrow as pa

        return cast(BinaryIO, _Packed(pa.CompressedOutputStream(pa.PythonFile(_Kept(stream), "w"), "zstd")))
    return stream


class _Kept(io.RawIOBase):
    """A stream that closing does not close."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._stream.write(data)

    def flush(self) -> None:
        if not self.closed:
            self._stream.flush()


def _end(stream: BinaryIO) -> None:
    if isinstance(stream, _Packed):
        stream.end()


def join_bytes(parts: Iterable[Path], stream: BinaryIO) -> None:
    """The bytes of all parts, one after the other; packed ones are one packed file then."""
    for part in parts:
        with part.open("rb") as source:
            shutil.copyfileobj(source, stream, 1 << 20)


def _join_parquet(parts: Iterable[Path], stream: BinaryIO, kind: str) -> None:
    from pyarrow import parquet

    with parquet.ParquetWriter(stream, arrow_schema(kind), compression="zstd") as writer:
        for table in _row_groups(parts):
            writer.write_table(table, row_group_size=table.num_rows)


def _row_groups(parts: Iterable[Path]) -> Iterator[Any]:
    """The rows of several parts together: what is noted of each group stays in memory until the file is closed."""
    import pyarrow as pa
    from pyarrow import parquet

    tables: list[Any] = []
    for part in parts:
        with part.open("rb") as stream:  # pyarrow takes no name that is not UTF-8
            tables.append(parquet.read_table(stream))
        if sum(table.num_rows for table in tables) >= ROW_GROUP:
            yield pa.concat_tables(tables)
            tables = []
    if any(table.num_rows for table in tables):
        yield pa.concat_tables(tables)
