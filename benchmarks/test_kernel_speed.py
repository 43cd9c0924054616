"""GFLOP/s of the kernels that decoding spends its time in, and their share of what this core can do at all."""

from __future__ import annotations

from statistics import median

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Note
from benchmarks.figures import Kernel
from benchmarks.race import CLOCK
from benchmarks.subjects import Effort
from mime_fast import _native_dev

# One beam, five, and those of 16 and 64 dialogues; the words of one context and of a block of them.
CASES = [("vocab_topk", rows) for rows in (1, 5, 80, 320)] + [("gemm", rows) for rows in (40, 320)]
ROUNDS = 3

pytestmark = pytest.mark.benchmark(timer=CLOCK.now, group="GFLOP/s (OPS)")


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize(("name", "rows"), CASES, ids=[f"{name}-{rows}" for name, rows in CASES])
def test_kernel(
    benchmark: BenchmarkFixture, note: Note, effort: Effort, isa: str, name: str, rows: int, precision: str
) -> None:
    gflops, ceiling = [], []
    for _ in range(ROUNDS):
        ceiling.append(_native_dev.peak(precision, isa, effort.kernel_seconds / 2))
        gflops.append(_native_dev.benchmark_kernel(name, precision, rows, isa, effort.kernel_seconds))
    note(Kernel(name, precision, isa, rows, tuple(gflops), tuple(ceiling)), [1 / value for value in gflops])
    assert median(gflops) > 0
