"""The words' log-probs and the best of them: the Triton kernels against their twins."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mime_fast.kernels import plain
from mime_fast.kernels.weights import pack_vocab
from tests.kernels.cases import DTYPES, Random, check_exactness, move

triton = pytest.importorskip("triton", reason="Triton is not installed")
from mime_fast.kernels.tiles import Tiles  # noqa: E402  (needs Triton)
from mime_fast.kernels.vocab_logits import vocab_logits  # noqa: E402  (needs Triton)
from mime_fast.kernels.vocab_score import vocab_score  # noqa: E402  (needs Triton)
from mime_fast.kernels.vocab_tiles import vocab_tiles  # noqa: E402  (needs Triton)
from mime_fast.kernels.vocab_topk import vocab_topk  # noqa: E402  (needs Triton)

# N, C, V, k
SIZES = [(1, 4, 7, 3), (3, 40, 7, 10), (33, 66, 401, 5), (66, 12, 129, 2), (2, 12, 90, 32), (3, 300, 260, 10)]
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, of the infinities that are meant


def inputs(rows: int, size: int, words: int, *, whole: bool = False) -> tuple[Tensor, ...]:
    """Hidden, weight, bias; whole: small whole numbers, so that every dtype has the same logits and many are equal."""
    random = Random(rows + words)
    if whole:
        return tuple((random.ids(5, *shape) - 2).double() for shape in ((rows, size), (words, size), (words,)))
    return random(rows, size), random(words, size, scale=2 * size**-0.5), random(words)


def bans(rows: int, words: int) -> tuple[Tensor, Tensor]:
    random = Random(rows)
    return (random.ids(9, words) == 0).to(torch.uint8), random.ids(words + 1, rows, 6) - 1


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("rows", "size", "words", "k"), SIZES)
def test_as_exact_as_pytorch(rows: int, size: int, words: int, k: int, dtype: torch.dtype, device: str) -> None:
    given = inputs(rows, size, words)
    targets = Random(1).ids(words, rows)
    check_exactness(vocab_score, plain.vocab_score, (*given, targets), dtype, device)
    check_exactness(vocab_logits, plain.vocab_logits, given, dtype, device)
    hidden, weight, bias = move(given, dtype, device)
    suppressed, banned = (x.to(device) for x in bans(rows, words))
    log_probs, ids, total = vocab_topk(hidden, weight, bias, suppressed, banned, k)
    wide = move((hidden, weight, bias), torch.float64, device)
    exact = plain.vocab_topk(*(*wide, suppressed, banned, k))
    usual = plain.vocab_topk(hidden, weight, bias, suppressed, banned, k)
    there = exact[0] > -inf
    assert torch.equal(log_probs > -inf, there)
    allowed = 2 * (usual[0] - exact[0])[there].abs().max() + 1e-4
    assert (log_probs - exact[0])[there].abs().max() <= allowed
    assert (total - exact[2]).abs().max() <= allowed
    own = (hidden.double() @ weight.double().T + bias.double()).log_softmax(dim=-1).gather(1, ids.long())
    assert (own - log_probs)[
        there
    ].abs().max() <= allowed  # each id's own log-prob, wherever near ones have changed places
    assert (ids[~there] == 0).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("rows", "size", "words", "k"), SIZES)
def test_equal_logits_come_by_lowest_id(
    rows: int, size: int, words: int, k: int, dtype: torch.dtype, device: str
) -> None:
    given = move(inputs(rows, min(size, 12), words, whole=True), dtype, device)
    for ban in ((None, None), tuple(x.to(device) for x in bans(rows, words))):
        _, ids, _ = vocab_topk(*(*given, *ban, k))
        assert torch.equal(ids, plain.vocab_topk(*(*move(given, torch.float64, device), *ban, k))[1])


@settings(max_examples=12, deadline=None)
@given(data=st.data(), rows=st.integers(1, 8), words=st.integers(7, 150), k=st.integers(1, 32))
def test_any_logits(data: st.DataObject, rows: int, words: int, k: int, device: str) -> None:
    """Logits given by hand, -inf, zeros of both signs and NaN among them, through the bias and a single feature."""
    values = st.sampled_from([-inf, -3.0, -1.0, -0.0, 0.0, 0.5, 0.5, 7.0, 100.0])
    bias = torch.tensor(data.draw(st.lists(values, min_size=words, max_size=words)), device=device)
    hidden = torch.zeros(rows, 4, device=device)
    broken = data.draw(st.sets(st.integers(0, rows - 1), max_size=2))
    for row in broken:
        hidden[row, 2] = data.draw(st.sampled_from([nan, inf]))
    weight = torch.ones(words, 4, device=device)
    banned = Random(rows).ids(words + 1, rows, data.draw(st.integers(0, 4))).to(device) - 1
    suppressed = (Random(words).ids(3, words) == 0).to(device=device, dtype=torch.uint8)
    found = vocab_topk(hidden, weight, bias, suppressed, banned, k, programs=data.draw(st.none() | st.integers(1, 5)))
    expected = plain.vocab_topk(hidden, weight, bias, suppressed, banned, k)
    assert torch.equal(found[1], expected[1])
    torch.testing.assert_close(found[0], expected[0], atol=1e-4, rtol=0, equal_nan=True)
    torch.testing.assert_close(found[2], expected[2], atol=1e-4, rtol=0, equal_nan=True)
    assert all(found[0][row].isnan().all() for row in broken)
    targets = Random(k).ids(words, rows).to(device)
    scores = (f(hidden, weight, bias, targets) for f in (vocab_score, plain.vocab_score))
    torch.testing.assert_close(*scores, atol=1e-4, rtol=0, equal_nan=True)


@pytest.mark.usefixtures("products_in_order")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_row_depends_on_itself_alone(dtype: torch.dtype, device: str) -> None:
    rows, words, k = 70, 300, 2
    hidden, weight, bias = move(inputs(rows, 34, words), dtype, device)
    suppressed, banned = (x.to(device) for x in bans(rows, words))
    targets = Random(2).ids(words, rows).to(device)
    results = (
        *vocab_topk(hidden, weight, bias, suppressed, banned, k),
        vocab_score(hidden, weight, bias, targets),
        vocab_logits(hidden, weight, bias),
    )
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(0)).to(device)[:33]
    for programs in (None, 1):
        again = (
            *vocab_topk(hidden[order], weight, bias, suppressed, banned[order], k, programs=programs),
            vocab_score(hidden[order], weight, bias, targets[order]),
            vocab_logits(hidden[order], weight, bias),
        )
        for result, other in zip(results, again, strict=True):
            assert torch.equal(result[order], other)


def full_of_77(shape: int | tuple[int, ...], **kind: Any) -> Tensor:
    """Stands for `torch.empty`."""
    return torch.full(shape if isinstance(shape, tuple) else (shape,), 77, **kind)


@pytest.mark.usefixtures("products_in_order")
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16], ids=str)
def test_rows_of_inactive_slots_are_left_alone(kind: torch.dtype, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of active ones get the same bits beside them, whatever the others' hidden states are."""
    beams, words, k = 30, 300, 3
    active = torch.tensor([0, 1, 0, 0, 0], dtype=torch.int32, device=device)
    hidden, weight, bias = move(inputs(len(active) * beams, 34, words), kind, device)
    banned = bans(len(hidden), words)[1].to(device)
    mine = active.repeat_interleave(beams) != 0
    expected = [x[mine] for x in vocab_topk(hidden, weight, bias, None, banned, k)]
    logits = vocab_logits(hidden, weight, bias)[mine]
    hidden[~mine] = nan
    monkeypatch.setattr(torch, "empty", full_of_77)
    found = vocab_topk(hidden, weight, bias, None, banned, k, active)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one[mine], other) and (one[~mine] == 77).all()
    all_logits = vocab_logits(hidden, weight, bias, active)
    assert torch.equal(all_logits[mine], logits) and (all_logits[64:] == 77).all()


