"""The one place that chooses between the kernels and their plain twins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from mime_fast.extras import installed
from mime_fast.kernels import beam_step_plain, plain
from mime_fast.kernels.beam_state import BeamState, addresses
from mime_fast.kernels.sorted_topk import sorted_topk

MAX_TOPK = 32  # candidates of a row that the kernel of vocab_topk can keep
KERNELS = (
    "decoder_step",
    "encoder",
    "gate_fusion",
    "response_emotion",
    "sample_tokens",
    "vocab_logits",
    "vocab_score",
    "vocab_topk",
)


class BeamStep(Protocol):
    """The beam step of one state."""

    def __call__(self, slots: int, log_probs: Tensor, ids: Tensor, values: Tensor) -> None:
        """As `beam_step_plain.beam_step`."""


@dataclass(frozen=True)
class Ops:
    """What runs each op. Signatures and contracts: `mime_fast.kernels.plain` and `beam_step_plain`."""

    decoder_step: Callable[..., Tensor]
    encoder: Callable[..., tuple[Tensor, Tensor]]
    gate_fusion: Callable[..., tuple[Tensor, Tensor]]
    response_emotion: Callable[..., tuple[Tensor, Tensor, Tensor]]
    sample_tokens: Callable[..., tuple[Tensor, Tensor]]
    vocab_logits: Callable[..., Tensor]
    vocab_score: Callable[..., Tensor]
    vocab_topk: Callable[..., tuple[Tensor, Tensor, Tensor]]
    beam_step: Callable[[BeamState], BeamStep]
    choices: dict[str, tuple[str, str]]  # of each op, what runs it and why
    score_rows: int  # that `vocab_score` takes at once without much memory


def plain_ops(reason: str) -> Ops:
    """The twins, which run anywhere."""
    return Ops(
        plain.decoder_step,
        plain.encoder,
        plain.gate_fusion,
        plain.response_emotion,
        plain.sample_tokens,
        plain.vocab_logits,
        plain.vocab_score,
        plain.vocab_topk,
        plain_beam_step,
        {op: ("plain", reason) for op in (*KERNELS, "beam_step")},
        score_rows=2048,
    )


def device_ops() -> Ops:
    """Triton and CUDA C++; `why_no_device_ops` is empty."""
    found = {name: getattr(import_module(f"mime_fast.kernels.{name}"), name) for name in KERNELS}
    choices = {name: ("triton", "a GPU can be used") for name in KERNELS} | {"beam_step": ("cuda", "CUDA C++")}
    return Ops(**found, beam_step=device_beam_step, choices=choices, score_rows=1 << 18)


def topk_of(ops: Ops, k: int) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """What finds k candidates of a row."""
    return ops.vocab_topk if k <= MAX_TOPK else partial(sorted_topk, vocab_logits=ops.vocab_logits)


def why_no_device_ops(device: str = "cuda") -> str:
    """What the kernels lack on a device that is there; empty if nothing."""
    reasons = []
    if not installed("triton"):
        reasons.append("triton is not installed")
    if why := _missing_extension():
        reasons.append(f"the extension mime_fast._cuda is not there: {why}")
    elif torch.cuda.is_available() and (torch.device(device).index or 0) < torch.cuda.device_count():
        with torch.cuda.device(device):
            why = import_module("mime_fast._cuda").why_not()
        reasons += [f"the extension mime_fast._cuda cannot run: {why}"] if why else []
    return "; ".join(reasons)


def _missing_extension() -> str:
    """Empty if mime_fast._cuda can be imported; what its build left behind says more than the import."""
    try:
        import_module("mime_fast._cuda")
    except ImportError as error:
        note = Path(__file__).parent.parent / "_cuda_missing.txt"
        return note.read_text().strip() if note.is_file() else str(error)
    return ""


def plain_beam_step(state: BeamState) -> BeamStep:
    """The twin."""

    def run(slots: int, log_probs: Tensor, ids: Tensor, values: Tensor) -> None:
        beam_step_plain.beam_step(state, slots, log_probs, ids, values)

    return run


def device_beam_step(state: BeamState) -> BeamStep:
    """CUDA C++, on the current stream."""
    sizes, pointers, room = addresses(state)
    step = import_module("mime_fast._cuda").BeamStep(sizes, pointers)

    def run(slots: int, log_probs: Tensor, ids: Tensor, values: Tensor, _kept: Any = (state, room)) -> None:
        arrays = (x.data_ptr() for x in (log_probs, ids, values))
        step.launch(slots, *arrays, torch.cuda.current_stream().cuda_stream)

    return run
