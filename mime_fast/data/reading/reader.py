"""Streams of rows out of files of every format; what is broken costs only itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import count, islice

from mime_fast.data.reading.ahead import Damaged
from mime_fast.data.reading.formats import rows_of
from mime_fast.data.reading.opening import File, open_file
from mime_fast.data.reading.options import Columns
from mime_fast.data.reading.row_values import value_of
from mime_fast.data.reading.rows import Broken, RawRow
from mime_fast.data.reading.source import Source
from mime_fast.errors import DataError, InputError

EMOTION = "emotion"
SAMPLE = 1000  # rows that are looked at before the first one is answered


class Reader:
    """All rows of some sources, numbered on; how far it is, in bytes.

    Before the first row comes, the header of every file is looked at.

    Raises:
        DataError: while reading, where a source cannot be read, has not the columns that are wanted, or quotes that
            leave open where a row ends.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        columns: Columns,
        first: int = 0,
        tell: Callable[[str], object] = lambda _: None,
        only: Collection[int] | None = None,
        check_read: Callable[[RawRow], object] = lambda _: None,
    ) -> None:
        """`only`: the numbers of the rows that come, of all; each must be there, and every row pass `check_read`."""
        self.sources = sources
        self.only = only
        self._check_read = check_read
        self.first = first  # number of the first row
        self.columns = columns
        self._tell = tell  # is called with a line on a column that looks as if it should be read
        self.total = sum(source.size for source in sources)
        self.read = 0  # rows so far
        self._before = 0
        self._file: File | None = None  # the one that is being read

    def fraction(self) -> float:
        """The share of the input's bytes that was read; 0 where nobody knows."""
        read = self._before + (self._file.position() if self._file else 0)
        return min(1.0, read / self.total) if self.total else 0.0

    def estimated_rows(self) -> int:
        """All rows of the input, by those of the bytes that were read; 0 where nobody knows."""
        if self.only is not None:
            return len(self.only)
        fraction = self.fraction()
        return round(self.read / fraction) if fraction else 0

    def __iter__(self) -> Iterator[RawRow]:
        self._check_headers()
        if self.only is not None:
            yield from self._chosen(set(self.only))
            return
        for row in self._rows():
            self.read += 1
            yield row

    def _chosen(self, wanted: set[int]) -> Iterator[RawRow]:
        for row in self._rows():
            self.read += 1
            self._check_read(row)
            if row.index in wanted:
                wanted.remove(row.index)
                yield row
        if wanted:
            raise DataError(
                f"{self.sources[0].name}: {len(wanted)} of the rows that are asked for are not there; the input has "
                f"{self.read} rows, and the first that is missing is row {min(wanted)} (from 0)"
            )

    def _rows(self) -> Iterator[RawRow]:
        index = count(self.first)
        for source in self.sources:
            with open_file(source) as self._file:
                yield from raw_rows(self._file, self.columns, index)
            self._file = None
            self._before += source.size

    def _check_headers(self) -> None:
        """Look at the first row of every file, and at more of them for what not every row must have."""
        columns, asked = self.columns, self.columns.asked()
        sample: list[Mapping[str, object]] = []
        for source in self.sources:
            if not source.is_stream:
                wanted = SAMPLE - len(sample) if columns.separator or asked else 1
                with open_file(source) as file:
                    rows = islice(raw_rows(file, columns, count()), max(1, wanted))
                    given = [found for row in rows if (found := _values(row))]
                if given and EMOTION in given[0] and columns.emotion is None:
                    self._tell(
                        f"{source.name}: {EMOTION!r} is not read; --emotion-column {EMOTION} mimics those emotions"
                    )
                sample += given
        if not sample:
            return
        for name in asked:
            if all(value_of(found, name) is None for found in sample):
                raise DataError(f"{self.sources[0].name}: no {name!r} in any of the first {len(sample)} rows")
        contexts = [text for found in sample if isinstance(text := found.get(columns.name("context")), str)]
        if columns.separator and contexts and not any(columns.separator in text for text in contexts):
            raise DataError(
                f"{self.sources[0].name}: the separator {columns.separator!r} is in none of the first {len(contexts)} "
                f"contexts, of which the first is {contexts[0][:60]!r}; without --separator a context may be one "
                "utterance"
            )


def _values(row: RawRow) -> Mapping[str, object]:
    """The row's columns; none of a broken one."""
    try:
        return row.values()
    except InputError:
        return {}


def raw_rows(file: File, columns: Columns, index: Iterator[int]) -> Iterator[RawRow]:
    """The rows of a file; where it is compressed and damaged or cut off, the last one says so."""
    last, name = 0, file.name
    try:
        for last, content in rows_of(file, columns):
            yield RawRow(name, last, next(index), content)
    except OSError as error:
        raise DataError(f"{file.name}, line {last + 1}: cannot be read: {error.strerror or error}") from None
    except Damaged as error:
        size = f"byte {file.position()} of {file.source.size}" if file.source.size else f"byte {file.position()}"
        reason = f"the compressed file ends early or is damaged at {size} ({error}); what follows row {last} is lost"
        yield RawRow(name, last + 1, next(index), Broken(reason, "", file.lost_rows(last), ends=True))
