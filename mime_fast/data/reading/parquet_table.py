"""Parquet files through pyarrow, a few rows at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mime_fast.data.reading.layout import Layout, Numbered
from mime_fast.data.reading.opening import PARQUET, File
from mime_fast.data.reading.options import Columns
from mime_fast.data.reading.rows import Broken, Content
from mime_fast.errors import DataError

_BATCH = 256  # rows that are in memory at once


def read_parquet(file: File, columns: Columns) -> Numbered:
    """The rows, numbered from 1; those that a damaged file does not give are reported as one, with their number."""
    import pyarrow as pa
    from pyarrow import parquet

    source = file.source
    start = file.stream.first(len(PARQUET))
    if start and not start.startswith(PARQUET):
        raise DataError(f"{file.name}: is no Parquet file, which begins with 'PAR1'")
    if source.is_stream:
        raise DataError(
            f"{file.name}: cannot be Parquet, which is not read from its beginning to its end; write a file"
        )
    given, total = 0, 0
    try:
        file.stored.seek(0)
        with parquet.ParquetFile(file.stored) as table:
            layout = Layout.of(table.schema_arrow.names, source.name, columns)
            there = [name for name in layout.wanted if name in table.schema_arrow.names]
            total = table.metadata.num_rows
            file.position = lambda: int(source.size * given / max(1, total))

            def rows() -> Numbered:
                nonlocal given
                for batch in table.iter_batches(_BATCH, columns=there):
                    for content in _contents(batch):
                        given += 1
                        yield given, content

            yield from layout.rows(rows())
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"{file.name}: cannot be read: {error.strerror}") from None
        what = f"{total - given} of its {total} rows" if total else f"its {source.size} bytes"
        reason = f"the Parquet file is damaged or cut off; {what} are lost ({str(error)[:200]})"
        yield given + 1, Broken(reason, "", max(1, total - given), ends=True)


def _contents(batch: Any) -> Iterator[Content]:
    """A batch's rows; text that is not UTF-8, and a date that Python does not have, cost only their row."""
    try:
        yield from batch.to_pylist()
        return
    except (ValueError, OverflowError):
        pass
    for i in range(batch.num_rows):
        try:
            yield batch.slice(i, 1).to_pylist()[0]
        except UnicodeDecodeError as error:
            reason = f"invalid UTF-8 ({error.reason} at byte {error.start}); UTF-8 is expected"
            yield _broken(reason, batch.slice(i, 1))
        except (ValueError, OverflowError) as error:
            reason = f"a value that cannot be read ({error}); text, lists, objects and numbers are expected"
            yield _broken(reason, batch.slice(i, 1))


def _broken(reason: str, row: Any) -> Broken:
    """A row whose values are not all Python's: bytes that are not UTF-8 become lone surrogates."""
    values = {name: _value_of(column) for name, column in zip(row.schema.names, row.columns, strict=True)}
    return Broken(reason, json.dumps(values, ensure_ascii=False, default=str), known=values)


def _value_of(column: Any) -> object:
    import pyarrow as pa

    for wanted in (column.type, _in_bytes(column.type), pa.string()):
        try:
            return _decoded(column.cast(wanted).to_pylist()[0])
        except (ValueError, OverflowError, pa.ArrowException):  # UnicodeDecodeError is a ValueError
            continue
    return "(cannot be shown)"


def _in_bytes(kind: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_in_bytes(kind.value_type))
    return pa.binary() if pa.types.is_string(kind) or pa.types.is_large_string(kind) else kind


def _decoded(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    return [_decoded(each) for each in value] if isinstance(value, list) else value
