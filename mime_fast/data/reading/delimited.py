"""Tables with a delimiter: CSV, TSV and their relatives, as Python's `csv` reads them, with no row lost in quotes."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from mime_fast.data.dialogues import not_utf8, not_utf8_in, whole_number
from mime_fast.data.reading import empathetic
from mime_fast.data.reading.layout import Layout, Numbered
from mime_fast.data.reading.opening import File
from mime_fast.data.reading.options import Columns, UtteranceColumns
from mime_fast.data.reading.rows import Broken, Content
from mime_fast.data.reading.text import text_lines, text_of
from mime_fast.errors import DataError

DELIMITERS = (",", "\t", ";", "|")
_DISTRIBUTED = ",".join(empathetic.COLUMNS).encode()  # how EmpatheticDialogues begins
_has_doubled_quotes = re.compile(rb'(?:^|,)"(?:[^",]|"")*""(?:[^",]|"")*"(?:,|\r?$)').search
_HEADER = 1 << 16  # bytes of a header of several lines
_CURE = "; a quote within a quoted cell is doubled, and with --quoting none quotes are text"

Line = tuple[int, bytes | Broken]


def read_csv(file: File, columns: Columns) -> Numbered:
    """Commas, unless the header says something else."""
    return _read(file, columns, ",")


def read_tsv(file: File, columns: Columns) -> Numbered:
    """Tabs, unless the header says something else."""
    return _read(file, columns, "\t")


def _read(file: File, columns: Columns, usual: str) -> Numbered:
    lines = text_lines(file, text_of(file))
    first = next(lines, None)
    while first is not None and isinstance(first[1], bytes) and not first[1].strip():
        first = next(lines, None)
    if first is None:
        if isinstance(columns, UtteranceColumns):
            Layout.of((), file.name, columns)
        return
    given = file.source.reading.delimiter
    if isinstance(first[1], bytes) and (named := named_delimiter(first[1])):
        given, first = given or named, next(lines, None)
    if first is None or isinstance(first[1], Broken):
        raise DataError(f"{file.name}, line 1: no header; a row with the names of the columns is expected")
    head = [first]
    more = iter(()) if file.source.reading.quoting == "none" else lines
    found = _sniffed(file, columns, head, more, (given,) if given else (usual, *DELIMITERS))
    is_doubtful = file.source.reading.quoting == "auto" and found == "," and first[1].startswith(_DISTRIBUTED)
    table = _Table(file, chain(head, lines), found, file.source.reading.quoting, is_doubtful)
    header = table.header()
    layout = Layout.of(header, file.name, columns)
    yield from layout.rows(table.rows(header, layout, columns))


def named_delimiter(line: bytes) -> str | None:
    """What `sep=;`, which Excel reads and writes on the first line, says."""
    text = line.strip(b"\r\n").strip(b'"')
    return text[4:].decode() if len(text) == 5 and text.isascii() and text.lower().startswith(b"sep=") else None


def _sniffed(file: File, columns: Columns, head: list[Line], more: Iterator[Line], allowed: Sequence[str]) -> str:
    """The first delimiter by which the header has the wanted columns. DataError: none of them.

    The header's lines come to `head` from `more`.
    """
    fault = None
    for delimiter in allowed:
        try:
            names = _names(head, more, delimiter)
            Layout.of([name.strip() for name in names], file.name, columns)
        except csv.Error as error:
            fault = fault or DataError(f"{file.name}, line 1: not a header ({error})")
        except DataError as error:
            fault = fault or error
        else:
            return delimiter
    assert fault is not None
    raise fault


def _names(head: list[Line], more: Iterator[Line], delimiter: str) -> list[str]:
    """The cells of the header; of its first line only where a quote in it does not end."""
    is_open = False

    def texts() -> Iterator[str]:
        nonlocal is_open
        size = 0
        for _, line in chain(tuple(head), _kept(more, head)):
            if isinstance(line, Broken) or (size and size + len(line) > _HEADER):
                break
            size += len(line)
            yield line.decode(errors="surrogateescape")
        is_open = True

    names = next(csv.reader(texts(), delimiter=delimiter), [])
    return next(csv.reader(islice(texts(), 1), delimiter=delimiter), []) if is_open else names


def _kept(lines: Iterator[Line], head: list[Line]) -> Iterator[Line]:
    for line in lines:
        head.append(line)
        yield line


def _is_plain(line: bytes) -> bool:
    """Whether the quotes of a line are text, as in EmpatheticDialogues as distributed; a table's are written anew."""
    line, width = line.rstrip(b"\n"), len(empathetic.COLUMNS)
    return (
        line.count(b",") + 1 in (width, width + 1)
        and not _has_doubled_quotes(line)
        and not (line.count(b",") == width and _is_quoted(line, width))
    )


def _is_quoted(line: bytes, width: int) -> bool:
    """Whether the quotes of a line with a comma too many make it a row of this width."""
    try:
        return len(next(csv.reader([line.decode(errors="surrogateescape")], strict=True))) == width
    except csv.Error:
        return False


