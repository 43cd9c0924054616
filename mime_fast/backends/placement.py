"""Where a model runs and in which precision; a choice that cannot run says why."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mime_fast.errors import BackendError, ConfigError
from mime_fast.kernels.select import why_no_device_ops

# What the weights are held in; back ends of fewer bits pack them from float32.
PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.float32,
    "float16": torch.float32,
    "int8": torch.float32,
    "float64": torch.float64,
}
CPU_ONLY = ("int8",)
GPU_ONLY = ("float16",)


@dataclass(frozen=True)
class Placement:
    """A device and a precision, with the reason for the device."""

    device: torch.device
    precision: str
    reason: str

    @property
    def dtype(self) -> torch.dtype:
        """Of the PyTorch model."""
        return PRECISIONS[self.precision]


def place(device: str, precision: str, *, cpu_because: str = "", kernels: bool = False) -> Placement:
    """Choose the device.

    Args:
        device: "auto" (a GPU if one can be used), "cpu", "cuda" or "cuda:N".
        precision: "float32", "bfloat16", "float16", "int8" or "float64".
        cpu_because: why "auto" is the CPU whatever GPUs there are; int8 is such a reason by itself.
        kernels: whether a GPU is of use only where this package's kernels run.

    Raises:
        ConfigError: not one of these; BackendError: a GPU was asked for and cannot be used.
    """
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise ConfigError(f"precision={precision!r}: {', '.join(map(repr, PRECISIONS))} are allowed")
    if not isinstance(device, str) or not (device in ("auto", "cpu", "cuda") or device.startswith("cuda:")):
        raise ConfigError(f"device={device!r}: 'auto', 'cpu', 'cuda' or 'cuda:N' is allowed")
    if precision in GPU_ONLY and (device == "cpu" or cpu_because):
        reason = "device='cpu' was asked for" if device == "cpu" else f"the CPU is taken: {cpu_because}"
        raise BackendError(f"precision={precision!r} runs on a GPU alone; {reason}")
    if device == "cpu":
        return Placement(torch.device("cpu"), precision, "asked for")
    if precision in CPU_ONLY:
        cpu_because = cpu_because or f"{precision} runs there alone"
    if device == "auto" and cpu_because:
        return Placement(torch.device("cpu"), precision, cpu_because)
    missing = _missing_gpu(kernels)
    if device == "auto":
        if missing and precision in GPU_ONLY:
            raise BackendError(f"precision={precision!r} runs on a GPU alone, and none can be used: {missing}")
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


def _missing_gpu(kernels: bool) -> str:
    """Why no GPU can be used, with or without this package's kernels; empty if one can."""
    if torch.version.cuda is None:
        return f"this PyTorch ({torch.__version__}) is built without CUDA"
    if not torch.cuda.is_available():
        return "PyTorch finds no usable NVIDIA GPU or driver"
    return why_no_device_ops() if kernels else ""
