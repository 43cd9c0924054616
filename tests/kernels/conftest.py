"""Where the kernels run: on a GPU if there is one, else in Triton's interpreter."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

if not torch.cuda.is_available() and "triton" not in sys.modules:
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported, which only the kernels' modules do


@pytest.fixture(scope="session")
def device() -> str:
    """The device of kernels under test."""
    from mime_fast.kernels.tiles import INTERPRETED

    assert INTERPRETED or torch.cuda.is_available(), "Triton was imported before its interpreter was asked for"
    return "cpu" if INTERPRETED else "cuda"


@pytest.fixture
def products_in_order(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of the interpreter whose sums have one order, for tests that compare bits.

    Its own are numpy's, and on some processors (AVX2) the BLAS behind them rounds a row by its place in the matrix.
    """
    if device == "cpu":
        monkeypatch.setattr(np, "matmul", _in_order)


def _in_order(a: npt.NDArray[Any], b: npt.NDArray[Any], dtype: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
    """a [..., M, K] times b [..., K, N]."""
    a, b = (x.astype(dtype or np.result_type(a, b)) for x in (a, b))
    out = np.zeros((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]), a.dtype)
    for k in range(a.shape[-1]):
        out += a[..., k, None] * b[..., k, None, :]
    return out
