"""Tokens back to readable English."""

import re
from collections.abc import Collection, Sequence
from itertools import pairwise
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
_FACE_ENDS: Final = frozenset(word for _, word in _SMILEYS)


def detokenize(tokens: Sequence[str]) -> str:
    """One line of readable text: contractions, punctuation, quotes and brackets are joined as people write them.

    Special names are dropped, every other token stays; letters keep their case. The tokens `` and '' become a double
    quote. Raises InputError when `tokens` is a string.
    """
    if isinstance(tokens, str):
        raise InputError("tokens is a string; a list of tokens is needed")
    words = [token for token in tokens if token not in SPECIAL_TOKENS]
    faces = _faces(words)
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
        if not (glue or _joined(before, word, position, faces)):
            text.append(" ")
        text.append(word)
        bracket = word in _ATTACHED_RIGHT and position not in faces
        glue = bracket or _opens(word, before, after)
    return "".join(text)


def _joined(before: str, word: str, position: int, faces: Collection[int]) -> bool:
    """No space is between these two words."""
    if position in faces:
        return True
    if word in (":", ";") and position + 1 in faces:
        return False
    if word == "%":
        return before[-1:].isdigit()
    return word in _ENDINGS or (before, word) in _HALVES or _ATTACHED_LEFT(word) is not None


def _faces(words: Sequence[str]) -> frozenset[int]:
    """Where the second word of a face or a heart is; a colon and an opening bracket are one only if nothing closes it,
    and with a closing one only if nothing is open."""
    if _FACE_ENDS.isdisjoint(words):
        return frozenset()
    last = max((position for position, word in enumerate(words) if word == ")"), default=-1)
    found, depth = [], 0
    for position, pair in enumerate(pairwise(words), start=1):
        before, word = pair
        depth += (before == "(") - (before == ")")
        if pair in _SMILEYS and not (word == "(" and last > position) and not (word == ")" and depth > 0):
            found.append(position)
    return frozenset(found)


def _opens(word: str, before: str, after: str) -> bool:
    """The word is written without a space before the next one."""
    if word == "$":
        return after[:1].isdigit()
    if word in ("#", "@"):
        return after[:1].isalnum()
    return word == "\u2019" and before[-1:].isalpha() and after in _CURLY_ENDINGS
