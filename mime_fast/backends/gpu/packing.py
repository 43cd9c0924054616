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
    tensors = [leaf for leaf in leaves(value) if isinstance(leaf, Tensor)]
    packed = torch.empty(_parts(tensors)[-1], dtype=torch.uint8, pin_memory=device.type == "cuda")
    for to, tensor in zip(_views(packed, tensors), tensors, strict=True):
        to.copy_(tensor)
    there = iter(_views(packed.to(device, non_blocking=True), tensors))
    return each(value, lambda _: next(there))


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


def _parts(tensors: Sequence[Tensor]) -> list[int]:
    """Where each of them begins in a packed one, and where that ends."""
    sizes = [-(-x.nbytes // ALIGNED) * ALIGNED for x in tensors]
    return [0, *np.cumsum(sizes, dtype=np.int64).tolist()]


def _views(packed: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The parts of a packed one, of the tensors' types and shapes."""
    starts = zip(_parts(tensors), tensors, strict=False)
    return [packed[start : start + x.nbytes].view(x.dtype).view(x.shape) for start, x in starts]
