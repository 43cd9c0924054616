"""What keyboards and word processors write for plain apostrophes, quotes and letters, made plain again.

The released tokenisation, like its training text, knows the typewriter's marks only: a phone's apostrophe makes "I'm"
an unknown word. A tokenizer with this step applies it before the released rules.
"""

from __future__ import annotations

from typing import Final

_APOSTROPHES = "\u2019\u2018\u201b\u0060\u00b4\u02bc\u2032\uff40"
_QUOTES = "\u201c\u201d\u201e\u201f\u2033"
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f"
_FULL_WIDTH = {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}

# In order, each with what takes its place; no replacement makes a new place for a later one.
REPLACEMENTS: Final = (
    ("``", '"'),
    *((char, "'") for char in _APOSTROPHES),
    *((char, '"') for char in _QUOTES),
    ("\u2026", "..."),
    *((char, "") for char in _INVISIBLE),
    *((char, plain) for char, plain in _FULL_WIDTH.items() if char not in _APOSTROPHES),
)
_TABLE: Final = str.maketrans({char: plain for char, plain in REPLACEMENTS if len(char) == 1})


def plain(text: str) -> str:
    """The text with plain apostrophes, quotes, ellipses and letters, without marks of no width."""
    if text.isascii():
        return text.replace("``", '"').replace("`", "'") if "`" in text else text
    return text.replace("``", '"').translate(_TABLE)
