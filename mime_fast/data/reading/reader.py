"""Streams of rows out of JSON lines, CSV, TSV, Parquet and EmpatheticDialogues; what is broken costs only itself."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

from mime_fast.data.empathetic_dialogues import COLUMNS, EdUtterance, read_utterance
from mime_fast.data.reading.rows import Broken, Columns, RawRow
from mime_fast.data.reading.sources import Source, open_bytes, open_stored
from mime_fast.errors import DataError

MAX_LINE = 1 << 26  # bytes; a longer line is a bad row and is not kept
_BOM = b"\xef\xbb\xbf"
_BATCH = 256  # rows of a Parquet file that are in memory at once

Content = bytes | dict[str, object] | Broken
Numbered = Iterator[tuple[int, Content]]


class Reader:
    """All rows of some sources, numbered on; how far it is, in bytes.

    Raises:
        DataError: while reading, where a source cannot be read or has no column for the context.
    """

    def __init__(self, sources: Sequence[Source], columns: Columns, first: int = 0) -> None:
        self.sources = sources
        self.first = first  # number of the first row
        self.columns = columns
        self.total = sum(source.size for source in sources)
        self.read = 0  # rows so far
        self._before = 0
        self._position: Callable[[], int] = lambda: 0

    def fraction(self) -> float:
        """The share of the input's bytes that was read; 0 where nobody knows."""
        return min(1.0, (self._before + self._position()) / self.total) if self.total else 0.0

    def estimated_rows(self) -> int:
        """All rows of the input, by those of the bytes that were read; 0 where nobody knows."""
        fraction = self.fraction()
        return round(self.read / fraction) if fraction else 0

    def __iter__(self) -> Iterator[RawRow]:
        for row in self._rows():
            self.read += 1
            yield row

    def _rows(self) -> Iterator[RawRow]:
        index = count(self.first)
        for source in self.sources:
            rows = self._parquet(source) if source.format == "parquet" else self._text(source)
            last = 0
            try:
                for last, content in rows:
                    yield RawRow(source.name, last, next(index), content)
            except (EOFError, zlib.error, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:  # without: the unpacker's, not the system's
                    raise DataError(f"{source.name}, line {last + 1}: cannot be read: {error.strerror}") from None
                broken = Broken(f"the packed file ends early or is broken ({error}); what follows is lost")
                yield RawRow(source.name, last + 1, next(index), broken)
            self._position = lambda: 0
            self._before += source.size

    def _text(self, source: Source) -> Numbered:
        with open_bytes(source) as (stream, position):
            self._position = lambda: position.count
            yield from _json_lines(stream) if source.format == "jsonl" else _table(stream, source, self.columns)

    def _parquet(self, source: Source) -> Numbered:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            with open_stored(source) as stream, parquet.ParquetFile(stream) as file:
                wanted = _known(file.schema_arrow.names, source, self.columns)
                rows = max(1, file.metadata.num_rows)
                done, numbers = 0, count(1)
                self._position = lambda: int(source.size * done / rows)
                for batch in file.iter_batches(_BATCH, columns=wanted):
                    for values in _cells(batch):
                        yield next(numbers), values
                    done += batch.num_rows
        except pa.ArrowInvalid as error:
            yield 1, Broken(f"not a readable Parquet file ({str(error)[:200]})")


def _json_lines(stream: io.BufferedReader) -> Numbered:
    for number, line in _lines(stream):
        if isinstance(line, Broken) or line.strip():
            yield number, line


def _lines(stream: io.BufferedReader) -> Iterator[tuple[int, bytes | Broken]]:
    """Lines that end with a line feed, without the byte order mark before the first one."""
    for number in count(1):
        line = stream.readline(MAX_LINE)
        if not line:
            return
        if len(line) == MAX_LINE and not line.endswith(b"\n"):
            while (rest := stream.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                pass
            yield number, Broken(f"longer than {MAX_LINE} bytes", line[:200].decode(errors="surrogateescape"))
            continue
        yield number, line.removeprefix(_BOM) if number == 1 else line


def _table(stream: io.BufferedReader, source: Source, columns: Columns) -> Numbered:
    first = stream.peek(1 << 12).removeprefix(_BOM).split(b"\n")[0].decode(errors="replace").strip("\r")
    if source.format == "csv" and tuple(first.split(",")[: len(COLUMNS)]) == COLUMNS:
        yield from _empathetic_dialogues(stream, source.name, columns)
        return
    lines = _lines(stream)
    texts = ("" if isinstance(line, Broken) else line.decode(errors="surrogateescape") for _, line in lines)
    reader = csv.reader(texts, delimiter="\t" if source.format == "tsv" else ",")
    header = next(reader, None)
    if header is None:
        return
    _known(header, source, columns)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield number, Broken(f"not a row of a table ({error})")
            continue
        if cells is None:
            return
        if cells:
            yield number, _row(header, cells, columns)


def _row(header: list[str], cells: list[str], columns: Columns) -> Content:
    text = ",".join(cells)
    if any("\udc80" <= char <= "\udcff" for char in text):
        return Broken("invalid UTF-8; UTF-8 is expected", text)
    if len(cells) != len(header):
        return Broken(f"{len(cells)} cells; {len(header)} are expected, as in the header", text)
    values: dict[str, object] = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
    for name in (columns.seed, columns.emotion):
        cell = values.get(name)
        if isinstance(cell, str) and cell.isascii() and cell.isdigit():
            values[name] = int(cell)
    return values


def _known(names: Sequence[str], source: Source, columns: Columns) -> list[str]:
    """The wanted columns that are there; there must be one for the context."""
    if columns.context not in names:
        raise DataError(f"{source.name}: no column {columns.context!r}; there is {', '.join(map(repr, names))}")
    wanted = (columns.context, columns.response, columns.id, columns.seed, columns.emotion)
    return [name for name in dict.fromkeys(wanted) if name in names]


def _cells(batch: Any) -> Iterator[Content]:
    """A batch's rows; Parquet can hold text that is not UTF-8, which then costs only its row."""
    try:
        yield from batch.to_pylist()
        return
    except UnicodeDecodeError:
        pass
    for i in range(batch.num_rows):
        try:
            yield batch.slice(i, 1).to_pylist()[0]
        except UnicodeDecodeError as error:
            yield Broken(f"invalid UTF-8 ({error.reason} at byte {error.start}); UTF-8 is expected")


def _empathetic_dialogues(stream: io.BufferedReader, name: str, columns: Columns) -> Numbered:
    """A row for every listener's utterance, as `read_pairs` has them, with the id CONVERSATION:NUMBER."""
    history: list[str] = []
    previous: EdUtterance | None = None
    for number, line in _lines(stream):
        if number == 1:
            continue
        if isinstance(line, Broken):
            yield number, line
            continue
        try:
            found = read_utterance(line.removesuffix(b"\n"), previous, f"{name}, line {number}")
        except DataError as error:
            reason = str(error).removeprefix(f"{name}, line {number}: ")
            yield number, Broken(reason, line.decode(errors="surrogateescape").rstrip("\r\n"))
            continue
        if found.number == 1:
            history = []
        previous = found
        if found.number % 2 == 0:
            yield (
                number,
                {
                    columns.id: f"{found.conv_id}:{found.number}",
                    columns.context: list(history),
                    columns.response: found.text,
                },
            )
        history.append(found.text)
