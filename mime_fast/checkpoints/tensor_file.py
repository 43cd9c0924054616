"""A safetensors file as NumPy arrays: mapped, and converted to float32 when they are asked for, one by one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from mime_fast.checkpoints.shapes import Found, Shape
from mime_fast.errors import CheckpointError

Floats = npt.NDArray[np.float32]

# NumPy has no bfloat16, the upper half of a float32.
DTYPES = {name: np.dtype(code) for name, code in (("F16", "<f2"), ("BF16", "<u2"), ("F32", "<f4"), ("F64", "<f8"))}
WRITTEN = ("float16", "bfloat16", "float32", "float64")  # the same as NumPy and PyTorch call them
NAMES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "BOOL": "bool"}


@dataclass(frozen=True)
class Place:
    """Where a tensor's values lie."""

    dtype: str  # as safetensors calls it
    shape: Shape
    offset: int  # of the file's bytes


class TensorFile(Mapping[str, Floats]):
    """The tensors of a file by name, each a new float32 array [its shape]; nothing of them is kept.

    Attributes:
        metadata: texts by name, as the file's writer put them there.

    Raises:
        CheckpointError: not a safetensors file, or cut short; when a tensor is read: the file has changed since.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with safe_open(path, framework="np"):  # which checks all of the header
                pass
            with path.open("rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(size))
                self._version = _version(file.fileno())
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from None
        self.places = {
            name: Place(entry["dtype"], tuple(entry["shape"]), 8 + size + entry["data_offsets"][0])
            for name, entry in header.items()
            if name != "__metadata__"
        }
        self.metadata: Mapping[str, str] = header.get("__metadata__") or {}

    def __getitem__(self, name: str) -> Floats:
        values = self._mapped(name)
        if self.places[name].dtype == "BF16":
            return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
        with np.errstate(over="ignore"):  # beyond float32: `found` counts them
            return np.array(values, np.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def found(self) -> dict[str, Found]:
        """What `check_tensors` compares."""
        return {
            name: Found(
                place.shape,
                NAMES.get(place.dtype, place.dtype.lower().replace("i", "int").replace("u", "uint")),
                place.dtype in DTYPES,
                partial(self._count_unusable, name),
            )
            for name, place in self.places.items()
        }

    def _mapped(self, name: str) -> npt.NDArray[Any]:
        """The stored values; the map lasts as long as the array."""
        place = self.places[name]
        if 0 in place.shape:
            return np.zeros(place.shape, DTYPES[place.dtype])
        try:
            with self.path.open("rb") as file:
                if _version(file.fileno()) != self._version:
                    raise CheckpointError(f"{self.path}: has changed since it was loaded; load the model again")
                values: npt.NDArray[Any] = np.memmap(file, DTYPES[place.dtype], "r", place.offset, place.shape)
                return values
        except OSError as error:
            raise CheckpointError(f"{self.path}: cannot be read any more ({error.strerror or error})") from None

    def _count_unusable(self, name: str) -> int:
        if self.places[name].dtype == "F16":  # all of a float16's exponent bits
            bits = self._mapped(name).view(np.uint16)
            return int(np.count_nonzero((bits & np.uint16(0x7C00)) == 0x7C00))
        return int(np.count_nonzero(~np.isfinite(self[name])))


def _version(file: int) -> tuple[int, ...]:
    """What changes where a file is written or replaced."""
    status = os.fstat(file)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
