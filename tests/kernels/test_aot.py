"""Every Triton kernel compiles for GPUs, in all dtypes, and fits into their shared memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("triton", reason="Triton is not installed")

ROOT = Path(__file__).parent.parent.parent
SHARED_MEMORY = {80: 163 * 1024, 90: 227 * 1024}  # bytes that a program can have
KERNELS = {
    "gate_fusion_kernel",
    "response_emotion_kernel",
    "vocab_topk_kernel",
    "merge_kernel",
    "vocab_logits_kernel",
    "vocab_score_kernel",
    "finish_kernel",
    "decoder_layer_kernel",
    "self_attention_kernel",
    "memory_attention_kernel",
}


@pytest.fixture(scope="module")
def built() -> dict[int, list[dict[str, Any]]]:
    """What `tests.kernels.aot` says of each target; both are compiled at the same time."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    running = {
        target: subprocess.Popen(
            [sys.executable, "-m", "tests.kernels.aot", str(target)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for target in SHARED_MEMORY
    }
    found = {}
    for target, process in running.items():
        out, errors = process.communicate()
        assert process.returncode == 0, f"sm_{target}: {errors[-3000:]}"
        found[target] = json.loads(out)
    return found


@pytest.mark.parametrize("target", SHARED_MEMORY)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_kernels_compile_and_fit(built: dict[int, list[dict[str, Any]]], target: int, dtype: str) -> None:
    mine = [kernel for kernel in built[target] if kernel["case"].endswith(f" {dtype}")]
    for kernel in mine:
        print(*(f"{name}={value}" for name, value in kernel.items()))
    assert {kernel["kernel"] for kernel in mine} == KERNELS
    assert [kernel for kernel in mine if kernel["shared"] > SHARED_MEMORY[target]] == []
    assert [kernel for kernel in mine if kernel["registers"] * kernel["threads"] > 65_536] == []
