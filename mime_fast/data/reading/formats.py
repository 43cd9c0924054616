"""The formats of files: the one table of their names, their endings and their readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mime_fast.data.reading.delimited import DELIMITERS, named_delimiter, read_csv, read_tsv
from mime_fast.data.reading.json_lines import read_json
from mime_fast.data.reading.layout import Numbered
from mime_fast.data.reading.opening import PARQUET, File
from mime_fast.data.reading.options import SEPARATOR, Columns
from mime_fast.data.reading.parquet_table import read_parquet
from mime_fast.data.reading.remote import is_uri
from mime_fast.data.reading.separated_text import read_text
from mime_fast.data.reading.text import text_of
from mime_fast.errors import DataError


class Format(NamedTuple):
    """How files of a kind are known and read."""

    endings: tuple[str, ...]  # of names in a folder, in small letters
    read: Callable[[File, Columns], Numbered]


FORMATS = {
    "jsonl": Format((".jsonl", ".ndjson", ".jsonlines", ".json"), read_json),
    "csv": Format((".csv",), read_csv),
    "tsv": Format((".tsv", ".tab"), read_tsv),
    "parquet": Format((".parquet", ".parq", ".pq"), read_parquet),
    "text": Format((), read_text),
}
_COMPRESSED = (".gz", ".gzip", ".zst", ".zstd")
READABLE = ", ".join(ending for format in FORMATS.values() for ending in format.endings)


def format_of_name(name: str) -> str | None:
    """The format that a file's name says, in letters of any case and whether it is compressed or not.

    A URI's query is not of the name, unless its store has names with a question mark.
    """
    for one in (name, name.partition("?")[0]) if is_uri(name) else (name,):
        plain = one.lower()
        for ending in _COMPRESSED:
            plain = plain.removesuffix(ending)
        for format, known in FORMATS.items():
            if known.endings and plain.endswith(known.endings):
                return format
    return None


def rows_of(file: File, columns: Columns) -> Numbered:
    """The rows of a file with their numbers in it.

    Raises:
        DataError: it is of no format, or has not the columns that are wanted.
    """
    return FORMATS[_format(file, columns)].read(file, columns)


def _format(file: File, columns: Columns) -> str:
    """As asked for; else what its first bytes or its name say; else what its first line looks like."""
    asked = file.source.reading.format
    is_parquet = file.stream.first(len(PARQUET)).startswith(PARQUET)
    if is_parquet and asked not in ("auto", "parquet"):
        raise DataError(f"{file.name}: is Parquet, not {asked}")
    if is_parquet or asked != "auto":
        return "parquet" if is_parquet else asked
    named = None if file.source.is_standard_input else format_of_name(file.name)
    if named is not None:
        return named
    start = text_of(file).line().lstrip()
    if named_delimiter(start.split(b"\n")[0]) is not None:  # as Excel reads it
        return "csv"
    if not start or start[:1] in (b"{", b"["):
        return "jsonl"
    line = start.split(b"\n")[0].decode(errors="replace")
    if (columns.separator or SEPARATOR) in line:
        return "text"
    if any(columns.name("context") in line.replace('"', "").strip().split(delimiter) for delimiter in DELIMITERS):
        return "csv"
    raise DataError(
        f"{file.name}: neither its name nor its first line says its format; --input-format does ({', '.join(FORMATS)})"
    )