@dataclass
class _Table:
    """A table's lines on their way to cells."""

    file: File
    lines: Iterator[Line]
    delimiter: str
    quoting: str
    is_doubtful: bool = (
        False  # whether it may be EmpatheticDialogues as distributed: its first line with a quote says it
    )
    taken: list[tuple[int, str]] = field(default_factory=list)  # the lines of a row with quotes
    size: int = 0  # their characters
    is_pending: bool = False  # whether the `csv` module has not had the first of them

    def __post_init__(self) -> None:
        limit = self.file.source.reading.max_row_bytes
        csv.field_size_limit(max(csv.field_size_limit(), limit))  # the module has one for all; it is never lowered
        self.quoted = csv.reader(self, delimiter=self.delimiter, strict=True)
        if self.is_doubtful:
            self.quoting = "none"

    def header(self) -> list[str]:
        number, cells = next(self._cells())
        if isinstance(cells, Broken):
            raise DataError(f"{self.file.name}, line {number}: {cells.reason}")
        return [name.strip() for name in cells]

    def rows(self, header: Sequence[str], layout: Layout, columns: Columns) -> Numbered:
        """The rows after the header, each with the number of its first line."""
        places = [(place, name) for place, name in enumerate(header) if name in layout.wanted]
        numbers = {columns.name("seed"), columns.emotion}
        width = len(header)
        is_empathetic = tuple(header) == empathetic.COLUMNS
        for number, cells in self._cells():
            if isinstance(cells, Broken):
                yield number, cells
            elif len(cells) != width and not (
                is_empathetic and self.quoting == "none" and len(cells) == width + 1  # the candidates are not read
            ):
                if any(cells):
                    yield number, self._wrong_width(number, cells, width)
            else:
                if len(self.taken) > 1 and self.quoting == "auto":
                    self._check_doubtful(number, cells)
                values: dict[str, object] = {name: cells[place] for place, name in places if cells[place]}
                if values or any(cells):
                    yield number, _with_numbers(values, numbers)

    def _check_doubtful(self, number: int, cells: Sequence[str]) -> None:
        """Refuse a row of several lines that look like a row each: two stray quotes may have made one of them.

        A tab is no part of prose; after other delimiters prose has a space, and its lines have any number of them.
        """
        mark = self.delimiter
        inside = [cell for cell in cells if mark in cell and "\n" in cell]
        if inside and (
            mark == "\t"
            or (
                all(text.count(mark) == len(cells) - 1 for _, text in self.taken)
                and not any(f"{mark} " in cell for cell in inside)
            )
        ):
            raise DataError(
                f"{self.file.name}, line {number}: a cell in quotes goes on to line {self.taken[-1][0]}, and its lines "
                "look like rows; --quoting none reads quotes as text, --quoting csv takes the cell as it is"
            )

    def _wrong_width(self, number: int, cells: Sequence[str], width: int) -> Content:
        text = self.delimiter.join(cells)
        reason = f"{len(cells)} cells; {width} are expected, as in the header"
        if len(self.taken) > 1:
            raise DataError(
                f"{self.file.name}, line {number}: a cell in quotes goes on to line {self.taken[-1][0]}, and the row "
                f"has {reason}{_CURE}"
            )
        if self.quoting == "none" and '"' in text and self.file.source.reading.quoting == "auto":
            reason += " (quotes are text in EmpatheticDialogues as distributed; else --quoting csv)"
        return Broken(reason, text)

    def _cells(self) -> Iterator[tuple[int, list[str] | Broken]]:
        """The cells of every row, which may have line breaks where they are quoted."""
        for number, line in self.lines:
            if isinstance(line, Broken):
                yield number, line
                continue
            if self.is_doubtful and b'"' in line:
                self.quoting, self.is_doubtful = "none" if _is_plain(line) else "auto", False
            self.taken = []
            fault = None
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                text, fault = line.decode(errors="surrogateescape"), not_utf8(error)
            if self.quoting == "none" or '"' not in text:
                text = text.rstrip("\r\n")
                if fault or text:
                    yield number, Broken(fault, text) if fault else text.split(self.delimiter)
            else:
                self.taken, self.size, self.is_pending = [(number, text)], len(text), True
                yield number, self._quoted_cells(number)

    def _quoted_cells(self, first: int) -> list[str] | Broken:
        """The cells of the row that begins with the line that is taken."""
        where = f"{self.file.name}, line {first}"
        try:
            cells = next(self.quoted)
        except csv.Error as error:
            text = self._text()
            if len(self.taken) == 1 and text.count('"') % 2 == 0:
                return Broken(f"quotes that are none of a table ({error}){_CURE}", text)
            last = self.taken[-1][0]
            raise DataError(
                f"{where}: a quote opens a cell that is not closed as it should be up to line {last} ({error}){_CURE}"
            ) from None
        text = self._text()
        fault = not_utf8_in(text)
        return Broken(fault, text) if fault else cells

    def _text(self) -> str:
        return "".join(text for _, text in self.taken).rstrip("\r\n")

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """The next line of a row with quotes, for the `csv` module."""
        if self.is_pending:
            self.is_pending = False
            return self.taken[0][1]
        number, line = next(self.lines)
        if isinstance(line, bytes):
            text = line.decode(errors="surrogateescape")
            self.taken.append((number, text))
            self.size += len(text)
            if self.size <= self.file.source.reading.max_row_bytes:
                return text
        raise DataError(
            f"{self.file.name}, line {self.taken[0][0]}: a quote opens a cell that goes on to line {number} and is "
            f"longer than {self.file.source.reading.max_row_bytes} bytes (--max-row-bytes){_CURE}"
        )


def _with_numbers(values: dict[str, object], names: set[str | None]) -> dict[str, object]:
    for name in names & values.keys():
        cell = values[name] = whole_number(str(values[name]))  # type: ignore[index]
        if cell is None:
            del values[name]  # type: ignore[arg-type]
    return values
