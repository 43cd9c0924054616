"""The benchmark of the device back end: encoded dialogues in, hypotheses out, beside eager PyTorch in the same run."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.random_mime import random_mime
from benchmarks.tasks import TOKENS, VOCABULARY
from mime_fast.backends.gpu.backend import CudaBackend
from mime_fast.backends.gpu.graphs import Graphs
from mime_fast.backends.placement import Placement
from mime_fast.backends.protocol import Backend, Contexts, Requests
from mime_fast.backends.reference import ReferenceBackend
from mime_fast.checkpoints.model_folder import ModelWeights
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MimeConfig
from mime_fast.kernels import plain
from mime_fast.kernels.select import Ops, device_ops, plain_ops
from mime_fast.text.special import CLS_ID, EOS_ID, USR_ID

FORCED = {"min_new_tokens": TOKENS - 1, "max_new_tokens": TOKENS}
TASKS: dict[str, GenerationConfig | None] = {
    "beam 5": GenerationConfig(num_beams=5, **FORCED),
    "greedy": GenerationConfig(num_beams=1, **FORCED),
    "score": None,
}
GOALS = {("beam 5", 1024): "80,000 a second, 3 x eager", ("beam 5", 1): "0.8 ms, 6 x eager", ("score", 1024): "400,000"}


@dataclasses.dataclass(frozen=True)
class Setting:
    """What differs between a run and a dry run."""

    device: str
    config: MimeConfig
    batches: tuple[int, ...]
    seconds: float  # of one figure
    others: tuple[str, ...]  # precisions besides bfloat16

    @classmethod
    def of(cls, dry: bool) -> Setting:
        if dry:
            small = MimeConfig.paper(120, hidden_size=12, num_heads=2, attention_depth=8, ffn_channels=5)
            return cls("cpu", small, (1, 3), 0.0, ())
        return cls("cuda", MimeConfig.paper(VOCABULARY), (1, 64, 256, 1024), 1.0, ("float16", "float32"))


def run(dry: bool) -> dict[str, Any]:
    """Rows of figures, and the limits of the card."""
    setting = Setting.of(dry)
    limits = measure_limits(setting)
    rows = []
    for precision in ("bfloat16", *setting.others):
        ours, eager = backends(setting, precision, dry)
        for task in TASKS:
            for batch in setting.batches if precision == "bfloat16" else setting.batches[-1:]:
                rows.append(figure(setting, task, precision, batch, ours, eager, limits))
                print("  ", rows[-1], flush=True)
    placement = Placement(setting.device, "float32", "")
    reference = ReferenceBackend(ModelWeights.of(random_mime(setting.config)), placement, 64, torch.get_num_threads())
    batch = setting.batches[1]
    seconds = median_seconds(setting, work(setting, "beam 5", reference, batch), most=2)
    return {
        "limits": limits,
        "figures": rows,
        "ReferenceBackend": f"beam 5, float32, batch {batch}: {batch / seconds:,.0f} replies a second",
        "goals on one H100": [
            {"task": f"{task}, batch {batch}", "goal": goal} for (task, batch), goal in GOALS.items()
        ],
    }


def backends(setting: Setting, precision: str, dry: bool) -> tuple[Backend, Backend]:
    """Ours, and the same loop by eager PyTorch with a KV cache."""
    model = random_mime(setting.config).to(setting.device)
    dtype: torch.dtype = getattr(torch, precision)
    ours = plain_ops("dry run") if dry else device_ops()
    size = setting.batches[-1]
    return (
        CudaBackend(model, dtype, size, ours, Graphs("dry run" if dry else "")),
        CudaBackend(model, dtype, size, eager_ops(dry), Graphs("eager PyTorch")),
    )


def eager_ops(dry: bool) -> Ops:
    """Plain PyTorch as one would write it: torch.topk, not the twin's stable sort; the beam step is ours in both."""

    def vocab_topk(
        hidden: Tensor, weight: Tensor, bias: Tensor, suppressed: Tensor | None, banned: Tensor | None, k: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        hidden, bias = (x.to(weight.dtype) for x in (hidden, bias))
        logits = torch.nn.functional.linear(hidden, weight, bias).float()
        total = logits.logsumexp(dim=-1)
        if banned is not None:
            logits.scatter_(1, banned.clamp(min=0).long()[:, :1], torch.where(banned[:, :1] < 0, logits[:, :1], -inf))
        best, ids = logits.topk(k, dim=-1)
        return best - total[:, None], ids.int(), total

    ops = plain_ops("eager PyTorch")
    changed: dict[str, Any] = {"vocab_topk": vocab_topk, "vocab_score": plain.vocab_score, "score_rows": 8192}
    return dataclasses.replace(ops, **changed, **({} if dry else {"beam_step": device_ops().beam_step}))


def figure(
    setting: Setting, task: str, precision: str, batch: int, ours: Backend, eager: Backend, limits: dict[str, Any]
) -> dict[str, Any]:
    """One row."""
    mine = median_seconds(setting, work(setting, task, ours, batch))
    theirs = median_seconds(setting, work(setting, task, eager, batch), most=3)
    options = TASKS[task]
    products = (
        2 * setting.config.vocab_size * setting.config.hidden_size * TOKENS * (options.num_beams if options else 1)
    )
    rate = batch * products / mine / 1e12
    return {
        "task": task,
        "precision": precision,
        "batch": batch,
        "ms": mine * 1e3,
        "a second": batch / mine,
        "eager ms": theirs * 1e3,
        "x eager": theirs / mine,
        "TFLOP/s": rate,
        "% of matrix rate": 100 * rate / limits[f"matrix TFLOP/s, {precision}"],
    }


def work(setting: Setting, task: str, backend: Backend, batch: int) -> Callable[[], Any]:
    """A call with `batch` dialogues: 10 to 120 random words, 40 in the mean."""
    draw = np.random.default_rng(15_884)
    words = np.clip(np.round(10 + draw.gamma(1.5, 20.6, size=batch)), 10, 120).astype(np.int64)
    ids, offsets = [], np.concatenate([[0], np.cumsum(words + 1)])
    for count in words:
        ids.append(np.concatenate([[CLS_ID], draw.integers(7, setting.config.vocab_size, count)]))
    token_ids = np.concatenate(ids).astype(np.int32)
    states = np.where(token_ids == CLS_ID, CLS_ID, USR_ID).astype(np.int32)
    numbers = np.arange(batch, dtype=np.uint64)
    contexts = Contexts(token_ids, states, offsets)
    requests = Requests(numbers, numbers, np.full(batch, -1, np.int32), True)
    options = TASKS[task]
    if options is not None:
        return lambda: backend.generate(contexts, requests, options)
    targets = draw.integers(7, setting.config.vocab_size, batch * TOKENS).astype(np.int32)
    targets[TOKENS - 1 :: TOKENS] = EOS_ID
    return lambda: backend.score(contexts, requests, targets, np.arange(batch + 1) * TOKENS)


def median_seconds(setting: Setting, call: Callable[[], Any], most: int = 50) -> float:
    """Of a call, whose results are on the host when it returns; the first three compile and capture."""
    for _ in range(3 if setting.seconds else 0):
        call()
    times: list[float] = []
    while not times or (sum(times) < setting.seconds and len(times) < most):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def measure_limits(setting: Setting) -> dict[str, Any]:
    """What copies and matrix products of this card reach."""
    big = 64 if setting.device == "cpu" else 8192
    source = torch.zeros(big * big * 4, device=setting.device)
    target = torch.empty_like(source)
    copy = _device_seconds(lambda: target.copy_(source), setting)
    limits: dict[str, Any] = {"copy GB/s": 2 * source.numel() * 4 / copy / 1e9}
    for precision in ("bfloat16", *setting.others):
        a = torch.randn(big, big, device=setting.device).to(getattr(torch, precision))
        seconds = _device_seconds(lambda a=a: a @ a, setting)
        limits[f"matrix TFLOP/s, {precision}"] = 2 * big**3 / seconds / 1e12
    return limits


def _device_seconds(call: Callable[[], Any], setting: Setting, times: int = 20) -> float:
    call()
    if setting.device == "cpu":
        begun = time.perf_counter()
        call()
        return time.perf_counter() - begun
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(times):
        call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3 / times


def profile(dry: bool) -> dict[str, Any]:
    """Kernels of a decoding step with 5 beams by their time, for the largest batch and for one dialogue."""
    setting = Setting.of(dry)
    backend, _ = backends(setting, "bfloat16", dry)
    assert isinstance(backend, CudaBackend)
    found = {}
    for batch in (setting.batches[-1], 1):
        work(setting, "beam 5", backend, batch)()
        session = backend.last_session()
        activities = [torch.profiler.ProfilerActivity.CPU if dry else torch.profiler.ProfilerActivity.CUDA]
        with torch.inference_mode():
            session.reset()
            session.state.start(torch.arange(batch, device=setting.device))
            session.step(session.shape.slots)
            with torch.profiler.profile(activities=activities) as kept:
                for _ in range(4):
                    session.step(session.shape.slots)
        found[f"a step of {batch}"] = _kernels(kept, dry)
    return found


def _kernels(kept: Any, dry: bool) -> list[dict[str, Any]]:
    times = {
        event.key: (event.self_cpu_time_total if dry else event.self_device_time_total, event.count)
        for event in kept.key_averages()
    }
    total = sum(us for us, _ in times.values()) or 1.0
    best = sorted(times.items(), key=lambda item: -item[1][0])[:12]
    return [
        {"kernel": name[:60], "us a step": us / 4, "launches": count / 4, "% of the step": 100 * us / total}
        for name, (us, count) in best
    ]
