"""Philox against its published vectors; the draws' statistics, independence, limits and errors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from mime_fast.errors import InputError
from mime_fast.reference.philox import MAX_NUMBERS, Purpose, gumbel, philox4x32, standard_normal

MAX = 2**64 - 1


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_published_vectors(counter: list[int], key: list[int], expected: list[int]) -> None:
    words = philox4x32(np.array(counter, dtype=np.uint32), np.array(key, dtype=np.uint32))
    assert words.dtype == np.uint32
    assert words.tolist() == expected


def test_blocks_are_independent_of_each_other() -> None:
    rng = np.random.default_rng(0)
    counters = rng.integers(0, 2**32, (3, 5, 4), dtype=np.uint32)
    keys = rng.integers(0, 2**32, (3, 1, 2), dtype=np.uint32)
    whole = philox4x32(counters, keys)
    for i, j in itertools.product(range(3), range(5)):
        assert np.array_equal(whole[i, j], philox4x32(counters[i, j], keys[i, 0]))


def by_hand(seed: int, request: int, purpose: int, size: int, step: int, sequence: int) -> list[float]:
    """The scheme of docs/random.md, one block at a time, in Python integers."""
    numbers: list[float] = []
    for block in range(-(-size // 4)):
        counter = [(step << 18) | block, (sequence << 8) | purpose, request % 2**32, request >> 32]
        key = [seed % 2**32, seed >> 32]
        words = philox4x32(np.array(counter, dtype=np.uint32), np.array(key, dtype=np.uint32)).tolist()
        u = [((word >> 9) + 0.5) / 2**23 for word in words]
        for a, b in ((u[0], u[1]), (u[2], u[3])):
            radius = np.sqrt(-2 * np.log(a))
            numbers += [radius * np.cos(2 * np.pi * b), radius * np.sin(2 * np.pi * b)]
    return numbers[:size]


@pytest.mark.parametrize(
    ("seed", "request_id", "purpose", "size", "step", "sequence"),
    [(0, 0, 0, 4, 0, 0), (1, 2, 3, 5, 7, 9), (MAX, MAX, 4, 13, 2**14 - 1, 2**24 - 1), (1 << 32, 1 << 32, 1, 1, 0, 1)],
)
def test_scheme(seed: int, request_id: int, purpose: int, size: int, step: int, sequence: int) -> None:
    drawn = standard_normal(seed, request_id, purpose, size, step=step, sequence=sequence)
    assert drawn.shape == (1, size)
    np.testing.assert_allclose(
        drawn[0], by_hand(seed, request_id, purpose, size, step, sequence), rtol=1e-14, atol=1e-15
    )


KNOWN = {  # (seed, request id, purpose, step, sequence); docs/random.md prints these
    (0, 0, 0, 0, 0): [0.9911374751458971, -0.9246627803544332, -0.6176090549848544, -0.4820683472644963],
    (1234, 7, 0, 0, 0): [1.0128345280252222, 1.0653822077176556, 0.31709754293950515, 0.28629164712541894],
    (MAX, MAX, 3, 0, 0): [-0.4317198180640067, 2.3889727497237456, -0.10476710837620645, -0.663295574656411],
    (0, 1, 4, 2, 1): [1.5217085626104072, -1.633590969642593, -0.22081143740123566, 0.11110537029157318],
}


@pytest.mark.parametrize(("case", "expected"), KNOWN.items())
def test_known_answers(case: tuple[int, int, int, int, int], expected: list[float]) -> None:
    seed, request_id, purpose, step, sequence = case
    drawn = standard_normal(seed, request_id, purpose, 4, step=step, sequence=sequence)
    np.testing.assert_allclose(drawn[0], expected, rtol=1e-14)


def test_known_gumbel_numbers() -> None:
    expected = [-0.9131290200507328, 1.9661187837077974, 3.4883563190774773, 0.1580897547676639]
    np.testing.assert_allclose(gumbel(0, 1, 2, 1, np.arange(4)[None])[0], expected, rtol=1e-14)


def test_float32_twin_stays_within_the_documented_tolerance() -> None:
    """docs/random.md allows 4e-6; plain float32 arithmetic on the same uniforms must be well inside it."""
    words = np.random.default_rng(1).integers(0, 2**23, (2, 500_000))
    words[0, :1000], words[0, 1000:2000] = np.arange(1000), 2**23 - 1 - np.arange(1000)
    u = (words + 0.5) * 2.0**-23
    single = u.astype(np.float32)
    assert np.array_equal(single, u)
    normals = np.sqrt(-2 * np.log(u[0])) * np.cos(2 * np.pi * u[1])
    twin = np.sqrt(np.float32(-2) * np.log(single[0])) * np.cos(np.float32(2 * np.pi) * single[1])
    assert twin.dtype == np.float32
    assert np.abs(twin - normals).max() < 4e-6
    assert np.abs(np.log(-np.log(single[0])) - np.log(-np.log(u[0]))).max() < 2e-6


def test_normals_have_the_moments_of_a_normal() -> None:
    drawn = standard_normal(7, np.arange(2000), Purpose.PRIOR_POSITIVE, 300).reshape(-1)
    count = drawn.size
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((drawn**power).mean() - moment) < 4 * np.sqrt(variance / count)
    assert 4.5 < np.abs(drawn).max() < 6


def test_every_part_of_the_counter_and_the_key_gives_other_numbers() -> None:
    calls: list[tuple[Any, ...]] = [
        (seed, request, purpose, step, sequence)
        for seed, request in ((0, 0), (1, 0), (1 << 32, 0), (0, 1), (0, 1 << 32))
        for purpose in Purpose
        for step in (0, 1)
        for sequence in (0, 1)
    ]
    drawn = np.stack([standard_normal(s, r, p, 4000, step=t, sequence=q)[0] for s, r, p, t, q in calls])
    correlation = np.corrcoef(drawn) - np.eye(len(calls))
    assert np.abs(correlation).max() < 5.5 / np.sqrt(4000)


def test_neighbouring_numbers_are_uncorrelated() -> None:
    drawn = standard_normal(3, 11, Purpose.PRIOR_NEGATIVE, 200_000)[0]
    for lag in range(1, 9):
        assert abs((drawn[:-lag] * drawn[lag:]).mean()) < 4.5 / np.sqrt(drawn.size)


def test_batch_and_size_change_nothing() -> None:
    seeds, requests = [5, MAX, 5, 0], [0, 1, MAX, 3]
    whole = standard_normal(seeds, requests, Purpose.PRIOR_POSITIVE, 301)
    assert whole.shape == (4, 301)
    for position, (seed, request) in enumerate(zip(seeds, requests, strict=True)):
        assert np.array_equal(whole[position, :7], standard_normal(seed, request, Purpose.PRIOR_POSITIVE, 7)[0])
    assert np.array_equal(whole[::-1], standard_normal(seeds[::-1], requests[::-1], Purpose.PRIOR_POSITIVE, 301))
    assert np.array_equal(whole, standard_normal(np.array(seeds, dtype=np.uint64), requests, 0, 301))


def test_no_requests() -> None:
    assert standard_normal([], [], 0, 300).shape == (0, 300)
    assert standard_normal(0, np.array([], dtype=np.int64), 0, 300).shape == (0, 300)
    assert gumbel([], [], 0, 0, np.zeros((0, 5), dtype=np.int64)).shape == (0, 5)


def test_gumbel_of_a_token_does_not_depend_on_the_others() -> None:
    everything = gumbel([1, 2], [3, 4], [5, 0], [0, 6], np.tile(np.arange(50), (2, 1)))
    some = np.array([[49, 0, 7], [3, 3, 2]])
    assert np.array_equal(gumbel([1, 2], [3, 4], [5, 0], [0, 6], some), np.take_along_axis(everything, some, axis=1))


def test_gumbel_argmax_draws_from_the_distribution() -> None:
    log_probs = np.log(np.array([0.5, 0.25, 0.15, 0.1]))
    count = 40_000
    drawn = (log_probs + gumbel(9, np.arange(count), 2, 0, np.tile(np.arange(4), (count, 1)))).argmax(axis=1)
    expected = np.exp(log_probs) * count
    chi_squared = ((np.bincount(drawn, minlength=4) - expected) ** 2 / expected).sum()
    assert chi_squared < 16.3  # 99.9 % point with 3 degrees of freedom


def test_gumbel_is_finite_and_has_its_mean() -> None:
    drawn = gumbel(0, np.arange(400), 1, 0, np.tile(np.arange(1000), (400, 1)))
    assert np.isfinite(drawn).all()
    assert abs(drawn.mean() - np.euler_gamma) < 4 * np.pi / np.sqrt(6 * drawn.size)


def test_limits_are_reached() -> None:
    drawn = standard_normal(MAX, MAX, Purpose.TOKEN, MAX_NUMBERS, step=2**14 - 1, sequence=2**24 - 1)
    assert drawn.shape == (1, MAX_NUMBERS)
    assert gumbel(MAX, MAX, 2**14 - 1, 2**24 - 1, np.array([[MAX_NUMBERS - 1]])).shape == (1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": -1}, r"seeds=-1: must be an integer from 0 to 18446744073709551615"),
        ({"seeds": MAX + 1}, "seeds=18446744073709551616"),
        ({"seeds": True}, "seeds=True"),
        ({"seeds": 1.0}, r"seeds=1\.0"),
        ({"seeds": None}, "seeds=None"),
        ({"seeds": "12"}, "seeds='1'"),
        ({"seeds": np.array([0.0])}, "seeds="),
        ({"seeds": np.array([1, -2])}, r"seeds=.*-2"),
        ({"request_ids": [0, -1]}, "request_ids=-1"),
        ({"seeds": [1, 2], "request_ids": [1, 2, 3]}, "lengths differ: seeds 2, request_ids 3"),
        ({"seeds": [], "request_ids": [1, 2]}, "lengths differ"),
        ({"purpose": 5}, "purpose=5: must be an integer from 0 to 4"),
        ({"purpose": -1}, "purpose=-1"),
        ({"size": 0}, "size=0: must be an integer from 1 to 1048576"),
        ({"size": MAX_NUMBERS + 1}, "size=1048577"),
        ({"step": 2**14}, "step=16384"),
        ({"sequence": 2**24}, "sequence=16777216"),
    ],
)
def test_out_of_range(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"seeds": 0, "request_ids": 0, "purpose": 0, "size": 4, "step": 0, "sequence": 0}
    with pytest.raises(InputError, match=message):
        standard_normal(**(arguments | change))


def test_gumbel_arguments_are_checked() -> None:
    with pytest.raises(InputError, match=r"token_ids of shape \(3,\): must be \[N, k\]"):
        gumbel(0, 0, 0, 0, np.arange(3))
    with pytest.raises(InputError, match=r"token_ids=.*1048576"):
        gumbel(0, 0, 0, 0, np.array([[MAX_NUMBERS]]))
    with pytest.raises(InputError, match=r"lengths differ: .*steps 3.*token_ids 2"):
        gumbel(0, 0, [1, 2, 3], 0, np.zeros((2, 2), dtype=np.int64))
