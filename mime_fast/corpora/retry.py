"""The rows of an errors file, to be answered again: with other options, or after the input was mended."""

from __future__ import annotations

import io
import json
import os

from mime_fast.data.reading.opening import Position, open_stored
from mime_fast.data.reading.remote import plain_path
from mime_fast.data.reading.source import Source
from mime_fast.errors import DataError


def error_rows(path: str | os.PathLike[str]) -> frozenset[int]:
    """The numbers of the rows in an errors file (`OUT.errors.jsonl`, or `_errors.jsonl` of a folder), a path or a URI.

    Raises:
        DataError: it cannot be read, has no row, or a line that is none of an errors file.
    """
    name = os.fspath(path)
    try:
        with open_stored(Source(plain_path(name))) as stored, io.BufferedReader(Position(stored)) as lines:
            found = [_number(line, name, place) for place, line in enumerate(lines, start=1) if line.strip()]
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}") from None
    if not found:
        raise DataError(f"{name}: has no row; must be the errors file of a job that had bad rows")
    return frozenset(found)


def retried_places(path: str | os.PathLike[str], first_row: int, row_step: int) -> frozenset[int]:
    """The places in the input, from 0, of an errors file's rows, whose numbers are first_row, first_row + row_step, ...

    Raises:
        DataError: as `error_rows`, or a row is none of these.
    """
    places = {number: divmod(number - first_row, row_step) for number in error_rows(path)}
    if wrong := [number for number, (place, rest) in places.items() if place < 0 or rest]:
        raise DataError(
            f"{os.fspath(path)}: row {min(wrong)} is not of this input, whose rows are {first_row}, "
            f"{first_row + row_step}, and so on; give the same --first-row and --row-step as then"
        )
    return frozenset(place for place, _ in places.values())


def _number(line: bytes, name: str, place: int) -> int:
    try:
        value = json.loads(line)["index"]
    except (ValueError, KeyError, TypeError, RecursionError):
        value = None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise DataError(
            f"{name}, line {place}: has no row number as 'index'; must be a line of the errors file of a job"
        )
    return value
