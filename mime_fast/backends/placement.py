"""The device that a model runs on, and what a GPU lacks here. PyTorch is imported only where a GPU may be used."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mime_fast.errors import BackendError, ConfigError
from mime_fast.extras import missing

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Placement:
    """A device as PyTorch calls it ("cpu", "cuda", "cuda:1") and a precision, with the reason for the device."""

    device: str
    precision: str
    reason: str

    @property
    def dtype(self) -> torch.dtype:
        """Of the PyTorch model; back ends of fewer bits pack float32."""
        import torch

        return torch.float64 if self.precision == "float64" else torch.float32


def check_device(device: object) -> None:
    """ConfigError unless it is the name of a device."""
    if not isinstance(device, str) or not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", device):
        hint = " (did you mean 'cuda'?)" if isinstance(device, str) and device.lower() in ("gpu", "nvidia") else ""
        raise ConfigError(f"device={device!r}: must be 'auto', 'cpu', 'cuda' or 'cuda:N'{hint}")


def check_gpu(device: str) -> None:
    """BackendError where this machine has no such GPU; `why_no_gpu` is empty."""
    import torch

    count, (_, _, index) = torch.cuda.device_count(), device.partition(":")
    if int(index or 0) >= count:
        raise BackendError(f"device={device!r} cannot run: this machine has {count} GPU{'s' * (count != 1)}")


def why_no_gpu() -> str:
    """Why PyTorch can use no GPU here; empty if it can."""
    if reason := missing("torch") or _why_no_driver():
        return reason
    import torch

    if torch.version.cuda is None:
        return f"this PyTorch ({torch.__version__}) is built without CUDA"
    return "" if torch.cuda.is_available() else "PyTorch finds no usable NVIDIA GPU or driver"


def _why_no_driver() -> str:
    """Asked first: it takes no second and no import of PyTorch to know that there is none."""
    import ctypes

    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "there is no NVIDIA driver (libcuda.so.1)"
    return ""
