"""A row on its way from a file to the model: as it was read, checked, or bad."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from mime_fast.data.dialogues import Row, check_id, check_row, parse_line
from mime_fast.data.reading.options import Columns
from mime_fast.data.reading.row_values import named_values, value_of
from mime_fast.errors import InputError

_SHOWN = 80  # characters of a bad row that a report on the terminal repeats


@dataclass(frozen=True)
class Broken:
    """What is reported for a row that could not even be read."""

    reason: str
    text: str = ""
    lost: int = 1  # rows that it is reported for, estimated where a file is damaged
    known: Mapping[str, object] = field(default_factory=dict)  # columns that could be read, for the id
    ends: bool = False  # whether what follows in the file is lost, too


Content = bytes | dict[str, object] | Broken


@dataclass(frozen=True)
class RawRow:
    """A row as it was read: a JSON line, the cells of a table, or what went wrong."""

    file: str
    row: int  # in the file, from 1: the line of a text file
    index: int  # over all inputs, from 0; the request id
    content: Content

    def values(self) -> Mapping[str, object]:
        """The row's columns. Raises InputError: it could not be read."""
        if isinstance(self.content, Broken):
            raise InputError(self.content.reason)
        return parse_line(self.content) if isinstance(self.content, bytes) else self.content

    @property
    def known(self) -> Mapping[str, object]:
        """The columns of a row that could not be read as a whole."""
        return self.content.known if isinstance(self.content, Broken) else {}

    def text(self) -> str:
        """The row for a report; bytes that are not UTF-8 become lone surrogates, as JSON can represent them."""
        if isinstance(self.content, Broken):
            return self.content.text
        if isinstance(self.content, bytes):
            return self.content.decode(errors="surrogateescape").rstrip("\r\n")
        return json.dumps(self.content, ensure_ascii=False, default=str)


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why."""

    file: str
    row: int
    index: int
    id: str | int
    reason: str
    raw: str
    malformed: bool = True  # False: well formed, but not for this model
    lost: int = 1  # rows that it is reported for
    ends: bool = False  # whether what follows in the file is lost, too

    def json_line(self) -> bytes:
        """Its line of the errors file."""
        names = ("file", "row", "index", "id", "reason", "raw")
        values = {name: getattr(self, name) for name in names} | ({"rest_lost": True} if self.ends else {})
        return json.dumps(values, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"

    def __str__(self) -> str:
        shown = f": {self.raw[:_SHOWN]!r}{'...' if len(self.raw) > _SHOWN else ''}" if self.malformed else ""
        return f"{self.file}, line {self.row}: {self.reason}{shown}"


def check(raw: RawRow, columns: Columns, *, need_response: bool, strict_turns: bool) -> Row | BadRow:
    """The dialogue that a row contains, or why there is none."""
    found = raw.known
    try:
        found = raw.values()
        values = named_values(found, columns, need_response=need_response)
        return check_row(values, raw.row, raw.index, need_response=need_response, strict_turns=strict_turns)
    except InputError as error:
        return bad_row(raw, id_in(found, columns, raw.index), str(error))


def id_of(raw: RawRow, columns: Columns) -> str | int:
    """The id of a row, which has its number; the number where it has no id that can be read."""
    try:
        return id_in(raw.values(), columns, raw.index)
    except InputError:
        return id_in(raw.known, columns, raw.index)


def id_in(found: Mapping[str, object], columns: Columns, otherwise: int) -> str | int:
    """The id among a row's columns; `otherwise` where there is none that is allowed."""
    inner = value_of(found, columns.name("id"))
    try:
        return otherwise if inner is None else check_id(inner[0], otherwise)
    except InputError:
        return otherwise


def bad_row(raw: RawRow, row_id: str | int, reason: str, *, malformed: bool = True) -> BadRow:
    """A row that turned out to be bad."""
    lost, ends = (raw.content.lost, raw.content.ends) if isinstance(raw.content, Broken) else (1, False)
    return BadRow(raw.file, raw.row, raw.index, row_id, reason, raw.text(), malformed, lost, ends)
