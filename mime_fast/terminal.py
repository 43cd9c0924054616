"""Text for a terminal: its width, its colours and blocks, the columns that characters take, bars."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PLAIN_WIDTH = 80  # columns where nobody says how many there are
NARROWEST = 40
EIGHTHS = " ▏▎▍▌▋▊▉"
COLOURS = {"positive": "36", "negative": "33", "word": "35", "soft": "2", "bold": "1"}  # ANSI: cyan, yellow, magenta


@dataclass(frozen=True)
class Look:
    """How text is drawn: columns of a line, whether in colours, whether with block characters (`#` otherwise)."""

    width: int = PLAIN_WIDTH
    colour: bool = False
    unicode: bool = True

    @classmethod
    def of(cls, stream: Any) -> Look:
        """What suits a text stream.

        Colours are for terminals; `NO_COLOR` and `TERM=dumb` turn them off, `FORCE_COLOR` turns them on elsewhere, too.
        """
        terminal = is_terminal(stream)
        try:
            f"█│…·{EIGHTHS}".encode(getattr(stream, "encoding", None) or "ascii")
            unicode = True
        except UnicodeEncodeError:
            unicode = False
        width = shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns if terminal else PLAIN_WIDTH
        return cls(max(width, NARROWEST), _coloured(terminal), unicode)

    def paint(self, text: str, name: str) -> str:
        return f"\x1b[{COLOURS[name]}m{text}\x1b[0m" if self.colour and text else text

    def bar(self, part: float, space: int) -> str:
        """A bar of at most `space` columns, of which it fills `part`, 0 to 1."""
        part = min(1.0, max(0.0, part))
        if not self.unicode:
            return "#" * round(part * space)
        full, rest = divmod(round(part * space * 8), 8)
        return "█" * full + (EIGHTHS[rest] if rest else "")

    def clipped(self, text: str, space: int) -> str:
        """The text, cut to `space` columns with a mark where it is longer."""
        if columns(text) <= space:
            return text
        kept = ""
        for character in text:
            if columns(kept + character) > space - 1:
                break
            kept += character
        return kept + ("…" if self.unicode else "~")


def is_terminal(stream: Any) -> bool:
    """Whether somebody looks at a stream."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False


def columns(text: str) -> int:
    """How many columns a text takes: two for each wide character, none for those that combine with the one before."""
    return sum(map(_columns, text)) if not text.isascii() else len(text)


def printable(text: str) -> str:
    """The text in one line; what would steer a terminal, or is no character of text (nor of XML), is an escape."""
    return "".join(character if _shows(character) else _escaped(character) for character in " ".join(text.split()))


def wrapped(text: str, space: int) -> Iterator[str]:
    """Lines of at most `space` columns, broken between words, or inside a word that fits no line; one at least."""
    line, filled = "", 0
    for word in text.split():
        size = columns(word)
        if line and filled + 1 + size > space:
            yield line
            line, filled = "", 0
        if line:
            line, filled = f"{line} {word}", filled + 1 + size
            continue
        *heads, line = _broken(word, space)
        yield from heads
        filled = columns(line)
    yield line


def _broken(word: str, space: int) -> list[str]:
    """The word in pieces of at most `space` columns, one character at least."""
    pieces, filled = [""], 0
    for character in word:
        size = _columns(character)
        if pieces[-1] and filled + size > space:
            pieces.append("")
            filled = 0
        pieces[-1] += character
        filled += size
    return pieces


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _shows(character: str) -> bool:
    return (
        unicodedata.category(character) not in ("Cc", "Cs")
        and character not in "\ufffe\uffff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode()


def _coloured(terminal: bool) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return terminal and os.environ.get("TERM") != "dumb"
