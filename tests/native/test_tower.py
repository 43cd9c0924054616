"""A reranker's tower by the extension: the one in NumPy; a row's bits depend on nothing beside it."""

from __future__ import annotations

import signal
from typing import Any

import numpy as np
import pytest

from mime_fast import _native
from mime_fast.backends.native import PackedTower
from mime_fast.errors import BackendError
from mime_fast.reference.reranker import PARTS, Tower
from tests.native.random_models import ISAS
from tests.native.test_running import ended_soon

SIZES = [(24, 5, 3), (600, 512, 256)]


def drawn(inputs: int, hidden: int, width: int) -> Tower:
    random = np.random.default_rng(0)
    shapes = (hidden, inputs), (hidden,), (width, hidden), (width,)
    return Tower(*(random.normal(size=shape).astype(np.float32) for shape in shapes))


def vectors(count: int, inputs: int) -> Any:
    return np.random.default_rng(1).normal(size=(count, inputs)).astype(np.float32)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("sizes", SIZES)
def test_the_tower_in_numpy(sizes: tuple[int, int, int], isa: str) -> None:
    tower, given = drawn(*sizes), vectors(150, sizes[0])
    packed = PackedTower(tower, isa)
    np.testing.assert_allclose(packed(given), tower(given.astype(np.float64)), rtol=0, atol=2e-6)
    np.testing.assert_array_equal(packed(given.astype(np.float64)), tower(given.astype(np.float64)))
    assert packed(given[:0]).shape == (0, sizes[2])
    assert all(np.array_equal(getattr(packed, part), getattr(tower, part)) for part in PARTS)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("sizes", SIZES)
def test_bits_depend_neither_on_other_rows_nor_on_threads(sizes: tuple[int, int, int], isa: str) -> None:
    packed, given = PackedTower(drawn(*sizes), isa), vectors(150, sizes[0])
    whole = packed(given)
    for threads in (2, 3, 200):
        np.testing.assert_array_equal(packed(given, threads), whole)
    for count in (1, 2, 5, 70):
        for start in (0, 1, 66):
            np.testing.assert_array_equal(packed(given[start : start + count]), whole[start : start + count])


@pytest.mark.parametrize("threads", [1, 3])
def test_a_tower_is_stopped_and_interrupted(threads: int) -> None:
    packed, given = PackedTower(drawn(*SIZES[1]), ISAS[0]), np.ones((60_000, SIZES[1][0]), np.float32)  # for seconds
    with pytest.raises(BackendError, match="stopped"):
        packed(given, threads, np.ones(1, np.uint8))
    stop = np.zeros(1, np.uint8)
    with ended_soon(BackendError, "stopped", lambda: stop.fill(1)):
        packed(given, threads, stop)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with ended_soon(KeyboardInterrupt, None, lambda: signal.raise_signal(signal.SIGINT)):
            packed(given, threads)
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_is_refused() -> None:
    weights = [getattr(drawn(4, 3, 2), part) for part in PARTS]
    tower = _native.Tower(*weights, isa="auto")
    with pytest.raises(ValueError, match="vectors: must have 4 columns"):
        tower(np.zeros((1, 5), np.float32), stop=None, threads=1)
    with pytest.raises(TypeError, match="vectors: must be of dtype float32"):
        tower(np.zeros((1, 4)), stop=None, threads=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="threads=0: must be an integer from 1"):
        tower(np.zeros((1, 4), np.float32), stop=None, threads=0)
    with pytest.raises(ValueError, match="weight2: must have an input for each output of weight1"):
        _native.Tower(weights[0], weights[1], np.zeros((2, 4), np.float32), weights[3], isa="auto")
    with pytest.raises(ValueError, match="bias1 has 2 items; must have 3"):
        _native.Tower(weights[0], np.zeros(2, np.float32), *weights[2:], isa="auto")
