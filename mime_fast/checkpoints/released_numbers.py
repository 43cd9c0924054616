"""Numbers beside a checkpoint's weights: Python's, a tensor's, or NumPy's, which is read without calling NumPy."""

from __future__ import annotations

import math
import struct
from typing import Self

import mime_fast.needs_torch

from torch import Tensor

from mime_fast.checkpoints.released_vocabulary import Inert

FORMATS = {"f2": "e", "f4": "f", "f8": "d", "i4": "i", "i8": "q"}  # of `struct`, by NumPy's names


class NumpyType(Inert):
    """Stands for a `numpy.dtype`."""

    name: object = None
    order: object = None

    def __new__(cls, *args: object, **named: object) -> Self:
        made = super().__new__(cls)
        made.name = args[0] if args else None
        return made

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) > 1:
            self.order = state[1]


class NumpyNumber(Inert):
    """Stands for one of NumPy's numbers: its type and its bytes."""

    parts: tuple[object, ...] = ()

    def __new__(cls, *args: object, **named: object) -> Self:
        made = super().__new__(cls)
        made.parts = args
        return made

    def value(self) -> float | int | None:
        """None for other types than those of FORMATS."""
        if len(self.parts) != 2:
            return None
        kind, data = self.parts
        if not isinstance(kind, NumpyType) or kind.order not in ("<", ">") or not isinstance(data, bytes):
            return None
        code = FORMATS.get(kind.name) if isinstance(kind.name, str) else None
        if code is None or struct.calcsize(f"={code}") != len(data):
            return None
        found: float | int = struct.unpack(f"{kind.order}{code}", data)[0]
        return found


NUMPY = (
    (NumpyNumber, "numpy.core.multiarray.scalar"),
    (NumpyNumber, "numpy._core.multiarray.scalar"),
    (NumpyType, "numpy.dtype"),
)


def finite_number(value: object) -> float | int | None:
    """A number of JSON's; None for anything else, NaN and infinity included."""
    if isinstance(value, NumpyNumber):
        value = value.value()
    elif isinstance(value, Tensor):
        value = value.item() if value.numel() == 1 and value.device.type == "cpu" else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if isinstance(value, int) or math.isfinite(value) else None
