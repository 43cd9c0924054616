"""Replies of the shipped weights on the device beside those of the CPU's float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import mime_fast
from benchmarks.tasks import real_dialogues
from mime_fast.backends.gpu.backend import CudaBackend
from mime_fast.backends.gpu.graphs import Graphs
from mime_fast.backends.placement import Placement
from mime_fast.backends.select import Choice
from mime_fast.checkpoints.model_folder import load_model_folder
from mime_fast.engine.engine import Engine
from mime_fast.engine.load import find_model
from mime_fast.engine.results import Reply
from mime_fast.kernels.select import plain_ops

WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"num_beams": 1, "do_sample": False},
    "beam 5": {"num_beams": 5, "no_repeat_ngram_size": 3},
    "beam 5, penalty": {"num_beams": 5, "repetition_penalty": 1.3},
    "mime 5": {"num_beams": 5, "search": "mime"},
    "sampling": {"num_beams": 1, "do_sample": True, "top_k": 40, "top_p": 0.9},
}
TIE = 1e-4  # of a score, in float32


def run(dry: bool) -> dict[str, Any]:
    """Rows of equal replies; in float32 a reply that differs and scores otherwise is a fault."""
    where, dialogues, responses = real_dialogues(2 if dry else 500)
    cpu = mime_fast.load(device="cpu")
    lengths = {"max_new_tokens": 3} if dry else {}
    rows, faults = [], 0
    expected = {name: cpu.generate(dialogues, **way, **lengths) for name, way in WAYS.items()}
    scores = [sum(one.token_logprobs) for one in cpu.score(dialogues, responses)]
    for precision in ("float32", "bfloat16", "float16")[: 2 if dry else 3]:
        engine = _on_the_device(precision, dry)
        for name, way in WAYS.items():
            row = _compare(engine.generate(dialogues, **way, **lengths), expected[name])
            rows.append({"precision": precision, "search": name, **row})
            faults += row["not a tie"] if precision == "float32" else 0
        found = [sum(one.token_logprobs) for one in engine.score(dialogues, responses)]
        farthest = float(np.abs(np.subtract(found, scores)).max())
        rows.append({"precision": precision, "search": "score", "replies": len(found), "farthest": farthest})
    if faults:
        raise RuntimeError(f"{faults} replies of float32 differ and are no ties: {rows}")
    return {"dialogues": f"{len(dialogues)} {where}", "against": f"{cpu.backend.name}, float32", "replies": rows}


def _compare(found: Sequence[Reply], expected: Sequence[Reply]) -> dict[str, Any]:
    pairs = list(zip(found, expected, strict=True))
    other = [(one, two) for one, two in pairs if one.tokens != two.tokens]
    apart = [abs(one.score - two.score) for one, two in pairs if one.tokens == two.tokens]
    return {
        "replies": len(pairs),
        "equal": len(pairs) - len(other),
        "not a tie": sum(abs(one.score - two.score) > TIE for one, two in other),
        "farthest": max(apart, default=0.0),
    }


def _on_the_device(precision: str, dry: bool) -> Engine:
    if not dry:
        return mime_fast.load(device="cuda", precision=precision)
    folder = load_model_folder(find_model(None))
    dtype: torch.dtype = getattr(torch, precision)
    backend = CudaBackend(folder.model.eval(), dtype, 4, plain_ops("dry run"), Graphs("dry run"))
    return Engine(folder, "dry run", Choice(backend, Placement("cpu", "float32", "dry run"), "dry run", 4, 1))
