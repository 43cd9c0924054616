"""A row on its way from a file to the model: as it was read, checked, or bad."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from mime_fast.data.dialogues import Row, check_id, check_row, parse_line
from mime_fast.errors import InputError

SEPARATOR = "__eou__"
_SHOWN = 80  # characters of a bad row that a report on the terminal repeats


@dataclass(frozen=True)
class Columns:
    """What the columns (or keys) of the input are called, and what parts the utterances of a context in one text."""

    context: str = "context"
    response: str = "response"
    id: str = "id"
    seed: str = "seed"
    emotion: str = "emotion"
    separator: str = SEPARATOR


@dataclass(frozen=True)
class Broken:
    """What stands for a row that could not even be read."""

    reason: str
    text: str = ""


@dataclass(frozen=True)
class RawRow:
    """A row as it was read: a JSON line, the cells of a table, or what went wrong."""

    file: str
    row: int  # in the file, from 1: the line of a text file
    index: int  # over all inputs, from 0; the request id
    content: bytes | dict[str, object] | Broken

    def text(self) -> str:
        """The row for a report; bytes that are not UTF-8 become lone surrogates, as JSON can hold them."""
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

    def json_line(self) -> bytes:
        """Its line of the errors file."""
        names = ("file", "row", "index", "id", "reason", "raw")
        values = {name: getattr(self, name) for name in names}
        return json.dumps(values, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"

    def __str__(self) -> str:
        shown = f": {self.raw[:_SHOWN]!r}{'...' if len(self.raw) > _SHOWN else ''}" if self.malformed else ""
        return f"{self.file}, line {self.row}: {self.reason}{shown}"


def check(raw: RawRow, columns: Columns, *, need_response: bool, strict_turns: bool) -> Row | BadRow:
    """The dialogue that a row holds, or why there is none."""
    row_id: str | int = raw.index
    try:
        if isinstance(raw.content, Broken):
            raise InputError(raw.content.reason)
        found = parse_line(raw.content) if isinstance(raw.content, bytes) else raw.content
        values = _named(found, columns)
        row_id = check_id(values.get("id"), raw.index)
        return check_row(values, raw.row, raw.index, need_response=need_response, strict_turns=strict_turns)
    except InputError as error:
        return bad_row(raw, row_id, str(error))


def bad_row(raw: RawRow, row_id: str | int, reason: str, *, malformed: bool = True) -> BadRow:
    """A row that turned out to be bad."""
    return BadRow(raw.file, raw.row, raw.index, row_id, reason, raw.text(), malformed)


def _named(found: Mapping[str, object], columns: Columns) -> dict[str, object]:
    values = {
        name: found[column]
        for name in ("context", "response", "id", "seed", "emotion")
        if (column := getattr(columns, name)) in found
    }
    if "context" not in values and columns.context != "context":
        raise InputError(f"no {columns.context!r}; a list of utterances is expected")
    context = values.get("context")
    if isinstance(context, str):
        values["context"] = [turn.strip() for turn in context.split(columns.separator)]
    return values
