"""Replies of the shipped weights on the device beside those of the CPU's float32, and how far apart they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from statistics import median
from typing import Any

import numpy as np
import torch

import mime_fast
from benchmarks.tasks import real_dialogues
from mime_fast.backends.gpu.backend import CudaBackend
from mime_fast.backends.placement import Placement
from mime_fast.backends.select import Choice
from mime_fast.checkpoints.model_folder import load_model_folder
from mime_fast.engine.engine import Engine
from mime_fast.engine.load import find_model
from mime_fast.engine.results import Reply
from mime_fast.reference.mime import Mime
from tools.gpu_setting import Setting

Dialogues = Sequence[list[str]]
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"num_beams": 1, "do_sample": False},
    "beam 5": {"num_beams": 5, "do_sample": False, "no_repeat_ngram_size": 3},
    "beam 5, penalty": {"num_beams": 5, "do_sample": False, "repetition_penalty": 1.3},
    "mime 5": {"num_beams": 5, "search": "mime"},
    "sampling": {"num_beams": 1, "do_sample": True, "top_k": 40, "top_p": 0.9},
}
PRECISIONS = ("float32", "bfloat16", "float16")
TIE = 1e-4  # of a log-prob or a score, in float32


def rows(setting: Setting) -> Iterator[dict[str, Any]]:
    """One per precision and search, float32 first: only there a difference beyond a tie is a fault."""
    where, dialogues, responses = real_dialogues(2 if setting.dry else 200)
    cpu = mime_fast.load(device="cpu")
    yield {"dialogues": f"{len(dialogues)} {where}", "against": f"{cpu.backend.name}, float32"}
    lengths: dict[str, Any] = {"max_new_tokens": 3} if setting.dry else {}
    expected = {name: cpu.generate(dialogues, **way, **lengths) for name, way in WAYS.items()}
    scores = [one.logprob for one in cpu.score(dialogues, responses)]
    for precision in PRECISIONS[: 2 if setting.dry else 3]:
        engine = on_the_device(setting, precision)
        for name, way in WAYS.items():
            found = engine.generate(dialogues, **way, **lengths)
            row = {"precision": precision, "search": name, **compare(cpu, dialogues, found, expected[name], name)}
            yield row if precision == "float32" else {**row, "result": "reported"}
        own = [one.logprob for one in engine.score(dialogues, responses)]
        farthest = float(np.abs(np.subtract(own, scores)).max())
        passed = precision != "float32" or farthest < 100 * TIE  # a sum of up to 100 log-probs
        row = {"precision": precision, "search": "score", "pairs": len(own), "farthest log-prob": farthest}
        yield {**row, "result": "passed" if passed else "failed"}


def compare(
    cpu: Engine, dialogues: Dialogues, found: Sequence[Reply], expected: Sequence[Reply], search: str
) -> dict[str, Any]:
    """How replies differ, by what the CPU says of both.

    Up to the first word that differs, log-probs must be the CPU's; there both words must be as probable but for a tie
    (greedy search), or both replies score alike (beams). Which of two words is drawn depends on the noise, too.
    """
    apart = [_farthest_before(one, two) for one, two in zip(found, expected, strict=True)]
    other = [i for i, (one, two) in enumerate(zip(found, expected, strict=True)) if one.tokens != two.tokens]
    gaps = [abs(found[i].score - expected[i].score) for i in other] if "5" in search else []
    if "5" not in search and other:
        chosen = [dialogues[i] for i in other]
        both = [cpu.score(chosen, [each[i].tokens for i in other], request_ids=other) for each in (found, expected)]
        steps = [_first_difference(found[i].tokens, expected[i].tokens) for i in other]
        pairs = zip(steps, *both, strict=True)
        gaps = [abs(one.token_logprobs[step] - two.token_logprobs[step]) for step, one, two in pairs]
    judged = gaps if search != "sampling" else []
    faults = sum(gap > TIE for gap in judged) + sum(far > TIE for far in apart)
    return {
        "replies": len(found),
        "equal": len(found) - len(other),
        "farthest log-prob before": max(apart, default=0.0),
        "gap, median": median(gaps) if gaps else 0.0,
        "gap, largest": max(gaps, default=0.0),
        "faults": faults,
        "result": "failed" if faults else "passed",
    }


def on_the_device(setting: Setting, precision: str, *, graphs: bool = True) -> Engine:
    """The shipped weights; in a dry run by the twins, on the CPU."""
    if not setting.dry:
        return mime_fast.load(device="cuda", precision=precision, cuda_graphs=graphs and setting.graphs)
    folder = load_model_folder(find_model(None))
    model = folder.model.eval()
    assert isinstance(model, Mime)
    dtype: torch.dtype = getattr(torch, precision)
    backend = CudaBackend(model, dtype, 4, setting.ops, setting.captures())
    return Engine(folder, "dry run", Choice(backend, Placement("cpu", "float32", "dry run"), "dry run", 4, 1))


def _first_difference(one: Sequence[str], two: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, two, strict=False)))


def _farthest_before(one: Reply, two: Reply) -> float:
    """Of the log-probs of the words that both replies begin with."""
    step = _first_difference(one.tokens, two.tokens)
    step += one.tokens == two.tokens and one.finish_reason == two.finish_reason == "eos"
    pairs = zip(one.token_logprobs[:step], two.token_logprobs[:step], strict=True)
    return max((abs(mine - its) for mine, its in pairs), default=0.0)
