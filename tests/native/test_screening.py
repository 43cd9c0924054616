"""The int8 screen of the vocabulary: its bound is valid, and the words that it finds are float32's for any weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mime_fast import _native_dev
from tests.native.int8 import activation_scale, in_steps, weight_scale
from tests.native.random_models import ISAS

Floats = npt.NDArray[np.float32]
LARGEST = 512  # words of screen_bounds
HALF_ULP = 2.0**-24


@dataclass(frozen=True)
class Projection:
    weight: Floats  # [V, K]
    bias: Floats  # [V]
    x: Floats  # [M, K]


def near_normal(source: np.random.Generator, words: int, inputs: int, rows: int) -> Projection:
    weight = source.standard_normal((words, inputs)) * 3 * inputs**-0.5
    return projection(weight, source.standard_normal(words), source.standard_normal((rows, inputs)))


def projection(weight: npt.ArrayLike, bias: npt.ArrayLike, x: npt.ArrayLike) -> Projection:
    return Projection(*(np.ascontiguousarray(each, np.float32) for each in (weight, bias, x)))


def shared_mean(source: np.random.Generator, words: int, inputs: int, rows: int) -> Projection:
    """As trained ones are: what all words share is larger than what each has of its own."""
    plain = near_normal(source, words, inputs, rows)
    mean = 5 * source.standard_normal(inputs) * inputs**-0.5
    own = np.where(source.random(words) < 0.05, 4.0, 0.3)[:, None]
    return projection(plain.weight * own + mean, plain.bias - 3, plain.x + 0.3 * source.standard_normal(inputs))


def equal_rows(source: np.random.Generator, words: int, inputs: int, rows: int) -> Projection:
    plain = near_normal(source, words, inputs, rows)
    return projection(np.tile(plain.weight[:1], (words, 1)), np.zeros(words), plain.x)


def rank_one(source: np.random.Generator, words: int, inputs: int, rows: int) -> Projection:
    plain = near_normal(source, words, inputs, rows)
    return projection(np.outer(source.standard_normal(words), plain.weight[0]), plain.bias, plain.x)


def one_sided(source: np.random.Generator, words: int, inputs: int, rows: int) -> Projection:
    """Of rank one, and the best words crowd at its end."""
    plain = near_normal(source, words, inputs, rows)
    return projection(np.outer(source.random(words), plain.weight[0]), np.zeros(words), plain.x)


def groups(source: np.random.Generator, words: int, inputs: int, rows: int) -> Projection:
    """64 words are equal, the next 64 are, and so on: the nearest groups fill a list."""
    plain = near_normal(source, words, inputs, rows)
    first = np.arange(words) // 64
    return projection(plain.weight[first], plain.bias[first] / 3, plain.x)


def huge(source: np.random.Generator, words: int, inputs: int, rows: int) -> Projection:
    plain = near_normal(source, words, inputs, rows)
    return projection(plain.weight * 1e4, plain.bias, plain.x)


def tiny(source: np.random.Generator, words: int, inputs: int, rows: int) -> Projection:
    plain = near_normal(source, words, inputs, rows)
    return projection(plain.weight * 1e-30, plain.bias * 1e-3, plain.x * 1e-9)


def denormal(source: np.random.Generator, words: int, inputs: int, rows: int) -> Projection:
    plain = near_normal(source, words, inputs, rows)
    return projection(plain.weight * 1e-39, plain.bias * 1e-40, plain.x)


def zeros(source: np.random.Generator, words: int, inputs: int, rows: int) -> Projection:
    return projection(np.zeros((words, inputs)), np.zeros(words), source.standard_normal((rows, inputs)))


def far_word(source: np.random.Generator, words: int, inputs: int, rows: int) -> Projection:
    plain = shared_mean(source, words, inputs, rows)
    plain.weight[words // 2] *= 300
    return plain


def coarse_grid(source: np.random.Generator, words: int, inputs: int, rows: int) -> Projection:
    """Many logits are equal."""
    weight = source.integers(-1, 2, (words, inputs)) * (source.random((words, inputs)) < 3 / inputs)
    return projection(weight, np.zeros(words), source.integers(-2, 3, (rows, inputs)))


def one_large_input(source: np.random.Generator, words: int, inputs: int, rows: int) -> Projection:
    plain = near_normal(source, words, inputs, rows)
    plain.x[:, inputs // 2] *= 100
    return plain


KINDS = [
    near_normal,
    shared_mean,
    equal_rows,
    rank_one,
    one_sided,
    groups,
    huge,
    tiny,
    denormal,
    zeros,
    far_word,
    coarse_grid,
    one_large_input,
]


def bound_without_rounding(weight: Floats, x: Floats, isa: str) -> npt.NDArray[np.float64]:
    """|r - r^| |y| + |r^| |y - y^| in float64, with the best axes there are: [M, V]."""
    wide, rows = weight.astype(np.float64), x.astype(np.float64)
    axes = np.linalg.svd(wide, full_matrices=False)[2][:4]
    rest, left = wide - wide @ axes.T @ axes, rows - rows @ axes.T @ axes
    coarse, small = in_steps(rest, weight_scale(rest, isa)), in_steps(left, activation_scale(left, isa))
    bound: npt.NDArray[np.float64] = (
        np.linalg.norm(rest - coarse, axis=1) * np.linalg.norm(left, axis=1)[:, None]
        + np.linalg.norm(coarse, axis=1) * np.linalg.norm(left - small, axis=1)[:, None]
    )
    return bound


def check_bound(given: Projection, isa: str) -> None:
    approximate, error, exact = _native_dev.screen_bounds(given.weight, given.bias, given.x, isa)
    assert (error >= 0).all()
    wide = given.x.astype(np.float64) @ given.weight.astype(np.float64).T + given.bias.astype(np.float64)
    finite = np.isfinite(error)
    apart = np.abs(approximate.astype(np.float64) - exact.astype(np.float64))
    assert (apart[finite] <= error[finite]).all()
    assert (np.abs(approximate.astype(np.float64) - wide)[finite] <= error[finite]).all()


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    isa=st.sampled_from(ISAS),
    words=st.integers(1, LARGEST),
    inputs=st.integers(1, 330),
    seed=st.integers(0, 2**32),
)
def test_the_bound_is_valid(kind: object, isa: str, words: int, inputs: int, seed: int) -> None:
    check_bound(kind(np.random.default_rng(seed), words, inputs, 3), isa)  # type: ignore[operator]


@settings(max_examples=200, deadline=None)
@given(
    isa=st.sampled_from(ISAS),
    shape=st.tuples(st.integers(1, 70), st.integers(1, 40)),
    numbers=st.lists(st.floats(-1e4, 1e4, width=32), min_size=7, max_size=7),
    seed=st.integers(0, 2**32),
)
def test_the_bound_is_valid_for_chosen_numbers(
    isa: str, shape: tuple[int, int], numbers: list[float], seed: int
) -> None:
    """Weights and activations of few values, among them the ones that round worst."""
    words, inputs = shape
    source = np.random.default_rng(seed)
    values = np.array([*numbers, 0.0, 127.5, -0.5, 1.5], np.float32)
    check_bound(projection(*(source.choice(values, each) for each in ((words, inputs), words, (2, inputs)))), isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("inputs", [17, 300])
def test_the_bound_is_the_one_of_the_proof(isa: str, inputs: int) -> None:
    """Beside float64 with the best axes: a tenth wider in the mean at most, and what float32 products round."""
    given = shared_mean(np.random.default_rng(5), LARGEST, inputs, 8)
    _, error, _ = _native_dev.screen_bounds(given.weight, given.bias, given.x, isa)
    plain = bound_without_rounding(given.weight, given.x, isa)
    norms = np.linalg.norm(given.x, axis=1)[:, None] * np.linalg.norm(given.weight, axis=1) + np.abs(given.bias)
    rounding = 3 * (inputs + 32) * HALF_ULP * norms
    assert 0.9 * plain.mean() <= error.mean() <= (1.1 * plain + rounding).mean()


@pytest.mark.parametrize("isa", ISAS)
def test_exact_logits_are_those_of_the_dense_product(isa: str) -> None:
    given = near_normal(np.random.default_rng(2), 400, 300, 5)
    exact = _native_dev.screen_bounds(given.weight, given.bias, given.x, isa)[2]
    found = _native_dev.screened_best(given.weight, given.bias, given.x, 400, np.zeros(400, np.uint8), [[]] * 5, 1, isa)
    for row, (screened, _, _, (tokens, logits, _)) in zip(exact, found, strict=True):
        assert not screened  # so many are not looked for
        assert row[tokens].tolist() == logits


def check_best(given: Projection, k: int, isa: str, suppressed: npt.NDArray[np.uint8], threads: int) -> int:
    """Words and logits are the dense product's, the log-sum-exp is within its bound; returns the rows screened."""
    source = np.random.default_rng(k)
    rows, words = len(given.x), len(given.bias)
    banned = [sorted({int(each) for each in source.integers(0, words, 5)}) for _ in range(rows)]
    found = _native_dev.screened_best(given.weight, given.bias, given.x, k, suppressed, banned, threads, isa)
    for _, best, error, dense in found:
        assert best[:2] == dense[:2]
        assert abs(best[2] - dense[2]) <= error + 1e-4
    return sum(screened for screened, *_ in found)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    isa=st.sampled_from(ISAS),
    words=st.integers(8, 5000),
    inputs=st.integers(2, 130),
    k=st.integers(1, 40),
    threads=st.integers(1, 3),
    hidden=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
