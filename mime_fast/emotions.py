"""The 32 emotions of EmpatheticDialogues and their two groups (Table 1 of the paper).

`LABELS` is the order of the classifier's logits. `POSITIVE` and `NEGATIVE` are the orders of the mixture weights d_pos
and d_neg (eq. 9): the order in which the released code lists them, which is what the rows of a released checkpoint's
FC_d layers mean.
"""

from __future__ import annotations

from numbers import Integral
from typing import Literal

from mime_fast.errors import InputError

Polarity = Literal["positive", "negative"]

LABELS: tuple[str, ...] = (
    "surprised",
    "excited",
    "annoyed",
    "proud",
    "angry",
    "sad",
    "grateful",
    "lonely",
    "impressed",
    "afraid",
    "disgusted",
    "confident",
    "terrified",
    "hopeful",
    "anxious",
    "disappointed",
    "joyful",
    "prepared",
    "guilty",
    "furious",
    "nostalgic",
    "jealous",
    "anticipating",
    "embarrassed",
    "content",
    "devastated",
    "sentimental",
    "caring",
    "trusting",
    "ashamed",
    "apprehensive",
    "faithful",
)

EMOTIONS = LABELS  # the public name

POSITIVE: tuple[str, ...] = (
    "confident",
    "joyful",
    "grateful",
    "impressed",
    "proud",
    "excited",
    "trusting",
    "hopeful",
    "faithful",
    "prepared",
    "content",
    "surprised",
    "caring",
)

NEGATIVE: tuple[str, ...] = (
    "afraid",
    "angry",
    "annoyed",
    "anxious",
    "apprehensive",
    "ashamed",
    "devastated",
    "disappointed",
    "disgusted",
    "embarrassed",
    "furious",
    "guilty",
    "jealous",
    "lonely",
    "nostalgic",
    "sad",
    "sentimental",
    "terrified",
    "anticipating",
)

INDEX: dict[str, int] = {label: index for index, label in enumerate(LABELS)}
POSITIVE_IDS: tuple[int, ...] = tuple(INDEX[label] for label in POSITIVE)
NEGATIVE_IDS: tuple[int, ...] = tuple(INDEX[label] for label in NEGATIVE)


def polarity(index: int) -> Polarity:
    """Group of an emotion index (0 to 31)."""
    return "positive" if index in POSITIVE_IDS else "negative"


def emotion_index(emotion: object) -> int:
    """Index of an emotion given by name or by index.

    Raises:
        InputError: not one of the 32 names, nor an integer from 0 to 31.
    """
    if isinstance(emotion, str) and emotion.strip().lower() in INDEX:
        return INDEX[emotion.strip().lower()]
    if isinstance(emotion, Integral) and not isinstance(emotion, bool) and 0 <= int(emotion) < len(LABELS):
        return int(emotion)
    allowed = f"an index from 0 to {len(LABELS) - 1} or one of {', '.join(LABELS)}"
    raise InputError(f"unknown emotion {emotion!r}; must be {allowed}")
