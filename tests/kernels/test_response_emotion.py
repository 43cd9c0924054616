"""Response emotions: the Triton kernel against its twin, and its random numbers against the reference's."""

# Kernels take pointers and blocks, which Triton gives no types:
# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mime_fast.config.model import MimeConfig
from mime_fast.kernels import plain
from mime_fast.kernels.weights import PriorWeights
from mime_fast.reference import philox
from mime_fast.reference.mime import Mime
from tests.kernels.cases import DTYPES, Random, bits, check_exactness, move

triton = pytest.importorskip("triton", reason="Triton is not installed")
import triton.language as tl  # noqa: E402  (needs Triton)

from mime_fast.kernels.response_emotion import normal_tile, response_emotion  # noqa: E402  (needs Triton)

SEEDS = [0, 1234, 2**64 - 1, 2**63, 5]
REQUESTS = [0, 7, 2**64 - 1, 2**32, 2**31]
SWITCHES: list[dict[str, Any]] = [
    {},
    {"separate_sigma": False},
    {"emotion_mimicry": False},
    {"emotion_mimicry": False, "emotion_grouping": False},
]


def inputs(size: int, seed: int = 0, rows: int = 5, **changes: Any) -> tuple[Any, ...]:
    torch.manual_seed(seed)
    model = Mime(MimeConfig.paper(11, hidden_size=size, ffn_channels=3, attention_depth=4, **changes)).double()
    random = Random(seed)
    prior = PriorWeights.pack(model.state_dict(), model.config, torch.float64, "cpu")
    keys = ((values * (rows // 5 + 1))[:rows] for values in (SEEDS, REQUESTS))
    return (random(rows, size), *(bits(values) for values in keys), random.ids(32, rows), prior)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("stochastic", [True, False])
@pytest.mark.parametrize(("size", "changes"), [(12, c) for c in SWITCHES] + [(300, {}), (66, SWITCHES[1])], ids=str)
def test_as_exact_as_pytorch(
    size: int, changes: dict[str, Any], stochastic: bool, dtype: torch.dtype, device: str
) -> None:
    check_exactness(response_emotion, plain.response_emotion, (*inputs(size, **changes), stochastic), dtype, device)


@triton.jit
def draw(seeds, requests, out, PURPOSE: tl.constexpr, START: tl.constexpr, ROWS: tl.constexpr, SIZE: tl.constexpr):
    n, i = tl.arange(0, ROWS), tl.arange(0, SIZE)
    purpose = tl.program_id(0) + PURPOSE
    tile = normal_tile(tl.load(seeds + n), tl.load(requests + n), purpose, START // 4, ROWS, SIZE)
    tl.store(out + n[:, None] * SIZE + i[None, :], tile)


@pytest.mark.parametrize("purpose", [0, 1])
def test_normals_are_the_references(purpose: int, device: str) -> None:
    found = torch.empty(8, 256, device=device)
    keys = [(bits(values[:4] * 2)).to(device) for values in (SEEDS, REQUESTS)]
    draw[(1,)](*keys, found, PURPOSE=purpose, START=64, ROWS=8, SIZE=256)
    expected = philox.standard_normal(SEEDS[:4] * 2, REQUESTS[:4] * 2, purpose, 64 + 256)[:, 64:]
    torch.testing.assert_close(found.cpu().double(), torch.from_numpy(expected), atol=4e-6, rtol=0)


@pytest.mark.usefixtures("products_in_order")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_row_depends_on_itself_alone(dtype: torch.dtype, device: str) -> None:
    c, seeds, requests, mimicked, prior = move(inputs(34, rows=37), dtype, device)
    results = response_emotion(c, seeds, requests, mimicked, prior, True)
    order = torch.randperm(37, generator=torch.Generator().manual_seed(0)).to(device)[:19]
    again = response_emotion(c[order], seeds[order], requests[order], mimicked[order], prior, True)
    for result, other in zip(results, again, strict=True):
        assert torch.equal(result[order], other)


def test_no_rows(device: str) -> None:
    empty: tuple[Tensor, ...] = response_emotion(*(*move(inputs(12, rows=0), torch.float32, device), True))
    assert [tuple(t.shape) for t in empty] == [(0, 32), (0, 12), (0, 12)]


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # of NumPy, the interpreter's
def test_a_nan_stays_one(device: str) -> None:
    """Also where max(NaN, 0) could be 0: a broken model must be noticed."""
    c, seeds, requests, mimicked, prior = move(inputs(12), torch.float32, device)
    prior.sample_bias.flatten()[3] = torch.nan
    found = response_emotion(c, seeds, requests, mimicked, prior, True)
    expected = plain.response_emotion(c, seeds, requests, mimicked, prior, True)
    assert all(torch.equal(a.isnan(), b.isnan()) for a, b in zip(found, expected, strict=True))
    assert any(b.isnan().any() for b in expected)