def test_no_rows(device: str) -> None:
    hidden, weight, bias = move(inputs(0, 6, 9), torch.float32, device)
    assert [tuple(t.shape) for t in vocab_topk(hidden, weight, bias, None, None, 4)] == [(0, 4), (0, 4), (0,)]
    assert vocab_score(hidden, weight, bias, torch.zeros(0, dtype=torch.int32, device=device)).shape == (0,)
    assert vocab_logits(hidden, weight, bias).shape == (0, 9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_packed_vocabulary_gives_the_same(dtype: torch.dtype, device: str) -> None:
    """Whole tiles, read without masks: words beyond V are never found and add nothing."""
    rows, words, k = 5, 70, 10
    hidden, weight, bias = (x.to(device) for x in inputs(rows, 20, words))
    packed_weight, packed_bias = pack_vocab(weight.float(), bias.float(), dtype)
    hidden, weight, bias = hidden.to(dtype), weight.to(dtype), bias.float()
    wide_hidden = torch.nn.functional.pad(hidden, (0, packed_weight.shape[1] - 20))
    cut = vocab_tiles(dtype)
    assert (packed_weight.shape[1] % cut.depth, len(packed_weight) % cut.columns) == (0, 0)
    bans = torch.tensor([[-1, 3]] * rows, dtype=torch.int32, device=device)
    for ban in (None, bans):
        plainly = plain.vocab_topk(hidden.double(), weight.double(), bias.double(), None, ban, k)
        found = vocab_topk(wide_hidden, packed_weight, packed_bias, None, ban, k)
        assert torch.equal(found[1], plainly[1])
        for one, other in zip(found[::2], plainly[::2], strict=True):
            assert (one - other).abs().max() < 1e-4
    targets = Random(1).ids(words, rows).to(device)
    scores = vocab_score(wide_hidden, packed_weight, packed_bias, targets)
    assert (scores - plain.vocab_score(hidden.double(), weight.double(), bias.double(), targets)).abs().max() < 1e-4
    logits = vocab_logits(wide_hidden, packed_weight, packed_bias)
    assert (logits[:, :words] - plain.vocab_logits(hidden, weight, bias)).abs().max() < 1e-4
    assert (logits[:, words:] == -inf).all()


def test_all_candidates_of_many_programs_are_merged(device: str) -> None:
    """More than one block of them: 40 programs with 32 each."""
    weight = torch.zeros(40 * 16, 4, device=device)
    bias = torch.randn(len(weight), generator=torch.Generator().manual_seed(1)).round(decimals=1).to(device)
    hidden = torch.ones(2, 4, device=device)
    cut = Tiles(rows=16, columns=16, depth=16, warps=4, stages=2)
    found = vocab_topk(hidden, weight, bias, None, None, 32, tiles=cut, programs=40)
    assert torch.equal(found[1], plain.vocab_topk(hidden, weight, bias, None, None, 32)[1])


@pytest.mark.parametrize("k", [3, 32])
@pytest.mark.parametrize("front", ["frequent", "rare", "absent"])
def test_thresholds_that_the_first_tile_gives(front: str, k: int, device: str) -> None:
    """Whether its words are the best, the worst or not there at all; ties, and bans that are most of it."""
    words, rows = 16 * 6 + 11, 9
    random, cut = Random(k), Tiles(rows=16, columns=16, depth=16, warps=4, stages=2)
    steps = torch.arange(words).div(20, rounding_mode="floor")
    bias = (-steps if front == "frequent" else steps).float()
    bias[: 16 if front == "absent" else 0] = -inf
    hidden, weight = ((random.ids(3, *shape) - 1).float() for shape in ((rows, 4), (words, 4)))
    hidden[5] = 0.0  # only ties
    banned = random.ids(40, rows, 20) - 1
    banned[:6] = -1
    banned[1, 4:20] = torch.arange(16)
    banned[2, 1:9] = 3
    banned[3, :5] = torch.arange(16, 21)
    banned[4, 7] = 0
    suppressed = torch.zeros(words, dtype=torch.uint8)
    suppressed[[0, 5, 17, 60]] = 1
    hidden, weight, bias, suppressed, banned = move((hidden, weight, bias, suppressed, banned), torch.float32, device)
    given = hidden, weight, bias, suppressed, banned
    expected = plain.vocab_topk(*given, k)
    for programs in (2, 3):
        found = vocab_topk(*given, k, tiles=cut, programs=programs)
        assert torch.equal(found[1], expected[1])
        torch.testing.assert_close(found[0], expected[0], atol=1e-4, rtol=0)
    bare = vocab_topk(hidden, weight, bias, None, None, k, tiles=cut, programs=2)
    assert torch.equal(bare[1], plain.vocab_topk(hidden, weight, bias, None, None, k)[1])


def test_bans_in_the_first_tile_lower_its_bound(device: str) -> None:
    """Its words are the best of all, and a row may take none of them, or one: the others are another program's."""
    bias = torch.zeros(16 * 4, device=device)
    bias[:16], bias[48:] = (torch.linspace(high, high - 1, 16, device=device) for high in (9.0, 5.0))
    hidden, weight = torch.zeros(3, 4, device=device), torch.zeros(64, 4, device=device)
    banned = torch.full((3, 17), -1, dtype=torch.int32, device=device)
    banned[0, :16] = torch.arange(16)
    banned[1, 1:16] = torch.arange(1, 16)
    cut = Tiles(rows=16, columns=16, depth=16, warps=4, stages=2)
    found = vocab_topk(hidden, weight, bias, None, banned, 3, tiles=cut, programs=2)
    assert found[1].tolist() == [[48, 49, 50], [0, 48, 49], [0, 1, 2]]
