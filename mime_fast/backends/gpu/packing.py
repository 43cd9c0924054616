"""Dataclasses of tensors that travel together: one copy to the device, one copy back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

ALIGNED = 16  # bytes; Triton compiles a kernel anew for pointers that they do not divide
T = TypeVar("T")


def leaves(value: Any) -> list[Any]:
    """The values of a dataclass's fields, those of dataclasses and tuples among them in their place."""
    if isinstance(value, tuple):
        return [leaf for one in value for leaf in leaves(one)]
    if not is_dataclass(value):
        return [value]
    return [leaf for field in fields(value) for leaf in leaves(getattr(value, field.name))]


def each(value: T, change: Callable[[Tensor], Tensor]) -> T:
    """The same with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)  # type: ignore[return-value]
    if isinstance(value, tuple):
        return tuple(each(one, change) for one in value)  # type: ignore[return-value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    return type(value)(*(each(getattr(value, field.name), change) for field in fields(value)))


def to_device(value: T, device: torch.device) -> T:
    """Its tensors, which are on the host, as parts of one on the device, without waiting."""
    return unpacked(pack(value, device).to(device, non_blocking=True), value)


def pack(value: Any, device: torch.device) -> Tensor:
    """The bytes of its tensors, which are on the host, on their way to a device: uint8, pinned if that is a GPU."""
    tensors = _tensors(value)
    packed = torch.empty(_parts(tensors)[-1], dtype=torch.uint8, pin_memory=device.type == "cuda")
    for to, tensor in zip(_views(packed, tensors), tensors, strict=True):
        to.copy_(tensor)
    return packed


def unpacked(packed: Tensor, like: T) -> T:
    """A value of these types and shapes whose tensors are parts of a packed one."""
    parts = iter(_views(packed, _tensors(like)))
    return each(like, lambda _: next(parts))


def to_host(tensors: Sequence[Tensor]) -> list[npt.NDArray[Any]]:
    """Arrays of them, which are on one device, with one wait for all."""
    packed = together(tensors)
    if packed.is_cuda:
        pinned = torch.empty(packed.shape, dtype=packed.dtype, pin_memory=True)
        pinned.copy_(packed, non_blocking=True)
        torch.cuda.current_stream().synchronize()
        packed = pinned
    return apart(packed, tensors)


def together(tensors: Sequence[Tensor]) -> Tensor:
    """Their bytes one after the other, by one operation, uint8."""
    return torch.cat([x.reshape(-1).view(torch.uint8) for x in tensors])


def apart(packed: Tensor, tensors: Sequence[Tensor]) -> list[npt.NDArray[Any]]:
    """Arrays of what `together` made of such tensors, on the host; they are copies: pinned memory is scarce."""
    found, start = [], 0
    for x in tensors:
        dtype = torch.empty(0, dtype=x.dtype).numpy().dtype
        flat = np.frombuffer(packed.numpy(), dtype, x.numel(), start) if x.numel() else np.zeros(0, dtype)
        found.append(flat.reshape(x.shape).copy())
        start += x.nbytes
    return found


class Arrival:
    """Room on the host for a tensor that is on its way to it, again and again."""

    def __init__(self, like: Tensor) -> None:
        self._value = torch.empty(like.shape, dtype=like.dtype, pin_memory=like.is_cuda)
        self._arrived = torch.cuda.Event() if like.is_cuda else None

    def send(self, tensor: Tensor) -> None:
        """Without waiting."""
        self._value.copy_(tensor, non_blocking=True)
        if self._arrived is not None:
            self._arrived.record()

    def wait(self) -> Tensor:
        """What was sent last; it is there until the next is sent."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._value


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in leaves(value) if isinstance(leaf, Tensor)]


def _parts(tensors: Sequence[Tensor]) -> list[int]:
    """Where each of them begins in a packed one, and where that ends."""
    sizes = [-(-x.nbytes // ALIGNED) * ALIGNED for x in tensors]
    return [0, *np.cumsum(sizes, dtype=np.int64).tolist()]


def _views(packed: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The parts of a packed one, of the tensors' types and shapes."""
    starts = zip(_parts(tensors), tensors, strict=False)
    return [packed[start : start + x.nbytes].view(x.dtype).view(x.shape) for start, x in starts]
