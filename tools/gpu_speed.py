"""The benchmark of the device back end: encoded dialogues in, columns of hypotheses out; eager PyTorch beside it."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.random_mime import random_mime
from benchmarks.tasks import TOKENS
from mime_fast.backends.gpu.backend import CudaBackend
from mime_fast.backends.placement import Placement
from mime_fast.backends.protocol import Backend, Contexts, Requests
from mime_fast.backends.reference import ReferenceBackend
from mime_fast.checkpoints.model_folder import ModelWeights
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MimeConfig
from mime_fast.kernels import plain
from mime_fast.kernels.select import Ops, device_ops, plain_ops
from mime_fast.reference.mime import Mime
from mime_fast.text.special import CLS_ID, EOS_ID, USR_ID
from tools.gpu_setting import Setting

FORCED: dict[str, Any] = {"min_new_tokens": TOKENS - 1, "max_new_tokens": TOKENS}
TASKS: dict[str, GenerationConfig | None] = {
    "beam 5": GenerationConfig(num_beams=5, **FORCED),
    "greedy": GenerationConfig(num_beams=1, **FORCED),
    "score": None,
}
GOALS = {("beam 5", 1024): "80,000 a second, 3 x eager", ("beam 5", 1): "0.8 ms, 6 x eager", ("score", 1024): "400,000"}
BATCHES, OTHER_BATCHES = (1, 1024), (64, 256)
SECONDS = 1.0  # of one figure
Row = dict[str, Any]


def first_figures(setting: Setting) -> Iterator[Row]:
    """bfloat16, one dialogue and a full batch; the card's limits last, so that they cost no figure."""
    batches = (1, 3) if setting.dry else BATCHES
    ours = backend_of(setting, "bfloat16", batches[-1])
    for task in TASKS:
        for batch in batches[::-1]:
            goal = {"goal on one H100": GOALS[task, batch]} if (task, batch) in GOALS else {}
            yield {**figure(setting, task, "bfloat16", batch, ours), "cuda graphs": graphs_of(ours), **goal}
    yield {"limits": measure_limits(setting)}


def other_figures(setting: Setting) -> Iterator[Row]:
    """Other batches and precisions, then eager PyTorch with the same loop and a KV cache, then the reference."""
    full = 3 if setting.dry else BATCHES[-1]
    ours = backend_of(setting, "bfloat16", full)
    for task in TASKS:
        for batch in (2,) if setting.dry else OTHER_BATCHES:
            yield figure(setting, task, "bfloat16", batch, ours)
    for precision in () if setting.dry else ("float16", "float32"):
        ours = backend_of(setting, precision, full)
        for task in TASKS:
            yield figure(setting, task, precision, full, ours)
    eager = CudaBackend(model_of(setting), torch.bfloat16, full, eager_ops(setting.dry), setting.captures(False))
    for task in TASKS:
        for batch in (full, 1):
            yield {**figure(setting, task, "bfloat16", batch, eager, most=3), "by": "eager PyTorch with a KV cache"}
    placement = Placement(setting.device, "float32", "for a benchmark")
    reference = ReferenceBackend(ModelWeights.of(model_of(setting)), placement, 64, torch.get_num_threads())
    yield {
        **figure(setting, "beam 5", "float32", 2 if setting.dry else 64, reference, most=1),
        "by": "ReferenceBackend",
    }


def model_of(setting: Setting) -> Mime:
    return random_mime(setting.config).to(setting.device)


def backend_of(setting: Setting, precision: str, batch: int) -> CudaBackend:
    dtype: torch.dtype = getattr(torch, precision)
    return CudaBackend(model_of(setting), dtype, batch, setting.ops, setting.captures())


def graphs_of(backend: CudaBackend) -> str:
    return str(backend.describe()["cuda_graphs"])


