"""How files are to be read where their names and contents do not say it."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from mime_fast.config.checks import check_bool, check_int
from mime_fast.errors import ConfigError

Quoting = Literal["auto", "csv", "none"]
Turns = Literal["last", "all"]

MAX_ROW_BYTES = 1 << 26
FORMAT_NAMES = "jsonl", "csv", "tsv", "parquet", "text"  # formats.py says what they are
SEPARATOR = "__eou__"


@dataclass(frozen=True)
class Reading:
    """What applies to all files of an input.

    Args:
        format: one of `FORMAT_NAMES`, or "auto": by the file's name, else by its first bytes.
        encoding: of text files, a name that Python knows. A byte order mark says more than this.
        delimiter: between the cells of a table; None: the one with which the header has the wanted columns.
        quoting: "csv": a cell that begins with a double quote ends with one and may contain delimiters and line breaks;
            "none": quotes are text; "auto": as "csv", but doubtful quotes in tab-separated files are refused.
        recursive: whether the folders in a folder are read, too.
        max_row_bytes: a longer row is a bad row, and is not kept in memory.

    Raises:
        ConfigError: a value is not allowed.
    """

    format: str = "auto"
    encoding: str = "utf-8"
    delimiter: str | None = None
    quoting: Quoting = "auto"
    recursive: bool = False
    max_row_bytes: int = MAX_ROW_BYTES

    def __post_init__(self) -> None:
        if self.format not in ("auto", *FORMAT_NAMES):
            raise ConfigError(f"format={self.format!r}: must be one of auto, {', '.join(FORMAT_NAMES)}")
        try:
            codecs.lookup(self.encoding)
            "".encode(self.encoding)  # base64 and its like are no encodings of text
        except (LookupError, ValueError, TypeError):
            raise ConfigError(
                f"encoding={self.encoding!r}: must be one that Python knows, such as utf-8, utf-16 or cp1252"
            ) from None
        one = isinstance(self.delimiter, str) and len(self.delimiter) == 1 and self.delimiter not in '"\r\n'
        if self.delimiter is not None and not one:
            raise ConfigError(f"delimiter={self.delimiter!r}: must be one character, not a quote or a line break")
        if self.quoting not in get_args(Quoting):
            raise ConfigError(f"quoting={self.quoting!r}: must be one of {', '.join(get_args(Quoting))}")
        check_bool("recursive", self.recursive)
        check_int("max_row_bytes", self.max_row_bytes, 1, 2**40)


@dataclass(frozen=True)
class Columns:
    """What the columns (or keys) of the input are called, and how a context is written in them.

    A column that is named must be there: in the header of a table, and in some of the first rows of JSON, of which
    every one must have its dialogue and its id. `data.context` is the key `context` of the object `data`.

    Args:
        context: None: `context`, else `messages` or `conversations`, or the layout that the other columns show.
        response, id, seed: None: the column of that name, where there is one.
        emotion: None: not read.
        separator: between the utterances of a context that is one text; None: `__eou__`.
        turns: for columns that contain whole dialogues. "last": the last turn, a listener's where it is scored, is the
            response, all before it the context; "all": every listener's turn becomes a row. None: "last" for chat
            messages and text files, and a context as it is elsewhere.

    Raises:
        ConfigError: a value is not allowed.
    """

    context: str | None = None
    response: str | None = None
    id: str | None = None
    seed: str | None = None
    emotion: str | None = None
    separator: str | None = None
    turns: Turns | None = None

    def __post_init__(self) -> None:
        for name in ("context", "response", "id", "seed", "emotion", "separator"):
            if not isinstance(given := getattr(self, name), str | None):
                raise ConfigError(f"{name}={given!r}: must be text, or None")
        if self.separator == "":
            raise ConfigError("separator is empty; must be at least one character")
        if self.turns is not None and self.turns not in get_args(Turns):
            raise ConfigError(f"turns={self.turns!r}: must be one of {', '.join(get_args(Turns))}")

    @cached_property
    def names(self) -> tuple[tuple[str, str, bool], ...]:
        """Field, column, and whether it was asked for by name, of all fields that are read."""
        asked = [(field, getattr(self, field)) for field in ("context", "response", "id", "seed", "emotion")]
        return tuple((field, name or field, name is not None) for field, name in asked if name or field != "emotion")

    def name(self, field: str) -> str:
        """The column of a field."""
        return getattr(self, field) or field

    def asked(self) -> list[str]:
        """The columns that were named."""
        return [name for _, name, is_asked in self.names if is_asked]


class UtteranceColumns(Columns):
    """The columns of EmpatheticDialogues; every utterance is a row."""
