"""Tables and texts in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mime_fast.terminal import printable


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
