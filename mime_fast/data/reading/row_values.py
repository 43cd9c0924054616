"""The values of a row by what they mean, whatever their columns are called and however a dialogue is written."""

from __future__ import annotations

from collections.abc import Mapping

from mime_fast.data.dialogues import is_gap
from mime_fast.data.json_objects import decoded
from mime_fast.data.reading.dialogue_shapes import chat_of, list_in_text, utterances_of
from mime_fast.data.reading.options import SEPARATOR, Columns
from mime_fast.errors import InputError

CHAT_COLUMNS = ("messages", "conversations")


def named_values(found: Mapping[str, object], columns: Columns, *, need_response: bool) -> dict[str, object]:
    """`context`, `response`, `id`, `seed` and `emotion` of a row, those that it has.

    Raises:
        InputError: a column that was named is not there, or a dialogue cannot be read.
    """
    values: dict[str, object] = {}
    for field, name, is_asked in columns.names:
        if name in found:
            value = found[name]
            if value is None or not is_gap(value):
                values[field] = value
        elif is_asked and field not in ("context", "response"):
            if (inner := value_of(found, name)) is not None:
                values[field] = inner[0]
            elif field == "id":
                raise InputError(f"no {name!r}; every row must have it, since it was asked for by name")
    if "context" not in values:
        values["context"] = context_of(found, columns)
    if columns.response and "response" not in values and (inner := value_of(found, columns.response)) is not None:
        values["response"] = inner[0]
    context = values["context"]
    if isinstance(context, str):
        values["context"] = context = utterances_of(context, columns.separator or SEPARATOR)
    is_plain = isinstance(context, list) and bool(context) and isinstance(context[0], str)
    chat = None if is_plain else chat_of(context)
    if chat is not None or columns.turns == "last":
        context, response = _split(context if chat is None else chat)
        if response is not None:
            if need_response and values.get("response") is not None:
                raise InputError("the dialogue ends with a response, and there is another one; one is expected")
            values["response"] = response
        elif need_response and values.get("response") is None:
            raise InputError("the dialogue ends with the user's turn, so there is no response to it")
        values["context"] = context
    response = values.get("response")
    if isinstance(response, str) and response.startswith("[") and (tokens := list_in_text(response)) is not None:
        values["response"] = tokens
    return values


def context_of(found: Mapping[str, object], columns: Columns) -> object:
    """What a row has as its context, as it is written. Raises InputError: it has none."""
    name = columns.name("context")
    if (inner := value_of(found, name)) is not None:
        return inner[0]
    if columns.context:
        raise InputError(f"no {name!r}; a list of utterances is expected")
    chat = next((name for name in CHAT_COLUMNS if name in found), None)
    if chat is None:
        there = ", ".join(map(repr, list(found)[:10]))
        raise InputError(f"no 'context'; a list of utterances is expected; there is {there or 'nothing'}")
    return found[chat]


def dialogue_of(found: Mapping[str, object], columns: Columns) -> list[object]:
    """All turns of the whole dialogue that a row contains. Raises InputError: it has none."""
    turns = utterances_of(context_of(found, columns), columns.separator or SEPARATOR)
    chat = chat_of(turns)
    if chat is not None:
        return chat
    if not isinstance(turns, list):
        raise InputError(f"context is of type {type(turns).__name__}; a list of utterances is expected")
    return turns


def _split(turns: object) -> tuple[object, object | None]:
    """The context and the response of a whole dialogue; None where the user's turn is the last."""
    if isinstance(turns, list) and turns and len(turns) % 2 == 0:
        return turns[:-1], turns[-1]
    return turns, None


def value_of(found: Mapping[str, object], name: str) -> tuple[object] | None:
    """The value of a column, or of a dotted name; an object may be written as JSON text. None where it is not there."""
    if name in found:
        return (found[name],)
    value: object = found
    for part in name.split("."):
        if isinstance(value, str) and value.lstrip().startswith("{"):
            try:
                value = decoded(value)
            except (ValueError, RecursionError):
                return None
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return (value,)
