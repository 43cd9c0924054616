"""Where a model runs and in which precision; a choice that cannot run says why."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mime_fast.errors import BackendError, ConfigError

PRECISIONS = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Placement:
    """A device and a precision, with the reason for the device."""

    device: torch.device
    precision: str
    reason: str

    @property
    def dtype(self) -> torch.dtype:
        return PRECISIONS[self.precision]


def place(device: str, precision: str) -> Placement:
    """Choose the device.

    Args:
        device: "auto" (a GPU if one can be used), "cpu", "cuda" or "cuda:N".
        precision: "float32" or "float64".

    Raises:
        ConfigError: not one of these; BackendError: a GPU was asked for and cannot be used.
    """
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise ConfigError(f"precision={precision!r}: {' or '.join(map(repr, PRECISIONS))} is allowed")
    if not isinstance(device, str) or not (device in ("auto", "cpu", "cuda") or device.startswith("cuda:")):
        raise ConfigError(f"device={device!r}: 'auto', 'cpu', 'cuda' or 'cuda:N' is allowed")
    if device == "cpu":
        return Placement(torch.device("cpu"), precision, "asked for")
    missing = _missing_gpu()
    if device == "auto":
        return Placement(torch.device("cpu" if missing else "cuda"), precision, missing or "a GPU can be used")
    if missing:
        raise BackendError(f"device={device!r} cannot run: {missing}")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"device={device!r}: 'auto', 'cpu', 'cuda' or 'cuda:N' is allowed") from None
    if (chosen.index or 0) >= torch.cuda.device_count():
        raise BackendError(f"device={device!r} cannot run: this machine has {torch.cuda.device_count()} GPUs")
    return Placement(chosen, precision, "asked for")


def _missing_gpu() -> str:
    """Why no GPU can be used; empty if one can."""
    if torch.version.cuda is None:
        return f"this PyTorch ({torch.__version__}) is built without CUDA"
    if not torch.cuda.is_available():
        return "PyTorch finds no usable NVIDIA GPU or driver"
    return ""
