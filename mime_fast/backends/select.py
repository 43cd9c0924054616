"""The one place that chooses a back end; a choice that cannot run says why."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mime_fast.backends.kinds import KINDS, Kind
from mime_fast.backends.placement import Placement, check_device
from mime_fast.backends.threads import MOST_THREADS
from mime_fast.config.checks import check_bool, check_int
from mime_fast.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from mime_fast.backends.protocol import Backend
    from mime_fast.checkpoints.model_folder import ModelWeights

MOST_DIALOGUES = 2**20  # csrc/bindings/native/released.h, kMaxSize
BACKENDS = ("auto", *(kind.name for kind in KINDS))
ELSEWHERE = {  # what other libraries call a precision
    **dict.fromkeys(("fp64", "f64", "double"), "float64"),
    **dict.fromkeys(("fp32", "f32", "float", "full", "single"), "float32"),
    **dict.fromkeys(("fp16", "f16", "half"), "float16"),
    **dict.fromkeys(("bf16", "bfloat"), "bfloat16"),
    **dict.fromkeys(("i8", "8bit", "q8", "int8_float32"), "int8"),
}
# What is promised of each precision.
CONTRACTS = {
    "float32": "the reference's tokens; log-probs of tokens within 1e-4 of its",
    "screened": "float32's tokens in 99.9 % of replies or more, log-probs of tokens within 1e-2; see docs/screening.md",
    "bfloat16": "approximate: most replies equal float32's; see docs/performance.md",
    "float16": "approximate: most replies equal float32's; see docs/gpu.md",
    "int8": "approximate: most replies equal float32's; see docs/performance.md",
    "float64": "the definition that the other precisions are compared with",
}
EXACT_CONTRACT = "float32's tokens in 99.9 % of replies or more, and its log-probs; see docs/screening.md"


@dataclass(frozen=True)
class Wanted:
    """What `load` was asked for.

    Raises:
        ConfigError: a value must not be, or two do not go together;
        BackendError: what no back end here can do.
    """

    device: str = "auto"
    precision: str = "float32"
    threads: int | None = None  # None: `default_threads`
    batch_size: int | None = None  # None: the back end's own
    backend: str = "auto"
    isa: str = "auto"
    cuda_graphs: bool = True
    exact_logprobs: bool = False

    def __post_init__(self) -> None:
        if self.threads is not None:
            check_int("threads", self.threads, 1, MOST_THREADS)
            object.__setattr__(self, "threads", int(self.threads))
        if self.batch_size is not None:
            check_int("batch_size", self.batch_size, 1, MOST_DIALOGUES)
            object.__setattr__(self, "batch_size", int(self.batch_size))
        for name, value, known in (("backend", self.backend, BACKENDS), ("precision", self.precision, CONTRACTS)):
            if not isinstance(value, str) or value not in known:
                near = ELSEWHERE.get(value) if isinstance(value, str) and name == "precision" else None
                hint = f" (did you mean {near!r}?)" if near else ""
                raise ConfigError(f"{name}={value!r}: must be {', '.join(map(repr, known))}{hint}")
        if not isinstance(self.isa, str):
            raise ConfigError(f"isa={self.isa!r}: must be 'auto' or the name of an instruction set")
        check_bool("cuda_graphs", self.cuda_graphs)
        check_bool("exact_logprobs", self.exact_logprobs)
        check_device(self.device)
        for kind in KINDS:
            if kind.name == self.backend and self.isa != "auto" and not kind.has_isas:
                raise ConfigError(f"isa={self.isa!r} with backend={self.backend!r}: only the native back end has it")
        find_kind(self, "mime")

    @property
    def named(self) -> str:
        """The options that narrow the choice."""
        plain = {"device": "auto", "precision": "float32", "backend": "auto", "isa": "auto"}
        return ", ".join(f"{name}={value!r}" for name in plain if (value := getattr(self, name)) != plain[name])


@dataclass(frozen=True)
class Choice:
    """The back end that runs, and why this one."""

    backend: Backend
    placement: Placement
    reason: str
    batch_size: int
    threads: int  # of the CPU


def choose(weights: ModelWeights, wanted: Wanted) -> Choice:
    """Make the back end that runs a model; PyTorch's model is moved to the device and precision of one that needs it.

    Raises:
        BackendError: what was asked for by name cannot run.
    """
    model_type = weights.config.model_type
    kind, others = find_kind(wanted, model_type)
    placement = _place(kind, wanted, model_type, others)
    reason = _reason(kind, wanted, others)
    backend = kind.make(weights, placement, wanted, reason)
    if remark := backend.describe().get("remark"):
        warnings.warn(str(remark), UserWarning, stacklevel=3)
    return Choice(backend, placement, reason, wanted.batch_size or kind.batch_size, kind.threads(wanted))


def torch_device(device: str) -> str:
    """Where plain PyTorch runs, for training; ConfigError or BackendError as for `load`."""
    wanted = Wanted(device, backend="reference")
    return find_kind(wanted, "mime")[0].device(wanted, "mime")


def find_kind(wanted: Wanted, model_type: str) -> tuple[Kind, dict[str, str]]:
    """The first back end that can run, and why those before it cannot.

    Raises:
        BackendError: none can.
    """
    misfits: dict[str, str] = {}
    lacking: dict[str, str] = {}
    for kind in KINDS:
        if wanted.backend not in ("auto", kind.name):
            continue
        if reason := kind.misfit(wanted, model_type):
            misfits[kind.name] = reason
        elif reason := kind.lacks(wanted):
            lacking[kind.name] = reason
        else:
            return kind, misfits | lacking
    reasons = lacking or misfits
    each = reasons.values() if len(set(reasons.values())) == 1 else [f"{name}: {why}" for name, why in reasons.items()]
    what = f"{wanted.named} cannot run" if wanted.named else "no back end can run"
    raise BackendError(f"{what}: {'; '.join(dict.fromkeys(each))}")


def _place(kind: Kind, wanted: Wanted, model_type: str, others: dict[str, str]) -> Placement:
    device = kind.device(wanted, model_type)
    if wanted.device != "auto":
        reason = "asked for"
    elif device != "cpu":
        reason = "a GPU can be used"
    else:
        gpu = KINDS[0]
        reason = others.get(gpu.name) or f"the {kind.name} back end was asked for"
    return Placement(device, wanted.precision, reason)


def _reason(kind: Kind, wanted: Wanted, others: dict[str, str]) -> str:
    """Why this back end. That it is the slow one for want of the extension is not only told to those who ask."""
    if wanted.backend == kind.name:
        return "asked for"
    if kind is not KINDS[-1] or "native" not in others:
        return "the fastest that can run here"
    reason = others["native"]
    if "mime_fast._native" in reason:
        warnings.warn(f"{reason}. The reference in PyTorch runs, many times slower", RuntimeWarning, stacklevel=4)
    return reason
