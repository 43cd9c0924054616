"""Gate fusion: the Triton kernel against its twin."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mime_fast.kernels import plain
from tests.kernels.cases import DTYPES, Random, check_exactness, move

triton = pytest.importorskip("triton", reason="Triton is not installed")
from mime_fast.kernels.gate_fusion import gate_fusion  # noqa: E402  (needs Triton)


def inputs(rows: int, size: int) -> tuple[Tensor, ...]:
    random = Random(rows + size)
    return (
        random(rows, size),
        random(rows, size),
        random(2 * size, 2 * size, scale=size**-0.5),
        random(2 * size),
        random(size, 2 * size, scale=size**-0.5),
        random(size),
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("rows", "size"), [(1, 4), (17, 40), (5, 300), (70, 66)])
def test_as_exact_as_pytorch(rows: int, size: int, dtype: torch.dtype, device: str) -> None:
    check_exactness(gate_fusion, plain.gate_fusion, inputs(rows, size), dtype, device)


def test_no_rows(device: str) -> None:
    fused, share = gate_fusion(*move(inputs(0, 6), torch.float32, device))
    assert fused.shape == (0, 6) and share.shape == (0,)


@pytest.mark.filterwarnings("ignore:overflow encountered in exp", "ignore:invalid value encountered")  # NumPy's
def test_a_gate_that_is_shut_shares_equally(device: str) -> None:
    given = move(inputs(17, 40), torch.float32, device)
    given[2].zero_()
    given[3].fill_(-1000.0)
    for fusion in (gate_fusion, plain.gate_fusion):
        assert torch.equal(fusion(*given)[1], torch.full((17,), 0.5, device=device))


@pytest.mark.usefixtures("products_in_order")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_row_depends_on_itself_alone(dtype: torch.dtype, device: str) -> None:
    mimic, other, *weights = move(inputs(70, 34), dtype, device)
    fused, share = gate_fusion(mimic, other, *weights)
    order = torch.randperm(70, generator=torch.Generator().manual_seed(0)).to(device)[:23]
    again, share_again = gate_fusion(mimic[order], other[order], *weights)
    assert torch.equal(again, fused[order]) and torch.equal(share_again, share[order])