def test_the_best_words_are_those_of_float32(
    kind: object, isa: str, words: int, inputs: int, k: int, threads: int, hidden: float, seed: int
) -> None:
    source = np.random.default_rng(seed)
    suppressed = (source.random(words) < hidden).astype(np.uint8)
    check_best(kind(source, words, inputs, 7), k, isa, suppressed, threads)  # type: ignore[operator]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", [near_normal, shared_mean])
def test_rows_of_usual_weights_are_screened(kind: object, isa: str) -> None:
    given = kind(np.random.default_rng(1), 20_000, 300, 40)  # type: ignore[operator]
    assert check_best(given, 11, isa, np.zeros(20_000, np.uint8), 1) >= 30


def test_words_that_come_late_and_many_survivors_before_them() -> None:
    """More words than the list has room for are near while the best are unknown: the row is scanned once more."""
    given = near_normal(np.random.default_rng(3), 9_000, 64, 6)
    given.bias[:4000] = 2.0
    given.weight[:4000] *= 1e-3
    given.bias[8_900:] = 12.0
    assert check_best(given, 11, "auto", np.zeros(9_000, np.uint8), 1) == 6


@pytest.mark.parametrize(
    ("kind", "least"), [(shared_mean, 40), (one_sided, 5), (groups, 5)], ids=["usual", "one-sided", "groups"]
)
def test_neither_threads_nor_other_rows_change_a_bit(kind: object, least: int) -> None:
    """Though the lists that a thread keeps may be too short where those of several are not."""
    given = kind(np.random.default_rng(9), 24_000, 64, 40)  # type: ignore[operator]
    nothing = np.zeros(24_000, np.uint8)

    def found(x: Floats, threads: int) -> list[Any]:
        banned: list[list[int]] = [[]] * len(x)
        return _native_dev.screened_best(given.weight, given.bias, x, 11, nothing, banned, threads)

    together = found(given.x, 1)
    assert all(found(given.x, threads) == together for threads in (2, 5))
    assert [row for each in given.x for row in found(each[None], 1)] == together
    assert sum(row[0] for row in together) >= least


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["weight", "bias", "x"])
def test_what_is_not_finite_is_left_to_the_dense_product(where: str, value: float) -> None:
    given = near_normal(np.random.default_rng(3), 2_000, 64, 2)
    getattr(given, where)[-1, ...] = value
    found = _native_dev.screened_best(given.weight, given.bias, given.x, 5, np.zeros(2_000, np.uint8), [[], []])
    assert [screened for screened, *_ in found] == [where == "x", False]
