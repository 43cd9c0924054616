"""Tensors of every floating-point type come out as PyTorch reads them, from a file that is read bit by bit."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mime_fast.checkpoints.tensor_file import TensorFile
from mime_fast.errors import CheckpointError

TYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_values_are_those_that_torch_reads(tmp_path: Path, dtype: torch.dtype) -> None:
    """Every float16 and bfloat16 there is, denormal ones among them, but NaN."""
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int16)
    values = bits.view(dtype) if dtype in TYPES[:2] else torch.randn(65536, dtype=torch.float64).to(dtype)
    values = values[~values.isnan()]
    tensors = {"z": values, "a.b": values[:6].reshape(1, 2, 3).clone(), "empty": torch.zeros(0, 3, dtype=dtype)}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    file = TensorFile(tmp_path / "x.safetensors")
    assert set(file) == set(tensors) and len(file) == 3
    for name, tensor in tensors.items():
        array = file[name]
        assert type(array) is np.ndarray and array.dtype == np.float32
        assert np.array_equal(array, tensor.float().numpy())
        assert file.found()[name].shape == tuple(tensor.shape)
        assert file.found()[name].dtype == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_values_that_cannot_be_used_are_counted(tmp_path: Path, dtype: torch.dtype) -> None:
    values = torch.tensor([1.0, torch.nan, -torch.inf, torch.inf, 0.0, torch.finfo(dtype).max], dtype=dtype)
    save_file({"x": values}, tmp_path / "x.safetensors")
    found = TensorFile(tmp_path / "x.safetensors").found()["x"]
    assert found.floating
    assert found.count_unusable() == 3 + (dtype == torch.float64)  # its largest number is infinite in float32


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float8_e5m2], ids=str)
def test_other_types_are_named(tmp_path: Path, dtype: torch.dtype) -> None:
    save_file({"x": torch.zeros(2, dtype=dtype), "y": torch.ones(3)}, tmp_path / "x.safetensors")
    file = TensorFile(tmp_path / "x.safetensors")
    assert not file.found()["x"].floating
    if not dtype.is_floating_point:
        assert file.found()["x"].dtype == str(dtype).removeprefix("torch.")
    assert file["y"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("header", [b'{"__metadata__":null}', b"{}"])
def test_a_file_without_metadata(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert TensorFile(path).metadata == {}


def test_a_file_that_changes_is_not_read_on(tmp_path: Path) -> None:
    """The shapes would be another file's, or the values half of each."""
    path = tmp_path / "x.safetensors"
    save_file({"x": torch.zeros(4)}, path)
    file = TensorFile(path)
    save_file({"x": torch.ones(4)}, tmp_path / "y.safetensors")
    os.replace(tmp_path / "y.safetensors", path)
    with pytest.raises(CheckpointError, match="has changed since it was loaded"):
        file["x"]
    path.unlink()
    with pytest.raises(CheckpointError, match="cannot be read any more"):
        file["x"]
