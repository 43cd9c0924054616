"""The ways in which files write a dialogue: lists, lists written as text, separated text, chat messages."""

from __future__ import annotations

import ast
import re

from mime_fast.data.json_objects import decoded
from mime_fast.errors import InputError

_ROLE_KEYS = (("role", "content"), ("from", "value"))
_USER = frozenset({"user", "human", "prompter", "speaker"})
_AGENT = frozenset({"assistant", "gpt", "bot", "chatgpt", "model", "agent", "listener"})
_SKIPPED = frozenset({"system", "developer"})
_STRING = r"""u?'(?:[^'\\]|\\.)*'|u?"(?:[^"\\]|\\.)*\""""
_ITEM = rf"(?:np\.str_\()?(?:{_STRING})\)?"
_strings_in = re.compile(_STRING, re.DOTALL).findall
_is_quoted_list = re.compile(rf"\[\s*{_ITEM}(?:\s*(?:,\s*)?{_ITEM})*\s*,?\s*\]", re.DOTALL).fullmatch
_array = re.compile(r"array\((.*?)(?:,\s*dtype=[^()]*)?\)", re.DOTALL).fullmatch
_is_empty_list = re.compile(r"\[\s*\]|\(\s*\)").fullmatch
_looks_quoted = re.compile(r"""[\[(]\s*['"{\[].*['"}\])]\s*[\])]""", re.DOTALL).fullmatch
_backslash = re.compile(r"""\\([\n\\'"abfnrtvxuUN0-7])?""")


def list_in_text(text: str) -> list[object] | None:
    """The list that a text writes as JSON, or as Python or NumPy print it; None where it is plain text.

    Raises:
        InputError: it begins and ends like such a list, and is none.
    """
    text = text.strip()
    if array := _array(text):
        text = array[1].strip()
    if not text.startswith(("[", "(")) or not text.endswith(("]", ")")):
        return None
    if _is_empty_list(text):
        return []
    try:
        found = decoded(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, list):
        return found if found and isinstance(found[0], str | list | dict) else None
    if _is_quoted_list(text):  # NumPy writes no commas, and Python would join what is side by side
        return [_evaluated(one, text) for one in _strings_in(text)]
    if not _looks_quoted(text):
        return None
    found = _evaluated(text, text)
    return list(found) if isinstance(found, list | tuple) and found else None


def _evaluated(literal: str, text: str) -> object:
    """The value of a literal of Python. InputError: it is none; the message shows the text in which it is."""
    plain = _backslash.sub(lambda found: found[0] if found[1] else r"\\", literal)  # the same text, without a warning
    try:
        return ast.literal_eval(plain)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise InputError(f"a list written as text cannot be read: {text[:40]!r}; a JSON list is expected") from None


def utterances_of(value: object, separator: str) -> object:
    """A context as a list of utterances, where it is one text: a list written as text, or separated utterances."""
    if not isinstance(value, str):
        return value
    if value.rstrip().endswith((")", "]")) and (found := list_in_text(value)) is not None:
        return found
    turns = [turn.strip() for turn in value.split(separator)]
    if len(turns) > 1 and not turns[-1]:  # a separator after the last utterance, as DailyDialog has it
        turns.pop()
    return turns


def chat_of(value: object) -> list[object] | None:
    """The utterances of chat messages, the user's first; None where the value is something else.

    Messages are objects with `role` and `content`, or `from` and `value`; a prompt of the system is no utterance.

    Raises:
        InputError: a message of another role, two of one speaker in a row, or an assistant who begins.
    """
    messages = _messages(value)
    if messages is None:
        return None
    turns: list[object] = []
    for position, (role, content) in enumerate(messages):
        who = role.lower() if isinstance(role, str) else ""
        if who in _SKIPPED:
            continue
        if who not in _USER and who not in _AGENT:
            raise InputError(f"message {position} has the role {role!r}; user, assistant or system is expected")
        if (who in _AGENT) != bool(len(turns) % 2):
            name = "the assistant" if who in _AGENT else "the user"
            rule = "turns must alternate" if turns else "the user must speak first"
            raise InputError(f"message {position} is {name}'s{', as the one before it' if turns else ''}; {rule}")
        turns.append(_content(content, position))
    if not turns:
        raise InputError("no message of a user; at least one is expected")
    return turns


def _messages(value: object) -> list[tuple[object, object]] | None:
    if isinstance(value, dict):  # lists side by side, as the `datasets` library writes a list of objects
        for role, content in _ROLE_KEYS:
            roles, contents = value.get(role), value.get(content)
            if isinstance(roles, list) and isinstance(contents, list) and len(roles) == len(contents):
                return list(zip(roles, contents, strict=True))
        return None
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return None
    role, content = next((keys for keys in _ROLE_KEYS if keys[0] in value[0]), _ROLE_KEYS[0])
    for position, message in enumerate(value):
        if not isinstance(message, dict) or role not in message or content not in message:
            raise InputError(f"message {position} has no {role!r} and {content!r}; both are expected")
    return [(message[role], message[content]) for message in value]


def _content(content: object, position: int) -> object:
    """The text of a message, which may be in parts."""
    if not isinstance(content, list):
        return content
    texts = [part.get("text") if isinstance(part, dict) else part for part in content]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise InputError(f"message {position} has parts that are not text; text is expected")
    return "".join(texts)  # type: ignore[arg-type]
