"""Dialogues as objects, `{"id": ..., "context": [...], "response": ...}`, and what they must look like."""

from __future__ import annotations

import json
import math
from codecs import BOM_UTF8
from contextlib import suppress
from dataclasses import dataclass

from mime_fast.config.checks import MAX_SEED
from mime_fast.data.dialogue_checks import Utterance, check_dialogue, check_encodable, check_utterance
from mime_fast.data.json_objects import decoded
from mime_fast.emotions import emotion_index
from mime_fast.errors import InputError

_EXACT = 2.0**53  # two integers from here on may be the same float


@dataclass(frozen=True)
class Row:
    """A good row."""

    line: int  # in the file, from 1
    index: int  # over all inputs, bad ones too, from 0; the `id` where none is given
    id: str | int
    context: list[Utterance]
    response: Utterance | None
    seed: int | None
    emotion: str | int | None


def check_row(values: dict[str, object], line: int, index: int, *, need_response: bool, strict_turns: bool) -> Row:
    """The row that an object with `id`, `context`, `response`, `seed`, `emotion` describes.

    Raises:
        InputError: a value is missing or not allowed.
    """
    row_id = check_id(values.get("id"), index)
    if "context" not in values:
        raise InputError("no 'context'; a list of utterances is expected")
    context = check_dialogue(values["context"], strict_turns=strict_turns, where="context")
    if need_response and values.get("response") is None:
        raise InputError("no 'response'; text or a list of tokens is expected")
    response = check_utterance(values["response"], "response") if need_response else None
    return Row(line, index, row_id, context, response, _seed(values.get("seed")), _emotion(values.get("emotion")))


def not_utf8(error: UnicodeDecodeError) -> str:
    """What is wrong with bytes that are not UTF-8, and what they may be."""
    reason = f"invalid UTF-8 ({error.reason} at byte {error.start}); must be UTF-8, or what --encoding names"
    try:
        found = error.object[error.start : error.start + 1].decode("cp1252")
    except UnicodeDecodeError:
        return reason
    return f"{reason}: cp1252 would read {found!r}"


def not_utf8_in(text: str) -> str:
    """The same of a text that was decoded with `surrogateescape`; empty where all of it is UTF-8."""
    try:
        text.encode()
        return ""
    except UnicodeEncodeError:
        pass
    try:
        text.encode(errors="surrogateescape").decode()
        return ""
    except UnicodeDecodeError as error:
        return not_utf8(error)


def parse_line(body: bytes) -> dict[str, object]:
    """The object of one JSON line. Raises InputError where it is none."""
    try:
        values = decoded(body.decode())
    except UnicodeDecodeError as error:
        raise InputError(not_utf8(error)) from None
    except json.JSONDecodeError as error:
        reason = "a byte order mark" if body.startswith(BOM_UTF8) else error.msg.removesuffix(" at")
        raise InputError(f"not JSON ({reason} at column {error.colno}); one object a line is expected") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"JSON that cannot be read ({error}); a plain JSON object is expected") from None
    if not isinstance(values, dict):
        raise InputError(f"JSON of type {type(values).__name__}; an object with 'context' is expected")
    return values


def check_id(value: object, index: int) -> str | int:
    """The row's `id`, or its number without one. Raises InputError: neither text nor an integer."""
    if isinstance(value, float):
        value = plain_number(value)
    if value is None:
        return index
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InputError(f"id={value!r:.80}: must be text or an integer{_inexact(value)}")
    if isinstance(value, str):
        check_encodable(value, "id")
    return value


def is_gap(value: object) -> bool:
    """Whether a cell has no value: None, or the NaN that it becomes in a column of floats."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def plain_number(value: float) -> int | float | None:
    """The integer where a float is one, and None for NaN: columns with gaps are of floats in many libraries.

    From 2^53 on a float may be another integer than the one that was meant, and stays a float.
    """
    return int(value) if value.is_integer() and abs(value) < _EXACT else None if math.isnan(value) else value


def _inexact(value: object) -> str:
    is_large = isinstance(value, float) and _EXACT <= abs(value) < math.inf
    return " (from 2^53 on, floats are not exact: save the column as integers or text)" if is_large else ""


def whole_number(text: str) -> object:
    """The integer that a text writes in ASCII digits, also as `7.0`; None for nan and blanks; else the text.

    More digits than Python takes are text, too.
    """
    text = text.strip()
    digits = text.removesuffix(".0") if text.count(".") == 1 else text
    if digits.isascii() and digits.isdigit():
        with suppress(ValueError):
            return int(digits)
    return None if text.lower() in ("", "nan") else text


def _emotion(value: object) -> str | int | None:
    if isinstance(value, float):
        value = plain_number(value)
    if value is None:
        return None
    label = emotion_index(value)
    return value if isinstance(value, str) else label


def _seed(value: object) -> int | None:
    if isinstance(value, float):
        value = plain_number(value)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SEED:
        raise InputError(f"seed={value!r:.80}: must be an integer from 0 to 2^64 - 1{_inexact(value)}")
    return value
