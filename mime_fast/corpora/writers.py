"""Records as JSON lines or Parquet."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from mime_fast.corpora.tasks import Task
from mime_fast.files import json_bytes

ROW_GROUP = 10_000  # rows of a joined Parquet file's row group, at least
SCRATCH = ".tmp"  # ending of a file that is not done


class Writer(Protocol):
    """Takes the records of one part."""

    def add(self, records: Sequence[dict[str, Any]]) -> None: ...

    def finish(self) -> None:
        """Nothing comes behind."""


class JsonLines:
    """A line a record."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def add(self, records: Sequence[dict[str, Any]]) -> None:
        self._stream.write(b"".join(map(json_bytes, records)))

    def finish(self) -> None:
        pass


class Parquet:
    """A row group a part."""

    def __init__(self, stream: BinaryIO, schema: Any) -> None:
        self._stream = stream
        self._schema = schema
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


def is_parquet(name: str) -> bool:
    """Whether an output of this name is Parquet; anything else is JSON lines."""
    return name.rstrip("/").endswith(".parquet")


def make_writer(name: str, stream: BinaryIO, task: Task) -> Writer:
    """The writer for an output of this name."""
    return Parquet(stream, task.schema()) if is_parquet(name) else JsonLines(stream)


def join(parts: Iterable[Path], stream: BinaryIO, name: str, task: Task) -> None:
    """All parts in one file; a row group of Parquet is in memory at a time."""
    if not is_parquet(name):
        join_lines(parts, stream)
        return
    from pyarrow import parquet

    with parquet.ParquetWriter(stream, task.schema(), compression="zstd") as writer:
        for table in _row_groups(parts):
            writer.write_table(table, row_group_size=table.num_rows)


def _row_groups(parts: Iterable[Path]) -> Iterator[Any]:
    """The rows of several parts together: what is noted of each group stays in memory until the file is closed."""
    import pyarrow as pa
    from pyarrow import parquet

    tables: list[Any] = []
    for part in parts:
        tables.append(parquet.read_table(part))
        if sum(table.num_rows for table in tables) >= ROW_GROUP:
            yield pa.concat_tables(tables)
            tables = []
    if any(table.num_rows for table in tables):
        yield pa.concat_tables(tables)


def join_lines(parts: Iterable[Path], stream: BinaryIO) -> None:
    """The bytes of all parts, one behind the other."""
    for part in parts:
        with part.open("rb") as source:
            shutil.copyfileobj(source, stream, 1 << 20)
