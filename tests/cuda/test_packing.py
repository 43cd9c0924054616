"""What travels together: any types and shapes, whole, by one copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mime_fast.backends.gpu import packing
from tests.cuda.no_reads import NoReads

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Inner:
    flags: Tensor
    name: str


@dataclass(frozen=True)
class Outer:
    ids: Tensor
    inner: tuple[Inner, ...]
    missing: Tensor | None
    values: Tensor


def given() -> Outer:
    inners = tuple(Inner(torch.arange(n, dtype=torch.uint8), f"of {n}") for n in (3, 0, 17))
    values = torch.tensor([[0.5, torch.nan], [-torch.inf, 1e-310]], dtype=torch.float64)
    return Outer(torch.arange(7).view(7, 1) - 2**62, inners, None, values)


def test_to_the_device() -> None:
    value = given()
    there = packing.to_device(value, CPU)
    assert [one.name for one in there.inner] == ["of 3", "of 0", "of 17"] and there.missing is None
    tensors = [[x for x in packing.leaves(each) if isinstance(x, Tensor)] for each in (value, there)]
    assert len(tensors[0]) == 5
    for mine, theirs in zip(*tensors, strict=True):
        assert mine.dtype == theirs.dtype and mine.shape == theirs.shape and theirs.is_contiguous()
        assert mine.numpy().tobytes() == theirs.numpy().tobytes()
        assert theirs.data_ptr() % packing.ALIGNED == 0
        assert theirs.untyped_storage().data_ptr() == tensors[1][0].untyped_storage().data_ptr()
    value.ids.zero_()
    assert there.ids.all()  # a copy


def test_to_the_device_by_one_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[Any] = []
    to = Tensor.to

    def noting(self: Tensor, *args: Any, **named: Any) -> Tensor:
        moved.append(self)
        return to(self, *args, **named)

    monkeypatch.setattr(Tensor, "to", noting)
    packing.to_device((given(), torch.ones(2), given()), CPU)
    assert len(moved) == 1


def test_to_the_host_by_one_operation() -> None:
    tensors = [
        torch.arange(5, dtype=torch.uint8),
        torch.arange(12, dtype=torch.int32).view(3, 4)[1:],
        torch.zeros(0, 3),
        torch.tensor([torch.nan, 2.0], dtype=torch.float64),
        torch.arange(6).view(2, 3).T,
    ]
    with NoReads() as mode:
        packed = packing.together(tensors)
    assert mode.ops.count("cat") == 1
    for found in (packing.apart(packed, tensors), packing.to_host(tensors)):
        for mine, tensor in zip(found, tensors, strict=True):
            np.testing.assert_array_equal(mine, tensor.numpy())
            assert mine.dtype == tensor.numpy().dtype and mine.flags.c_contiguous and mine.flags.owndata
    assert packing.to_device((), CPU) == ()
