"""The one place that chooses a back end; a choice that cannot run says why."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from numbers import Integral

import torch

from mime_fast.backends.gpu.backend import CudaBackend
from mime_fast.backends.gpu.session import GraphCapture
from mime_fast.backends.placement import Placement, place
from mime_fast.backends.protocol import Backend
from mime_fast.backends.reference import ReferenceBackend
from mime_fast.config.checks import check_int
from mime_fast.errors import BackendError, ConfigError
from mime_fast.kernels.select import device_ops
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.mime import Mime

BACKENDS = ("auto", "native", "cuda", "reference")
ISAS = ("auto", "generic", "avx2", "avx512", "avx512_vnni", "avx512_bf16")
BATCH_SIZE, CUDA_BATCH_SIZE = 64, 1024
NATIVE_PRECISIONS = ("float32", "bfloat16", "int8")
MIME_ALONE = "the GPU back end runs MIME alone"
CUDA_PRECISIONS = ("float32", "bfloat16", "float16")
REFERENCE_PRECISIONS = ("float32", "float64")
CONTRACTS = {
    "float32": "the reference's tokens; scores within 1e-4 of it",
    "bfloat16": "approximate: most replies equal float32's; see docs/performance.md",
    "float16": "approximate: most replies equal float32's; see docs/gpu.md",
    "int8": "approximate: most replies equal float32's; see docs/performance.md",
    "float64": "the definition that the other precisions are held against",
}


@dataclass(frozen=True)
class Wanted:
    """What `load` was asked for.

    Raises:
        ConfigError: a value is not allowed, or two do not go together; BackendError: what no back end here can do.
    """

    device: str = "auto"
    precision: str = "float32"
    threads: int | None = None
    batch_size: int | None = None  # 64, or 1024 on a GPU
    backend: str = "auto"
    isa: str = "auto"

    def __post_init__(self) -> None:
        threads = self.threads
        if threads is not None and (not isinstance(threads, Integral) or isinstance(threads, bool) or threads < 1):
            raise ConfigError(f"threads={threads!r}: None or an integer of 1 or more is allowed")
        if self.batch_size is not None:
            check_int("batch_size", self.batch_size, 1)
        for name, value, allowed in (("backend", self.backend, BACKENDS), ("isa", self.isa, ISAS)):
            if not isinstance(value, str) or value not in allowed:
                raise ConfigError(f"{name}={value!r}: {', '.join(map(repr, allowed))} are allowed")
        if self.backend == "reference" and self.isa != "auto":
            raise ConfigError(f"isa={self.isa!r} with backend='reference': only the native back end has it")
        placement = self.place()
        if self.backend == "cuda" and placement.device.type == "cpu":
            raise BackendError(f"backend='cuda' cannot run on the CPU ({placement.reason})")
        if self.backend == "cuda" and (self.precision == "float64" or self.isa != "auto"):
            raise BackendError(f"backend='cuda' with precision={self.precision!r}, isa={self.isa!r} cannot run")
        if self.backend == "reference" and self.precision not in REFERENCE_PRECISIONS:
            able = (("native", NATIVE_PRECISIONS), ("cuda", CUDA_PRECISIONS))
            names = " or the ".join(name for name, precisions in able if self.precision in precisions)
            raise BackendError(f"backend='reference' cannot run: {self.precision} is for the {names} back end alone")

    def place(self, *, mime: bool = True) -> Placement:
        """The device and the precision; what only the native back end can do is not for a GPU, nor is a baseline."""
        native = self.backend == "native" or self.isa != "auto"
        because = "the native back end runs there alone" if native else "" if mime else MIME_ALONE
        kernels = self.backend != "reference" and self.precision != "float64"
        return place(self.device, self.precision, cpu_because=because, kernels=kernels)


@dataclass(frozen=True)
class Choice:
    """The back end that runs, and why this one."""

    backend: Backend
    placement: Placement
    reason: str
    batch_size: int
    threads: int | None  # None: what PyTorch chooses


def choose(model: DialogueModel, wanted: Wanted) -> Choice:
    """Move the model to its device and precision, and make the back end that runs it.

    Raises:
        BackendError: what was asked for by name cannot run.
    """
    placement = wanted.place(mime=isinstance(model, Mime))
    model = model.to(device=placement.device, dtype=placement.dtype).eval()
    if isinstance(model, Mime) and (wanted.backend == "cuda" or (wanted.backend == "auto" and _is_for_cuda(placement))):
        return _on_a_gpu(model, placement, wanted)
    if wanted.backend == "cuda":
        raise BackendError(f"backend='cuda' cannot run a model of type {model.config.model_type!r}: {MIME_ALONE}")
    batch_size = wanted.batch_size or BATCH_SIZE
    why_not = _why_not_native(model, placement, wanted.isa)
    if wanted.backend == "reference" or (why_not and _may_fall_back(wanted)):
        reason = "asked for" if wanted.backend == "reference" else why_not
        backend: Backend = ReferenceBackend(model, placement, batch_size, wanted.threads, reason)
        return Choice(backend, placement, reason, batch_size, wanted.threads)
    if why_not:
        plain = Wanted()
        values = ((name, getattr(wanted, name)) for name in ("backend", "precision", "isa"))
        needs = [f"{name}={value!r}" for name, value in values if value != getattr(plain, name)]
        raise BackendError(f"{', '.join(needs)}: the native back end cannot run: {why_not}")
    threads = wanted.threads or available_cores()
    native = import_module("mime_fast.backends.native")
    backend = native.NativeBackend(model, placement.precision, batch_size, threads, wanted.isa)
    reason = "asked for" if wanted.backend == "native" else "the fastest that can run here"
    return Choice(backend, placement, reason, batch_size, threads)


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _is_for_cuda(placement: Placement) -> bool:
    return placement.device.type == "cuda" and placement.precision in CUDA_PRECISIONS


def _on_a_gpu(model: Mime, placement: Placement, wanted: Wanted) -> Choice:
    batch_size = wanted.batch_size or CUDA_BATCH_SIZE
    dtype: torch.dtype = getattr(torch, placement.precision)
    backend = CudaBackend(model, dtype, batch_size, device_ops(), GraphCapture)
    reason = "asked for" if wanted.backend == "cuda" else "the fastest that can run here"
    return Choice(backend, placement, reason, batch_size, wanted.threads)


def _may_fall_back(wanted: Wanted) -> bool:
    return wanted.backend == "auto" and wanted.isa == "auto" and wanted.precision in REFERENCE_PRECISIONS


def _why_not_native(model: DialogueModel, placement: Placement, isa: str) -> str:
    """Empty if the native back end can run."""
    if placement.device.type != "cpu":
        return f"the native back end runs on the CPU, not on {placement.device}"
    if placement.precision == "float64":
        return "float64 is for the reference alone"
    try:
        native = import_module("mime_fast.backends.native")
    except ImportError as error:
        return f"the native back end cannot be imported ({error})"
    why_not: str = native.why_not(model, placement, isa)
    return why_not
