"""Searches that begin together: what the device needs for them, and how they begin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from mime_fast.backends.gpu.model import Dialogues, Understood
from mime_fast.backends.gpu.session import Session
from mime_fast.kernels.plain_sampling import Draws


@dataclass(frozen=True)
class Batch:
    """Dialogues that are encoded together."""

    dialogues: Dialogues
    rows: Tensor  # int64 [m], which of them each of m searches is about


@dataclass(frozen=True)
class Admission:
    """M searches, those of the batches one after the other."""

    batches: tuple[Batch, ...]
    items: Tensor  # int64 [M], what to call their results
    draws: Draws  # only sampling looks at them
    prefixes: Tensor | None  # int32 [M, T] where the session's shape has them


def begin(session: Session, understand: Callable[[Dialogues], Understood], admission: Admission, slots: Tensor) -> None:
    """Encode the dialogues, and begin the searches in these free slots, int64 [M]."""
    first = 0
    for batch in admission.batches:
        last = first + len(batch.rows)
        session.remember(slots[first:last], understand(batch.dialogues), batch.rows)
        first = last
    session.begin(slots, admission.items, admission.prefixes, admission.draws)
