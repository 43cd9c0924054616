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
SHARED_MEMORY = {80: 163 * 1024, 90: 227 * 1024, 100: 227 * 1024}  # bytes that a program can have
KERNELS = {
    "gate_fusion_kernel",
    "response_emotion_kernel",
    "sample_tokens_kernel",
    "vocab_topk_kernel",
    "merge_kernel",
    "vocab_logits_kernel",
    "vocab_score_kernel",
    "finish_kernel",
    "decoder_layer_kernel",
    "encoder_kernel",
    "self_attention_kernel",
    "memory_attention_kernel",
}
SAMPLING = "sample_tokens_kernel"  # its logits are always float32


@pytest.fixture(scope="module")
def built() -> dict[int, list[dict[str, Any]]]:
    """What `tests.kernels.aot` says of each target; all are compiled at the same time."""
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
    assert {kernel["kernel"] for kernel in mine} == (KERNELS if dtype == "float32" else KERNELS - {SAMPLING})
    assert [kernel for kernel in mine if kernel["shared"] > SHARED_MEMORY[target]] == []
    assert [kernel for kernel in mine if kernel["registers"] * kernel["threads"] > 65_536] == []


@pytest.mark.parametrize(("kernel", "variants"), [("vocab_topk_kernel", 1), ("merge_kernel", 2)])
def test_a_ladder_of_batches_compiles_once(built: dict[int, list[dict[str, Any]]], kernel: str, variants: int) -> None:
    """Whatever the number of programs; the merge has one way for few candidates, and one for many."""
    cases = [f"vocab_topk N={rows} k=10 bans=1 bfloat16" for rows in (5120, 640, 5)]
    found = [one["variant"] for one in built[90] if one["kernel"] == kernel and one["case"] in cases]
    assert len(found) == len(cases) and len(set(found)) == variants


def test_a_tile_of_the_packed_vocabulary_is_read_straight_on(built: dict[int, list[dict[str, Any]]]) -> None:
    """Without masks in a loop over its depth, by one product: no more instructions than these.

    docs/gpu.md has the counts. Of `vocab_topk`'s a tile that no word enters from takes 850.
    """
    for kernel, most in (("vocab_score_kernel", 1200), ("vocab_logits_kernel", 900), ("vocab_topk_kernel", 2500)):
        (counts,) = (
            one["instructions"]
            for one in built[90]
            if one["kernel"] == kernel
            and one["case"].endswith(" bfloat16")
            and " N=" not in one["case"].replace(" N=5120", "")
        )
        assert counts["all"] <= most and counts["HGMMA"] == 20


def test_sampling_is_one_compilation_for_all_numbers(built: dict[int, list[dict[str, Any]]]) -> None:
    """Of temperature, top_k and top_p; its logarithms are none of the fast ones, which are wrong near 1."""
    mine = [one for one in built[90] if one["kernel"] == SAMPLING]
    assert len({one["variant"] for one in mine}) == len(mine) - 1
    for one in mine:
        assert "MUFU.LG2" not in one["instructions"]
        assert "24704" in one["case"] or (one["instructions"]["all"] <= 3600 and one["spilled"] <= 128)
