"""The rows of EmpatheticDialogues (Rashkin et al. 2019), one an utterance, in whatever file they come."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from mime_fast.data.dialogue_checks import check_encodable
from mime_fast.data.dialogues import is_gap, plain_number, whole_number
from mime_fast.data.json_objects import Several
from mime_fast.emotions import LABELS
from mime_fast.errors import InputError

COLUMNS = ("conv_id", "utterance_idx", "context", "prompt", "speaker_idx", "utterance", "selfeval", "tags")
NEEDED = ("conv_id", "utterance_idx", "context", "prompt", "utterance")
_is_marks = re.compile(r"[\d|_.]*").fullmatch
MARKS = frozenset(("conv_id", "utterance_idx"))  # with one of them, `context` is an emotion


class EdUtterance(NamedTuple):
    """One row."""

    conv_id: str
    number: int  # utterance_idx, from 1; the listener's are even
    emotion: str
    prompt: str
    text: str


def utterance(values: Mapping[str, object], previous: EdUtterance | None) -> EdUtterance:
    """The row after `previous`, with commas in place of `_comma_`.

    Raises:
        InputError: malformed, or not the number that comes next.
    """
    conv_id, emotion = values.get("conv_id"), values.get("context")
    index = values.get("utterance_idx")
    index = plain_number(index) if isinstance(index, float) else index
    if is_gap(conv_id):
        raise InputError("no conv_id; the conversation's is expected")
    if isinstance(conv_id, Several):
        raise InputError(f"conv_id is {conv_id!r:.60}; text or a number is expected")
    conv_id = str(plain_number(conv_id) if isinstance(conv_id, float) else conv_id)
    expected = previous.number + 1 if previous is not None and previous.conv_id == conv_id else 1
    number = whole_number(index) if isinstance(index, str) else index
    if not isinstance(number, int):
        raise InputError(f"utterance_idx {index!r:.60} is not an integer; {expected} is expected")
    if number != expected:
        raise InputError(f"utterance_idx {number} is out of order; {expected} is expected in {conv_id!r:.60}")
    if emotion not in LABELS:
        raise InputError(f"unknown emotion {emotion!r:.60}; one of {', '.join(LABELS)} is expected")
    speaker, marks = values.get("speaker_idx"), values.get("selfeval")
    if isinstance(speaker, str) and not isinstance(whole_number(speaker), int):
        raise _shifted(f"speaker_idx {speaker!r:.60} is not an integer", values)
    if isinstance(marks, str) and not _is_marks(marks):
        raise _shifted(f"selfeval {marks[:40]!r} is not of numbers", values)
    prompt, text = values.get("prompt", ""), values.get("utterance", "")
    if not isinstance(prompt, str) or not isinstance(text, str):
        raise InputError(f"prompt and utterance are {prompt!r:.60} and {text!r:.60}; text is expected")
    for name, value in (("conv_id", conv_id), ("prompt", prompt), ("utterance", text)):
        check_encodable(value, name)
    return EdUtterance(conv_id, number, str(emotion), prompt.replace("_comma_", ","), text.replace("_comma_", ","))


def _shifted(what: str, values: Mapping[str, object]) -> InputError:
    is_quoted = any(isinstance(value, str) and '"' in value for value in values.values())
    hint = "; --quoting csv reads commas in quotes" if is_quoted else ""
    return InputError(f"{what}, so the cells are shifted, by a comma perhaps{hint}")
