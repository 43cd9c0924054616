"""JSON lines, and files of JSON whose objects are in one list or go over several lines."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from itertools import chain, count, islice
from typing import Any

from mime_fast.data.dialogues import not_utf8_in, parse_line
from mime_fast.data.json_objects import object_of
from mime_fast.data.reading.ahead import BUFFER, Ahead
from mime_fast.data.reading.layout import Layout, Numbered
from mime_fast.data.reading.opening import File
from mime_fast.data.reading.options import Columns
from mime_fast.data.reading.row_values import CHAT_COLUMNS
from mime_fast.data.reading.rows import Broken
from mime_fast.data.reading.text import text_lines, text_of
from mime_fast.errors import DataError, InputError


def read_json(file: File, columns: Columns) -> Numbered:
    """An object a line; blank lines do not count. Or the objects of one list, or printed over several lines."""
    stream = text_of(file)
    if _goes_on(stream):
        rows: Numbered = _objects(file, stream)
        first = next(rows, None)
        names = _names_inside(file.name, first[1], columns) if first else []
    else:
        rows = (line for line in text_lines(file, stream) if isinstance(line[1], Broken) or line[1].strip())
        is_only = not file.source.is_stream and _is_one_line(stream)
        first = next(rows, None)
        names = _names(first[1], file.name, columns, is_only=is_only) if first else []
    if first is not None:
        yield from Layout.of(names, file.name, columns, is_table=False).rows(chain([first], rows))


def _goes_on(stream: Ahead) -> bool:
    """Whether an object or a list of objects begins that does not end on the first line, or is all of the file."""
    start = stream.look(lambda start: _is_spread(start) is not None)
    is_all = len(start) < BUFFER
    found = _is_spread(start + b"\n" if is_all else start)
    if found is not None:
        return found
    return _begins_list(start.lstrip()) or (not is_all and b"\n" in start.lstrip())  # else its first line is very long


def _is_spread(start: bytes) -> bool | None:
    """What `_goes_on` says, as soon as enough has come to say it."""
    start = start.lstrip()
    line, end, rest = start.partition(b"\n")
    if not end:
        return None
    if line.strip() in (b"{", b"[") and not rest.strip():
        return None
    is_list = _begins_list(start)
    if not is_list and not line.startswith(b"{"):
        return False
    if line.strip() in (b"{", b"["):
        return is_list or rest.lstrip()[:1] == b'"'
    if is_list and line.rstrip().endswith(b","):
        return True
    place, is_whole = _first_value(start)
    if place is None:
        return None
    if place > len(line.decode(errors="surrogateescape")):
        return is_whole
    return None if is_list and not rest.strip() else False  # a list in a line is one of many, or the whole file


def _begins_list(start: bytes) -> bool:
    return start.startswith(b"[") and start[1:].lstrip()[:1] in (b"{", b"]")


def _first_value(start: bytes) -> tuple[int | None, bool]:
    """Where the first value ends, or is none; None where its whole lines break off within it. And whether it ends."""
    text = start.decode(errors="surrogateescape")
    text = text[: text.rindex("\n")].rstrip()
    try:
        return json.JSONDecoder(parse_int=float).raw_decode(text)[1], True
    except json.JSONDecodeError as error:
        return (None if error.pos >= len(text) else error.pos), False
    except RecursionError:
        return 0, False


def _is_one_line(stream: Ahead) -> bool:
    return not stream.look(lambda start: b"\n" in start.strip()).strip().count(b"\n")


def _names(content: bytes | dict[str, object] | Broken, where: str, columns: Columns, *, is_only: bool) -> list[str]:
    """The keys of the first row, which may be the only one; a broken one has none."""
    try:
        found = parse_line(content) if isinstance(content, bytes) else {}
    except InputError:
        return []
    return _names_inside(where, found, columns) if is_only else list(found)


def _names_inside(where: str, content: Any, columns: Columns) -> list[str]:
    """The keys of the first object. DataError where it is one that has the rows in it."""
    names = list(content) if isinstance(content, dict) else []
    if names and (set(names) == {"columns", "index", "data"} or _is_by_number(content)):
        raise DataError(
            f"{where}: is one object, as pandas' to_json writes a table; to_json(..., orient='records', lines=True) "
            "writes rows"
        )
    lists = [
        name
        for name in names
        if isinstance(content[name], list) and content[name] and all(isinstance(one, dict) for one in content[name])
    ]
    if lists and not {columns.name("context").partition(".")[0], *CHAT_COLUMNS} & set(names):
        raise DataError(
            f"{where}: the rows are in {' or '.join(map(repr, lists))} of one object; give that list as a file, as "
            f"`jq -c '.{lists[0]}[]'` writes it"
        )
    return names


def _is_by_number(content: dict[str, Any]) -> bool:
    """Whether it has all rows by their numbers, or columns that do."""
    values = list(islice(content.values(), 3))
    if not all(isinstance(value, dict) and value for value in values):
        return False
    return all(map(str.isdigit, islice(content, 3))) or all(key.isdigit() for one in values for key in islice(one, 3))


def _objects(file: File, stream: Ahead) -> Numbered:
    """Objects with their numbers from 1; only what one of them needs is in memory."""
    text = _Text(stream, file.source.reading.max_row_bytes)
    in_list = text.next() == "["
    text.place += in_list
    for number in count(1):
        char = text.next(skip="," if in_list else "")
        if not char or (in_list and char == "]"):
            text.place += 1
            if in_list and not char:
                reason = "the list is not closed: the file ends early, and what was to follow is lost"
                yield number, Broken(reason, ends=True)
            elif in_list and text.next():
                reason = f"{text.shown()!r} follows the list and is not read"
                yield number, Broken(reason, "", file.lost_rows(number), ends=True)
            return
        try:
            found = text.value()
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            lost = file.lost_rows(number)
            yield (
                number,
                Broken(f"not JSON ({reason}); what follows in this file is lost", text.shown(), lost, ends=True),
            )
            return
        if fault := not_utf8_in(text.raw) or text.fault:
            yield number, Broken(fault, text.raw)
        elif isinstance(found, dict):
            yield number, found
        else:
            yield number, Broken(f"JSON of type {type(found).__name__}; an object with 'context' is expected")


class _Text:
    """The text of a stream, of which a window is in memory."""

    def __init__(self, stream: Ahead, limit: int) -> None:
        self._pieces = self._decoded(stream)
        self._decoder = json.JSONDecoder(parse_int=self._integer, object_pairs_hook=object_of)
        self._limit = limit
        self.text, self.place = "", 0
        self.raw = ""  # of the last value
        self.fault = ""  # of a number in it

    @staticmethod
    def _decoded(stream: Ahead) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        while piece := stream.read1(BUFFER):
            yield decoder.decode(piece)

    def next(self, skip: str = "") -> str:
        """The next character that is not white space; "" at the end."""
        while True:
            while self.place < len(self.text):
                char = self.text[self.place]
                if char not in " \t\r\n" and char not in skip:
                    return char
                self.place += 1
            if not self._more():
                return ""

    def value(self) -> Any:
        """The value that begins here. ValueError: there is none, or it is longer than the limit."""
        while True:
            self.fault = ""
            try:
                found, end = self._decoder.raw_decode(self.text, self.place)
                self.raw, self.place = self.text[self.place : end], end
                return found
            except json.JSONDecodeError:
                if len(self.text) - self.place > self._limit:
                    raise ValueError(f"nothing ends within {self._limit} bytes, --max-row-bytes") from None
                if not self._more():
                    raise

    def _integer(self, digits: str) -> int | None:
        try:
            return int(digits)
        except ValueError as error:  # more digits than Python takes
            self.fault = f"JSON that cannot be read ({error}); a plain JSON object is expected"
            return None

    def shown(self) -> str:
        return self.text[self.place : self.place + 80]

    def _more(self) -> bool:
        """Twice as much of what begins here, so that a long value is tried a few times only."""
        self.text, self.place = self.text[self.place :], 0
        pieces, size = [self.text], 0
        for piece in self._pieces:
            pieces.append(piece)
            size += len(piece)
            if size >= len(self.text):
                break
        self.text = "".join(pieces)
        return size > 0