def eager_ops(dry: bool) -> Ops:
    """Plain PyTorch as one would write it: torch.topk, not the twin's stable sort; the beam step is ours in both."""

    def vocab_topk(
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        suppressed: Tensor | None,
        banned: Tensor | None,
        k: int,
        active: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        logits = torch.nn.functional.linear(hidden.to(weight.dtype), weight).float() + bias
        total = logits.logsumexp(dim=-1)
        if banned is not None:
            logits.scatter_(1, banned.clamp(min=0).long()[:, :1], torch.where(banned[:, :1] < 0, logits[:, :1], -inf))
        best, ids = logits.topk(k, dim=-1)
        return best - total[:, None], ids.int(), total

    ops = plain_ops("eager PyTorch")
    changed: dict[str, Any] = {"vocab_topk": vocab_topk, "vocab_score": plain.vocab_score, "score_rows": 8192}
    return dataclasses.replace(ops, **changed | ({} if dry else {"beam_step": device_ops().beam_step}))


def figure(setting: Setting, task: str, precision: str, batch: int, backend: Backend, most: int = 50) -> Row:
    """One row."""
    seconds, times = median_seconds(setting, work(setting.config, task, backend, batch), most)
    options, config = TASKS[task], setting.config
    products = 2 * config.vocab_size * config.hidden_size * TOKENS * (options.num_beams if options else 1)
    return {
        "task": task,
        "precision": precision,
        "batch": batch,
        "ms": round(seconds * 1e3, 3),
        "a second": round(batch / seconds),
        "TFLOP/s of logits": round(batch * products / seconds / 1e12, 3),
        "calls": times,
    }


def work(config: MimeConfig, task: str, backend: Backend, batch: int) -> Callable[[], Any]:
    """A call with `batch` dialogues: 10 to 120 random words, 40 in the mean."""
    draw = np.random.default_rng(15_884)
    words = np.clip(np.round(10 + draw.gamma(1.5, 20.6, size=batch)), 10, 120).astype(np.int64)
    ids, offsets = [], np.concatenate([[0], np.cumsum(words + 1)])
    for count in words:
        ids.append(np.concatenate([[CLS_ID], draw.integers(7, config.vocab_size, count)]))
    token_ids = np.concatenate(ids).astype(np.int32)
    states = np.where(token_ids == CLS_ID, CLS_ID, USR_ID).astype(np.int32)
    numbers = np.arange(batch, dtype=np.uint64)
    contexts = Contexts(token_ids, states, offsets)
    requests = Requests(numbers, numbers, np.full(batch, -1, np.int32), True)
    options = TASKS[task]
    if options is not None:
        return lambda: backend.generate(contexts, requests, options)
    targets = draw.integers(7, config.vocab_size, batch * TOKENS).astype(np.int32)
    targets[TOKENS - 1 :: TOKENS] = EOS_ID
    return lambda: backend.score(contexts, requests, targets, np.arange(batch + 1) * TOKENS)


def median_seconds(setting: Setting, call: Callable[[], Any], most: int) -> tuple[float, int]:
    """Of a call, whose results are on the host when it returns, and of how many; the first two compile and capture."""
    for _ in range(0 if setting.dry else 2):
        call()
    times: list[float] = []
    while not times or (not setting.dry and sum(times) < SECONDS and len(times) < most):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return statistics.median(times), len(times)


def measure_limits(setting: Setting) -> Row:
    """What copies and matrix products of this card reach."""
    big = 64 if setting.dry else 8192
    source = torch.zeros(big * big * 4, device=setting.device)
    target = torch.empty_like(source)
    copy = _device_seconds(lambda: target.copy_(source), setting)
    limits: Row = {"copy GB/s": round(2 * source.numel() * 4 / copy / 1e9)}
    for precision in ("bfloat16", "float32"):
        a = torch.randn(big, big, device=setting.device).to(getattr(torch, precision))
        seconds = _device_seconds(partial(torch.matmul, a, a), setting)
        limits[f"matrix TFLOP/s, {precision}"] = round(2 * big**3 / seconds / 1e12, 1)
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
    return float(start.elapsed_time(end)) / 1e3 / times


def profile(setting: Setting) -> Iterator[Row]:
    """Kernels of a decoding step with 5 beams by their time, for the largest batch and for one dialogue."""
    full = 3 if setting.dry else BATCHES[-1]
    backend = backend_of(setting, "bfloat16", full)
    kinds = torch.profiler.ProfilerActivity
    activities = [kinds.CPU if setting.dry else kinds.CUDA]
    for batch in (full, 1):
        work(setting.config, "beam 5", backend, batch)()
        session = backend.last_session()
        with torch.inference_mode():
            session.reset()
            session.state.start(torch.arange(batch, device=setting.device))
            session.step(session.shape.slots)
            with torch.profiler.profile(activities=activities) as kept:
                for _ in range(4):
                    session.step(session.shape.slots)
        for row in _kernels(kept, setting.dry):
            yield {"a step of": batch, **row}


def _kernels(kept: Any, dry: bool) -> list[Row]:
    times = {
        event.key: (event.self_cpu_time_total if dry else event.self_device_time_total, event.count)
        for event in kept.key_averages()
    }
    total = sum(us for us, _ in times.values()) or 1.0
    best = sorted(times.items(), key=lambda item: -item[1][0])[:12]
    return [
        {
            "kernel": name[:60],
            "us a step": round(us / 4, 2),
            "launches": count / 4,
            "% of the step": round(100 * us / total, 1),
        }
        for name, (us, count) in best
    ]
