"""Batches of flattened dialogues: which go together, and how they lie; few shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mime_fast.backends.gpu import batches
from mime_fast.backends.protocol import Contexts
from mime_fast.text.special import PAD_ID


def test_numbers_of_rows_are_few_and_near() -> None:
    found = [batches.rung(rows) for rows in range(1, batches.ROWS + 1)]
    assert found == sorted(found) and found[-1] == batches.ROWS
    assert len(set(found)) <= 40 and all(rung % batches.BUCKET == 0 for rung in found)
    for rows, rung in enumerate(found, 1):
        assert 0 <= rung - rows < max(batches.BUCKET, rows / 4)
        assert batches.rung(rung) == rung


@pytest.mark.parametrize(
    ("lengths", "most", "sizes"),
    [
        ([9] * 7, 3, [3, 3, 1]),
        ([20] * 600, 999, [256, 256, 88]),  # dialogues
        ([100] * 200, 999, [163, 37]),  # rows
        ([1000] * 3 + [1] * 100, 999, [65, 38]),  # as many as if each was the longest
        ([20_000, 3, 2], 999, [1, 2]),
        ([], 999, []),
    ],
)
def test_a_batch_is_no_larger_than_it_may_be(lengths: list[int], most: int, sizes: list[int]) -> None:
    offsets = np.cumsum([0, *lengths])
    found = list(batches.batches(list(range(len(lengths))), offsets, np.zeros(len(lengths), np.int64), most))
    assert [len(batch) for batch in found] == sizes
    assert [i for batch in found for i in batch] == list(range(len(lengths)))


def test_only_those_go_together_that_are_alike() -> None:
    offsets, alike = np.arange(0, 60, 10), np.array([2, 2, 1, 1, 1])
    assert list(batches.batches(range(5), offsets, alike, 2)) == [[0, 1], [2, 3], [4]]


def test_dialogues_one_after_the_other() -> None:
    lengths = [4, 15, 2, 9]
    offsets = np.cumsum([0, *lengths])
    ids, states = np.arange(10, 40, dtype=np.int32), np.arange(30, dtype=np.int32) % 3 + 4
    found = batches.flattened(Contexts(ids, states, offsets), [3, 0, 2])
    rows = [*range(21, 30), *range(4), *range(19, 21)]
    assert found.context_ids.tolist() == [*ids[rows], PAD_ID]
    assert found.state_ids.tolist() == [*states[rows], PAD_ID]
    assert found.starts.tolist() == [0, 9, 13, 15] and found.ends.tolist() == [9, 13, 15, 15]
    assert found.longest == 16
    assert {x.dtype for x in vars(found).values() if isinstance(x, torch.Tensor)} == {torch.int32}
    owner, place = found.sequences().owners()
    assert owner.tolist() == [0] * 9 + [1] * 4 + [2] * 2 + [3]
    assert place.tolist() == [*range(9), *range(4), *range(2), -1]
    assert found.sequences().seen.tolist() == [1] * 15 + [0]
