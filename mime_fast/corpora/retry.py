"""The rows of an errors file, to be answered again: with other options, or after the input was mended."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Collection
from dataclasses import dataclass, replace

from mime_fast.corpora.tasks import Task
from mime_fast.data.reading.opening import Position, open_stored
from mime_fast.data.reading.options import Columns
from mime_fast.data.reading.remote import plain_path
from mime_fast.data.reading.rows import RawRow, id_in, id_of
from mime_fast.data.reading.source import STANDARD_INPUT, Source
from mime_fast.errors import DataError


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """What an errors file says of a row; None where it does not."""

    number: int
    file: str | None
    line: int | None
    id: str | int | None
    raw: str | None
    rest_lost: bool  # whether what followed in its file was lost, too

    def has_id(self, columns: Columns) -> bool:
        """Whether the id is the row's own, and not the number that a row without one has."""
        if self.id is None or self.id != self.number:
            return self.id is not None
        try:
            found = json.loads(self.raw or "")
        except (ValueError, RecursionError):
            return False
        return isinstance(found, dict) and id_in(found, columns, -1) == self.number

    def is_whole_dialogue(self, columns: Columns) -> bool:
        """Whether it was all that its line gave, where a line gives a row for each of a dialogue's turns."""
        if columns.turns != "all":
            return False
        try:
            found = json.loads(self.raw or "")
        except (ValueError, RecursionError):
            return True
        return not isinstance(found, dict) or columns.name("response") not in found


def error_rows(path: str | os.PathLike[str]) -> dict[int, ErrorRow]:
    """The rows in an errors file (`OUT.errors.jsonl`, or `_errors.jsonl` of a folder), a path or a URI, by number.

    Raises:
        DataError: it cannot be read, has no row, or a line that is none of an errors file, or two different lines of
            one row number.
    """
    name = os.fspath(path)
    try:
        with open_stored(Source(plain_path(name))) as stored, io.BufferedReader(Position(stored)) as lines:
            found = [_error_row(line, name, place) for place, line in enumerate(lines, start=1) if line.strip()]
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}") from None
    if not found:
        raise DataError(f"{name}: has no row; must be the errors file of a job that had bad rows")
    rows: dict[int, ErrorRow] = {}
    for row in found:
        before = rows.setdefault(row.number, row)
        if replace(before, rest_lost=row.rest_lost) != row:
            raise DataError(
                f"{name}: has two rows {row.number}, of {before.file}, line {before.line}, and of {row.file}, "
                f"line {row.line}; must be the errors file of one job: answer those of several jobs one after the other"
            )
        rows[row.number] = replace(row, rest_lost=before.rest_lost or row.rest_lost)
    return rows


class Retried:
    """The rows of an errors file, which must be where they were in the input."""

    def __init__(self, path: str | os.PathLike[str], task: Task) -> None:
        """`task` says how the input's rows are numbered, and which column their ids are in.

        Raises:
            DataError: as `error_rows`, or a row has none of these numbers.
        """
        self._path, self._task = os.fspath(path), task
        first, step = task.first_row, task.row_step
        found = error_rows(path)
        if wrong := [number for number in found if number < first or (number - first) % step]:
            raise DataError(
                f"{self._path}: row {min(wrong)} is not of this input, whose rows are {first}, {first + step}, and so "
                "on; give the same first_row and row_step as then"
            )
        self._rows = {(number - first) // step: row for number, row in found.items()}
        self._mended: RawRow | None = None  # the last one that was read at one of the places

    @property
    def places(self) -> Collection[int]:
        """Of these rows in the input, from 0."""
        return self._rows.keys()

    def check(self, raw: RawRow) -> None:
        """DataError where the row at one of the places has another file, or another id, than the errors file says.

        The text of a mended row differs. One that had no id must be on its line, unless its text is the same. A line
        that gave one bad row may not give several: they would have no numbers of their own. Nor may rows follow
        where the rest of a file was lost: they would not be answered. Rows come in order, with those at other places.
        """
        self._check_next(raw)
        columns, before = self._task.columns, self._rows.get(raw.index)
        if before is None:
            return
        self._mended = raw
        now = id_of(self._task.numbered(raw), columns)
        if before.has_id(columns):
            is_same, named = now == before.id, f", id {before.id!r}"
        else:
            is_same, named = before.line in (None, raw.row) or before.raw == raw.text(), ""
        if not is_same or not _is_same_file(before.file, raw.file):
            raise DataError(
                f"{self._path}: row {before.number} was {before.file}, line {before.line}{named}; in its place there "
                f"is now {raw.file}, line {raw.row}, id {now!r}: a mended row must keep its place and its id, and "
                "first_row and row_step must be as they were"
            )

    def _check_next(self, raw: RawRow) -> None:
        """DataError where the row that comes next was not there when the one before it was bad."""
        mended = self._mended
        if mended is None or (mended.file, mended.index + 1) != (raw.file, raw.index):
            return
        before = self._rows[mended.index]
        if before.rest_lost and raw.row >= mended.row:
            raise DataError(
                f"{self._path}: what followed row {before.number} in {raw.file} was lost, and is there now: its rows "
                "would not be answered; answer all of IN into another OUT"
            )
        if raw.row == mended.row and before.is_whole_dialogue(self._task.columns):
            raise DataError(
                f"{self._path}: row {before.number} was the only one of {raw.file}, line {raw.row}, "
                "a dialogue that could not be used; it has more turns of the listener now, whose rows would take the "
                "numbers of those after it: answer it from a file of its own, or all of IN into another OUT"
            )


def _is_same_file(before: str | None, now: str) -> bool:
    """Whether two names may be of one file, which may have moved; standard input has no name."""
    if before is None or STANDARD_INPUT in (before, now) or os.path.realpath(before) == os.path.realpath(now):
        return True
    return not os.path.exists(before) and os.path.basename(before) == os.path.basename(now)


def _error_row(line: bytes, name: str, place: int) -> ErrorRow:
    try:
        found = json.loads(line)
        number = found["index"]
    except (ValueError, KeyError, TypeError, RecursionError):
        number = None
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise DataError(
            f"{name}, line {place}: has no row number as 'index'; must be a line of the errors file of a job"
        )
    file, raw = (found.get(key) if isinstance(found.get(key), str) else None for key in ("file", "raw"))
    return ErrorRow(number, file, found.get("row"), found.get("id"), raw, found.get("rest_lost") is True)
