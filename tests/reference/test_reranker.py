"""The reranker by hand; each row's bits depend on nothing beside it."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from mime_fast.reference.reranker import PARTS, Floats, Tower, cosines

SIZES = [(24, 5, 3), (600, 512, 256)]


def drawn(inputs: int, hidden: int, width: int, seed: int = 0) -> Tower:
    random = np.random.default_rng(seed)
    shapes = (hidden, inputs), (hidden,), (width, hidden), (width,)
    return Tower(*(random.normal(size=shape).astype(np.float32) for shape in shapes))


def vectors(count: int, inputs: int, dtype: type[np.floating]) -> Floats:
    found: Floats = np.random.default_rng(1).normal(size=(count, inputs)).astype(dtype)
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", SIZES)
def test_a_tower_by_hand(sizes: tuple[int, int, int], dtype: type[np.floating]) -> None:
    inputs, hidden, width = sizes
    tower = drawn(*sizes)
    weight1, bias1, weight2, bias2 = (np.asarray(getattr(tower, part), np.float64) for part in PARTS)
    given, atol = vectors(4, inputs, dtype), {np.float32: 1e-6, np.float64: 1e-14}[dtype]
    found = tower(given)
    assert found.dtype == dtype
    for row, unit in zip(given.astype(np.float64), found, strict=True):
        between = np.array([max(0.0, weight1[i] @ row + bias1[i]) for i in range(hidden)])
        out = np.array([weight2[i] @ between + bias2[i] for i in range(width)])
        np.testing.assert_allclose(unit, out / np.sqrt((out**2).sum()), rtol=0, atol=atol)
    nothing = Tower(np.zeros((2, 4)), np.zeros(2), np.zeros((3, 2)), np.zeros(3))
    np.testing.assert_array_equal(nothing(np.ones((1, 4))), np.zeros((1, 3)))
    assert tower(given[:0]).shape == (0, width)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", SIZES)
def test_bits_depend_neither_on_other_rows_nor_on_threads(
    sizes: tuple[int, int, int], dtype: type[np.floating]
) -> None:
    wanted, given = drawn(*sizes), drawn(*sizes, seed=5)
    some = vectors(53, sizes[0], dtype)
    all_cosines = cosines(wanted(some), given(some))
    for threads in (2, 3, 5, 30):
        np.testing.assert_array_equal(wanted(some, threads), wanted(some))
    for count in (1, 2, 7):
        for start in (0, 1, 30):
            rows = some[start : start + count]
            np.testing.assert_array_equal(wanted(rows), wanted(some)[start : start + count])
            np.testing.assert_array_equal(cosines(wanted(rows), given(rows)), all_cosines[start : start + count])
    copied = np.empty((54, sizes[0] + 1), dtype)[1:, 1:]  # neither contiguous nor aligned as the others
    copied[:] = some
    np.testing.assert_array_equal(wanted(copied), wanted(some))
    assert np.abs(all_cosines).max() <= 1 + 1e-6


def test_one_thread_is_one() -> None:
    """A matrix product of NumPy's would use all cores: the time of other threads stays what it was."""
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("threads are counted through /proc, which is absent")
    program = """
import os, time
import numpy as np
from tests.reference.test_reranker import drawn, vectors
tower, some = drawn(600, 512, 256), vectors(2000, 600, np.float32)
tower(some[:1])
begun, mine = time.process_time(), time.thread_time()
tower(some)
print(time.process_time() - begun, time.thread_time() - mine, len(os.listdir("/proc/self/task")))
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    everyone, mine, _ = map(float, out.stdout.split())
    assert mine > 0.02
    assert everyone < 1.1 * mine
