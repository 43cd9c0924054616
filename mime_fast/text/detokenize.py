"""Tokens back to readable English."""

import re
from collections.abc import Sequence
from typing import Final

from mime_fast.errors import InputError
from mime_fast.text.special import SPECIAL_TOKENS

_ENDINGS: Final = frozenset({"n't", "'s", "'m", "'d", "'ll", "'re", "'ve", "'"})
_HALVES: Final = frozenset(
    {
        ("can", "not"),
        ("gim", "me"),
        ("gon", "na"),
        ("got", "ta"),
        ("lem", "me"),
        ("wan", "na"),
        ("d", "'ye"),
        ("more", "'n"),
        ("'t", "is"),
        ("'t", "was"),
    }
)
_ATTACHED_LEFT: Final = re.compile(r"[.,!?;:]+|[)\]}\u2019\u201d\u00bb]").fullmatch
_ATTACHED_RIGHT: Final = frozenset("([{\u2018\u201c\u201e\u00ab")
_CURLY_ENDINGS: Final = frozenset({"s", "m", "d", "t", "ll", "re", "ve"})
_SMILEYS: Final = frozenset({(":", ")"), (";", ")"), (":", "("), ("<", "3")})


def detokenize(tokens: Sequence[str]) -> str:
    """One line of readable text: contractions, punctuation, quotes and brackets are joined as people write them.

    Special names are dropped, every other token stays; letters keep their case. The tokens `` and '' become a double
    quote. Raises InputError when `tokens` is a string.
    """
    if isinstance(tokens, str):
        raise InputError("tokens is a string; a list of tokens is needed")
    words = [token for token in tokens if token not in SPECIAL_TOKENS]
    text: list[str] = []
    glue = True
    in_quotes = False
    for position, word in enumerate(words):
        before = words[position - 1] if position else ""
        after = words[position + 1] if position + 1 < len(words) else ""
        if word in ("``", "''"):
            opens = not in_quotes and word == "``"
            in_quotes = opens
            text.append(' "' if opens and not glue else '"')
            glue = opens
            continue
        if not (glue or _joined(before, word, words, position)):
            text.append(" ")
        text.append(word)
        bracket = word in _ATTACHED_RIGHT and not _smiley(before, word, words, position)
        glue = bracket or _opens(word, before, after)
    return "".join(text)


def _joined(before: str, word: str, words: Sequence[str], position: int) -> bool:
    """No space is between these two words."""
    if _smiley(before, word, words, position):
        return True
    if word in (":", ";") and position + 1 < len(words) and _smiley(word, words[position + 1], words, position + 1):
        return False
    if word == "%":
        return before[-1:].isdigit()
    return word in _ENDINGS or (before, word) in _HALVES or _ATTACHED_LEFT(word) is not None


def _smiley(before: str, word: str, words: Sequence[str], position: int) -> bool:
    """The two words are a face or a heart; a colon and an opening bracket are one only if nothing closes it."""
    if (before, word) not in _SMILEYS:
        return False
    if word == "(":
        return ")" not in words[position:]
    return word != ")" or words[:position].count("(") <= words[:position].count(")")


def _opens(word: str, before: str, after: str) -> bool:
    """The word is written without a space before the next one."""
    if word == "$":
        return after[:1].isdigit()
    if word in ("#", "@"):
        return after[:1].isalnum()
    return word == "\u2019" and before[-1:].isalpha() and after in _CURLY_ENDINGS
