"""Sampled tokens: the Triton kernel against its twin, which is tested against the reference."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest
import torch
from torch import Tensor

from mime_fast.config.generation import GenerationConfig
from mime_fast.kernels import plain
from mime_fast.kernels.plain import Draws, History
from tests.kernels.cases import Random, bits, move

pytest.importorskip("triton", reason="Triton is not installed")
from mime_fast.kernels.sample_tokens import sample_tokens

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, of the infinities that are meant
WAYS: list[dict[str, Any]] = [
    {},
    {"top_p": 0.5, "temperature": 0.6},
    {"top_k": 5},
    {"top_k": 1},
    {"top_k": 12, "top_p": 0.8, "temperature": 1.7},
    {"top_k": 10_000, "top_p": 1e-12},
    {"top_p": 0.9999999},
    {"repetition_penalty": 1.3, "top_p": 0.7},
    {"repetition_penalty": 0.4, "top_k": 3},
]
POSITIONS = 9


def options(**way: Any) -> GenerationConfig:
    return GenerationConfig(num_beams=1, do_sample=True, **way)


def given(rows: int, words: int, device: str, seed: int = 0) -> tuple[Draws, History]:
    random = Random(seed)
    keys = bits([0, 1234, 2**64 - 1, 2**63, 2**32, 5, 77])
    seeds, request_ids = (keys[random.ids(len(keys), rows).long()] for _ in range(2))
    draws = Draws(seeds, request_ids, random.ids(2**24, rows).long())
    history = History(random.ids(words, rows, POSITIONS), random.ids(1, rows, POSITIONS), random.ids(POSITIONS, rows))
    moved: tuple[Draws, History] = move((draws, history), torch.float32, device)
    return moved


def check(logits: Tensor, way: dict[str, Any], device: str, seed: int = 0, **more: Tensor | None) -> Tensor:
    """Tokens that are the twin's, and log-probs as near as float32 has them."""
    logits = logits.float().to(device)
    draws, history = given(len(logits), logits.shape[1], device, seed)
    others = [None if x is None else x.to(device) for x in map(more.get, ("suppressed", "banned", "forced"))]
    found, ids = sample_tokens(logits, draws, history, options(**way), *others)
    expected, tokens = plain.sample_tokens(logits, draws, history, options(**way), *others)
    assert torch.equal(ids[~expected.isnan()], tokens[~expected.isnan()])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0, equal_nan=True)
    return ids.flatten()


@pytest.mark.parametrize("words", [7, 300])
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_tokens_are_the_twin_s(way: dict[str, Any], words: int, device: str) -> None:
    rows = 6
    random = Random(words)
    logits = random(rows, words, scale=3.0)
    suppressed, banned = (random.ids(9, words) == 0).to(torch.uint8), random.ids(words + 1, rows, 6) - 1
    forced = torch.where(random.ids(3, rows) == 0, random.ids(words, rows), -1)
    ids = check(logits, way, device)
    assert len(set(ids.tolist())) > 2
    check(logits, way, device, 1, suppressed=suppressed, banned=banned)
    check(logits, way, device, 2, suppressed=suppressed, banned=banned, forced=forced.int())


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_equal_logits(way: dict[str, Any], device: str) -> None:
    """Of words that top_p parts, and of equal draws, the lowest come first; all that equal the k-th stay."""
    logits = (Random(1).ids(4, 8, 61) - 2).double()
    check(logits, way, device)


def test_words_that_float32_cannot_part_draw_in_float64(device: str) -> None:
    """At this temperature float64 keeps of a Gumbel number what is above 0.06, so that many words may be the best."""
    check((Random(4).ids(3, 24, 61) - 2).double(), {"temperature": 1e-14}, device)


@pytest.mark.parametrize("temperature", [1e-300, 1e-20, 1e-6, 0.01, 40.0, 1e30, 1e300])
def test_any_temperature(temperature: float, device: str) -> None:
    """Beside a large logit float64 loses the Gumbel number, so that equal logits give the lowest word."""
    logits = torch.cat([Random(2)(6, 61, scale=scale) for scale in (1e-3, 3.0)])
    logits[::2, 40] = logits[::2, 7] = logits[::2].max(dim=1).values
    for way in ({}, {"top_p": 0.5}):
        check(logits, {"temperature": temperature, **way}, device)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_rows_with_no_word_or_nan(way: dict[str, Any], device: str) -> None:
    logits = Random(3)(6, 19)
    logits[0, 4], logits[1, 3], logits[2] = nan, inf, -inf
    logits[3, ::2] = -inf
    banned = torch.full((6, 19), -1)
    banned[4] = torch.arange(19)
    banned[5, 1:] = torch.arange(1, 19)  # the first one is left
    forced = torch.tensor([5, -1, -1, 2, -1, -1])
    ids = check(logits, way, device, banned=banned.int())
    assert ids[5] == 0
    check(logits, way, device, banned=banned.int(), forced=forced.int())


def test_no_rows(device: str) -> None:
    draws, history = given(0, 5, device)
    found = sample_tokens(torch.zeros(0, 5, device=device), draws, history, options(), None, None, None)
    assert [tuple(x.shape) for x in found] == [(0, 1), (0, 1)]


def test_rows_of_inactive_slots_are_left_alone(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = Random(1)(5, 19).float().to(device)
    draws, history = given(5, 19, device)
    active = torch.tensor([1, 0, 1, 0, 0], dtype=torch.int32, device=device)
    mine = active != 0
    asked = draws, history, options(top_p=0.7), None, None, None
    expected = sample_tokens(logits, *asked)
    logits[~mine] = nan
    monkeypatch.setattr(torch, "empty", lambda shape, **kind: torch.full(shape, 77, **kind))
    for one, other in zip(sample_tokens(logits, *asked, active), expected, strict=True):
        assert torch.equal(one[mine], other[mine]) and (one[~mine] == 77).all()
