"""The C++ twin of the reference's random numbers, and the checks of its binding."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mime_fast import _native_dev
from mime_fast.reference import philox

IDS = st.integers(0, 2**64 - 1)


def ids(*values: int) -> npt.NDArray[np.uint64]:
    return np.array(values, dtype=np.uint64)


@settings(max_examples=150, deadline=None)
@given(
    pairs=st.lists(st.tuples(IDS, IDS), max_size=5),
    purpose=st.sampled_from(list(philox.Purpose)),
    size=st.integers(1, 41),
    step=st.integers(0, 2**14 - 1),
    sequence=st.integers(0, 2**24 - 1),
)
def test_equals_the_reference(
    pairs: list[tuple[int, int]], purpose: philox.Purpose, size: int, step: int, sequence: int
) -> None:
    seeds, requests = (ids(*(pair[side] for pair in pairs)) for side in (0, 1))
    native = _native_dev.standard_normal(seeds, requests, purpose, size, step=step, sequence=sequence)
    reference = philox.standard_normal(seeds, requests, purpose, size, step=step, sequence=sequence)
    assert native.shape == (len(pairs), size)
    assert native.dtype == np.float64
    np.testing.assert_allclose(native, reference, rtol=1e-14, atol=1e-14)


def test_equals_the_reference_on_many_numbers() -> None:
    native = _native_dev.standard_normal(ids(3, 4), ids(5, 6), 1, 200_003)
    np.testing.assert_allclose(native, philox.standard_normal([3, 4], [5, 6], 1, 200_003), rtol=1e-14, atol=1e-14)


def test_float32_is_the_rounded_float64() -> None:
    single = _native_dev.standard_normal(ids(1, 2), ids(3, 4), 0, 301, dtype="float32")
    double = _native_dev.standard_normal(ids(1, 2), ids(3, 4), 0, 301)
    assert single.dtype == np.float32
    assert np.array_equal(single, double.astype(np.float32))


def test_threads_get_the_same_numbers() -> None:
    def draw(seed: int) -> npt.NDArray[np.float64]:
        return _native_dev.standard_normal(ids(seed), ids(0), 0, 20_001)

    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(draw, range(16)))
    for seed in range(16):
        assert np.array_equal(drawn[seed], draw(seed))


def test_limits_are_reached() -> None:
    top = 2**64 - 1
    drawn = _native_dev.standard_normal(ids(top), ids(top), 255, philox.MAX_NUMBERS, step=2**14 - 1, sequence=2**24 - 1)
    assert drawn.shape == (1, philox.MAX_NUMBERS)
    assert np.isfinite(drawn).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"seeds": [1]}, TypeError, "seeds: must be a numpy array, not list"),
        ({"request_ids": None}, TypeError, "request_ids: must be a numpy array, not NoneType"),
        ({"seeds": np.array([1])}, TypeError, "seeds: must be of dtype uint64, not int64"),
        ({"seeds": np.array([1.0])}, TypeError, "seeds: must be of dtype uint64, not float64"),
        ({"seeds": ids(1).astype(">u8")}, TypeError, "seeds: must be of dtype uint64, not >u8"),
        ({"seeds": ids(1, 2).reshape(1, 2)}, ValueError, r"seeds: must be a contiguous array of shape \[N\]"),
        ({"seeds": np.array(7, dtype=np.uint64)}, ValueError, r"seeds: must be a contiguous array of shape \[N\]"),
        ({"request_ids": ids(1, 2, 3)[::2]}, ValueError, "request_ids: must be a contiguous array"),
        ({"seeds": ids(1, 2)}, ValueError, "lengths differ: seeds 2, request_ids 1"),
        ({"purpose": 256}, ValueError, "purpose=256: must be an integer from 0 to 255"),
        ({"purpose": -1}, ValueError, "purpose=-1"),
        ({"size": 0}, ValueError, "size=0: must be an integer from 1 to 1048576"),
        ({"size": philox.MAX_NUMBERS + 1}, ValueError, "size=1048577"),
        ({"step": 2**14}, ValueError, "step=16384: must be an integer from 0 to 16383"),
        ({"sequence": 2**24}, ValueError, "sequence=16777216: must be an integer from 0 to 16777215"),
        ({"dtype": "float16"}, ValueError, "dtype='float16': must be 'float32' or 'float64'"),
        ({"size": 1.5}, TypeError, "incompatible function arguments"),
    ],
)
def test_arguments_are_checked(change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"seeds": ids(0), "request_ids": ids(0), "purpose": 0, "size": 4}
    with pytest.raises(error, match=message):
        _native_dev.standard_normal(**(arguments | change))
