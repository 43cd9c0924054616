"""Sheets as CSV: what annotators get, and how filled ones are read, whatever saved them."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mime_fast.errors import DataError
from mime_fast.evaluation.human.criteria import COLUMNS, Kind
from mime_fast.evaluation.human.study import KINDS, SheetRow, Study

SPEAKERS = ("Speaker", "Listener")
NO_WORDS = "(no words)"
DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Record:
    """A row that somebody filled in."""

    row: int  # as a spreadsheet counts, the header being 1
    cells: Mapping[str, str]  # by column, without blanks around


@dataclass(frozen=True)
class FilledSheet:
    """A file of answers."""

    file: str
    kind: Kind
    records: list[Record]
    unread: tuple[str, ...]  # columns with content that no sheet has


def turns(context: Sequence[str]) -> list[tuple[str, str]]:
    """(who, what) of each utterance; the speaker is first and last."""
    return [(SPEAKERS[place % 2], text) for place, text in enumerate(context)]


def said(text: str) -> str:
    """A reply as it is shown."""
    return text if text.strip() else NO_WORDS


def shown_replies(study: Study, kind: Kind, row: SheetRow) -> tuple[int, dict[str, str]]:
    """The instance of a row, and its reply or replies by column."""
    if kind == "ratings":
        rated = study.ratings[row.item]
        return rated.instance, {"reply": said(study.reply(rated.models[0], rated.instance))}
    pair = study.comparisons[row.item]
    models = (pair.second, pair.first) if row.swapped else (pair.first, pair.second)
    texts = [said(study.reply(model, pair.instance)) for model in models]
    return pair.instance, dict(zip("AB", texts, strict=True))


def shown_cells(study: Study, kind: Kind, row: SheetRow) -> dict[str, str]:
    """What a sheet shows for a row, by column; every cell begins with a name, so that none is taken for a formula."""
    instance, replies = shown_replies(study, kind, row)
    context = "\n".join(f"{who}: {text}" for who, text in turns(study.instances[instance].context))
    return {"context": context} | {column: f"{SPEAKERS[1]}: {text}" for column, text in replies.items()}


def write_sheet(study: Study, kind: Kind, rows: Iterable[SheetRow]) -> bytes:
    """An empty sheet: UTF-8 with BOM and CRLF, as spreadsheets want it, every cell in quotes."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS[kind])
    for row in rows:
        cells = {"item": row.id} | shown_cells(study, kind, row)
        writer.writerow([cells.get(column, "") for column in COLUMNS[kind]])
    return codecs.BOM_UTF8 + text.getvalue().encode()


def read_sheet(path: str | os.PathLike[str]) -> FilledSheet:
    """A filled sheet: parted by commas, semicolons or tabs, columns in any order, rows without content left out.

    Bytes that are not UTF-8 (or UTF-16 with its mark) become replacement signs: ids and answers are ASCII.

    Raises:
        DataError: it cannot be read, its quotes are broken, or its header is of no sheet.
    """
    rows = list(_rows(path))
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    lower = {kind: [column.lower() for column in COLUMNS[kind]] for kind in KINDS}
    kind = next((kind for kind in KINDS if set(lower[kind]) <= set(header)), None)
    if kind is None or any(header.count(column) > 1 for column in lower[kind]):
        expected = " or ".join(", ".join(COLUMNS[kind]) for kind in KINDS)
        came = repr(", ".join(header)[:120]) if any(header) else "none"
        raise DataError(f"{path}, row 1: the columns are {came}; {expected} are expected, once each")
    place = {column: header.index(column.lower()) for column in COLUMNS[kind]}
    records, unread = [], set()
    for number, row in enumerate(rows[1:], start=2):
        cells = [cell.strip() for cell in row] + [""] * len(header)
        if any(cells):
            records.append(Record(number, {column: cells[at] for column, at in place.items()}))
            unread |= {at for at, cell in enumerate(cells) if cell and at not in place.values()}
    names = tuple(header[at] if at < len(header) and header[at] else f"number {at + 1}" for at in sorted(unread))
    return FilledSheet(str(path), kind, records, names)


def bare(text: str) -> str:
    """ASCII letters and digits of a text, lower-case: what survives every program that saves a sheet."""
    return "".join(sign for sign in text.lower() if sign.isascii() and sign.isalnum())


def _rows(path: str | os.PathLike[str]) -> list[list[str]]:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if wide else "utf-8-sig", errors="replace")
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}: not readable as CSV ({error}); a sheet as saved by the page is expected") from None
