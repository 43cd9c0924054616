"""What each back end says of itself: what it can do, why it cannot run something, and how it is made.

Nothing heavy is imported before a back end is asked. A new one is a class here, and a line in `KINDS`.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mime_fast.backends.placement import Placement, check_gpu, why_no_gpu
from mime_fast.backends.threads import default_threads
from mime_fast.errors import ConfigError
from mime_fast.extras import missing

if TYPE_CHECKING:
    from mime_fast.backends.protocol import Backend
    from mime_fast.backends.select import Wanted
    from mime_fast.checkpoints.model_folder import ModelWeights


_PACKAGE = Path(__file__).resolve().parent.parent


class Kind(ABC):
    """A back end before there is a model."""

    name: ClassVar[str]  # as `load` calls it
    about: ClassVar[str]  # what it is, for help
    precisions: ClassVar[tuple[str, ...]]
    batch_size: ClassVar[int]  # by default: dialogues that one thread or GPU decodes together
    has_isas: ClassVar[bool] = False  # whether it runs in one of several instruction sets

    def misfit(self, wanted: Wanted, model_type: str) -> str:
        """Why it can nowhere run what is wanted with a model of this type; empty if it can."""
        if wanted.precision not in self.precisions:
            able = " or the ".join(kind.name for kind in KINDS if wanted.precision in kind.precisions)
            return f"{wanted.precision} is only for the {able} back end"
        if wanted.isa != "auto" and not self.has_isas:
            return "only the native back end has instruction sets (isa=)"
        return ""

    @abstractmethod
    def lacks(self, wanted: Wanted) -> str:
        """What is missing on this machine; empty if nothing is."""

    def device(self, wanted: Wanted, model_type: str) -> str:
        """Where it runs, as PyTorch calls it."""
        return "cpu"

    def threads(self, wanted: Wanted) -> int:
        """CPU threads that its calls use."""
        return wanted.threads or default_threads()

    @abstractmethod
    def make(self, weights: ModelWeights, placement: Placement, wanted: Wanted, reason: str) -> Backend:
        """Ready to run."""


class Cuda(Kind):
    """Triton and CUDA C++ on an NVIDIA GPU."""

    name = "cuda"
    about = "GPU"
    precisions = ("float32", "bfloat16", "float16")
    batch_size = 1024

    def misfit(self, wanted: Wanted, model_type: str) -> str:
        if wanted.device == "cpu":
            return "it runs on a GPU, and device='cpu' was asked for"
        if model_type != "mime":
            return f"it runs only MIME, not a model of type {model_type!r}"
        return super().misfit(wanted, model_type)

    def lacks(self, wanted: Wanted) -> str:
        if reason := why_no_gpu():
            return reason
        from mime_fast.kernels.select import why_no_device_ops

        return why_no_device_ops("cuda" if wanted.device == "auto" else wanted.device)

    def device(self, wanted: Wanted, model_type: str) -> str:
        device = "cuda" if wanted.device == "auto" else wanted.device
        check_gpu(device)
        return device

    def make(self, weights: ModelWeights, placement: Placement, wanted: Wanted, reason: str) -> Backend:
        import torch

        from mime_fast.backends.gpu.backend import CudaBackend
        from mime_fast.backends.gpu.graphs import Graphs
        from mime_fast.kernels.select import device_ops
        from mime_fast.reference.mime import Mime

        model = weights.model.to(device=placement.device, dtype=placement.dtype)
        assert isinstance(model, Mime)
        dtype: torch.dtype = getattr(torch, placement.precision)
        graphs = Graphs("" if wanted.cuda_graphs else "asked for")
        return CudaBackend(model, dtype, wanted.batch_size or self.batch_size, device_ops(), graphs)


class Native(Kind):
    """C++ on the CPU: `mime_fast._native`."""

    name = "native"
    about = "C++ on the CPU"
    precisions = ("float32", "screened", "bfloat16", "int8")
    batch_size = 64
    has_isas = True

    def misfit(self, wanted: Wanted, model_type: str) -> str:
        if wanted.device not in ("auto", "cpu"):
            return f"it runs on the CPU, not on {wanted.device}"
        return super().misfit(wanted, model_type)

    def lacks(self, wanted: Wanted) -> str:
        if reason := self.why_no_extension():
            return reason
        if wanted.isa == "auto":
            return ""
        native: Any = import_module("mime_fast._native")
        if wanted.isa not in native.isas:
            raise ConfigError(f"isa={wanted.isa!r}: must be {', '.join(map(repr, ('auto', *native.isas)))}")
        return str(native.why_not(wanted.isa))

    @staticmethod
    def why_no_extension() -> str:
        """Why `mime_fast._native` cannot be imported, or is of another version, with the cure; empty if it can run."""
        try:
            native: Any = import_module("mime_fast._native")
        except ImportError as error:
            return f"the extension mime_fast._native cannot be imported ({error}); {_cure()}"
        if _is_stale(native):
            cure = _cure("build it again")
            return f"the extension mime_fast._native was built for another version of mime_fast; {cure}"
        return ""

    def make(self, weights: ModelWeights, placement: Placement, wanted: Wanted, reason: str) -> Backend:
        from mime_fast.backends.native import NativeBackend

        batch_size = wanted.batch_size or self.batch_size
        return NativeBackend(
            weights, placement.precision, batch_size, self.threads(wanted), wanted.isa, wanted.exact_logprobs
        )


class Reference(Kind):
    """The definition in PyTorch, on any of its devices."""

    name = "reference"
    about = "PyTorch"
    precisions = ("float32", "float64")
    batch_size = 64

    def lacks(self, wanted: Wanted) -> str:
        if reason := missing("torch"):
            return reason
        return why_no_gpu() if wanted.device.startswith("cuda") else ""

    def device(self, wanted: Wanted, model_type: str) -> str:
        if wanted.device.startswith("cuda"):
            check_gpu(wanted.device)
            return wanted.device
        # Baselines stay together on the CPU, where the native back end runs them.
        return "cuda" if wanted.device == "auto" and model_type == "mime" and not why_no_gpu() else "cpu"

    def threads(self, wanted: Wanted) -> int:
        import torch

        return wanted.threads or min(default_threads(), torch.get_num_threads())

    def make(self, weights: ModelWeights, placement: Placement, wanted: Wanted, reason: str) -> Backend:
        from mime_fast.backends.reference import ReferenceBackend

        batch_size = wanted.batch_size or self.batch_size
        return ReferenceBackend(weights, placement, batch_size, self.threads(wanted), reason)


def _is_stale(native: Any) -> bool:
    """Whether the extension was built with another stub than the one that is here."""
    stub = _PACKAGE / "_native.pyi"
    if not stub.is_file():  # whoever leaves stubs out has packed the rest together
        return False
    return bool(getattr(native, "interface", "") != hashlib.sha256(stub.read_bytes()).hexdigest())


def _cure(build: str = "build it") -> str:
    """What to do where there is no extension that fits."""
    if (_PACKAGE.parent / "setup.py").is_file():
        return f"{_PACKAGE} is a source tree: leave it, or {build} (make build, or pip install -e . once more)"
    return "install a wheel that fits this Python and this machine, or build one (pip install --no-binary)"


KINDS: tuple[Kind, ...] = (Cuda(), Native(), Reference())  # the fastest first
