"""Text files with a dialogue a line, as DailyDialog comes: a separator after every utterance."""

from __future__ import annotations

from dataclasses import replace

from mime_fast.data.dialogues import not_utf8
from mime_fast.data.reading.layout import Layout, Numbered
from mime_fast.data.reading.opening import File
from mime_fast.data.reading.options import SEPARATOR, Columns
from mime_fast.data.reading.row_values import dialogue_of
from mime_fast.data.reading.rows import Broken
from mime_fast.data.reading.text import text_lines, text_of
from mime_fast.errors import DataError, InputError


def read_text(file: File, columns: Columns) -> Numbered:
    """The whole dialogue of every line; blank lines do not count."""
    if columns.asked():
        raise DataError(f"{file.name}: is text, which has no columns; --context-column and the like go with tables")
    columns = replace(columns, turns=columns.turns or "last", separator=columns.separator or SEPARATOR)
    layout = Layout.of(("context",), file.name, columns)
    return layout.rows(_dialogues(file, columns))


def _dialogues(file: File, columns: Columns) -> Numbered:
    for number, line in text_lines(file, text_of(file)):
        if isinstance(line, Broken):
            yield number, line
            continue
        try:
            text = line.decode().strip()
        except UnicodeDecodeError as error:
            yield number, Broken(not_utf8(error), line.decode(errors="surrogateescape").rstrip("\r\n"))
            continue
        if not text:
            continue
        if columns.turns == "all":
            yield number, {"context": text}
            continue
        try:
            turns = dialogue_of({"context": text}, columns)
        except InputError as error:
            yield number, Broken(str(error), text)
            continue
        if not turns:  # an empty list written as text
            yield number, {"context": turns}
            continue
        *context, response = turns
        is_whole = len(turns) % 2 == 0
        yield number, {"context": context, "response": response} if is_whole else {"context": turns}
