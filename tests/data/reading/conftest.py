"""Rows of a file in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mime_fast.data.dialogues import Row
from mime_fast.data.reading.options import Columns, Reading
from mime_fast.data.reading.reader import Reader
from mime_fast.data.reading.rows import BadRow, check
from mime_fast.data.reading.sources import find_sources


def rows_of(
    path: Path | str, columns: Columns | None = None, *, need_response: bool = True, **reading: Any
) -> list[Any]:
    """Every row as (its number in the file, its index, id, context, response, seed), or with the reason at the end."""
    columns = columns or Columns()
    found: list[Any] = []
    for raw in Reader(find_sources(path, Reading(**reading)), columns):
        row: Row | BadRow = check(raw, columns, need_response=need_response, strict_turns=True)
        if isinstance(row, BadRow):
            found.append((row.row, row.index, row.reason))
        else:
            found.append((row.line, row.index, row.id, row.context, row.response, row.seed))
    return found
