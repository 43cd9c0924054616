"""Tables and texts in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mime_fast.terminal import printable

_LIST_MARK = re.compile(r"^(\d*)([-+.)])(?=\s|$)")


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table whose cells are taken as they are."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def safe(text: str) -> str:
    """Text that is a part of a table or a list as it is; characters that would steer a terminal are escapes."""
    text = printable(text)
    for mark in "\\`*_|<>[]#&~$":
        text = text.replace(mark, f"\\{mark}")
    return text


def item(text: str) -> str:
    """A list's item of text that `safe` returned: one that begins as a list does, such as "1. x", would be another."""
    return "- " + _LIST_MARK.sub(r"\1\\\2", text)
