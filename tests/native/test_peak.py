"""The ceiling that benchmarks name is one: no kernel is faster, and it is no more than what multipliers can do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mime_fast import _native_dev
from tests.native.random_models import ISAS, SANITIZED

# Products of a multiplication in a lane of 32 bits, of which float32 makes one. In int8 without a dot product five
# multiplications make sixteen products.
MOST = {
    "float32": {},
    "bfloat16": {"avx512_bf16": 2.0},
    "int8": {"avx2_vnni": 4.0, "avx512_vnni": 4.0, "avx512_bf16": 4.0, "neon_dotprod": 4.0},
}
WITHOUT = {"bfloat16": 1.0, "int8": 16 / 5}
NOISE = 1.1  # other work slows a kernel down, but the clock may rise between two measurements


def most(isa: str, precision: str) -> float:
    """Of the peak of float32, with the same number of multipliers."""
    if isa == "generic":
        return {"bfloat16": 1.0, "int8": 2.0}[precision]  # a multiplication and an addition make one product, or two
    return MOST[precision].get(isa, WITHOUT[precision])


def best(measure: Callable[..., float], *arguments: object) -> float:
    return max(measure(*arguments, 0.02) for _ in range(5))


@pytest.mark.skipif(SANITIZED, reason="nothing is as fast as it is")
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", MOST)
def test_no_kernel_passes_the_ceiling_and_the_ceiling_passes_no_multiplier(isa: str, precision: str) -> None:
    ceiling = best(_native_dev.peak, precision, isa)
    for rows in (4, 40):
        reached = best(_native_dev.benchmark_kernel, "gemm", precision, rows, isa)
        assert reached <= NOISE * ceiling
        assert reached >= ceiling / 8  # a loop that was left out is faster than any kernel by more than that
    if precision != "float32":
        assert ceiling <= NOISE * most(isa, precision) * best(_native_dev.peak, "float32", isa)
