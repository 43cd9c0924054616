"""The file of a released checkpoint: damage, what is larger than it looks, and the numbers beside the weights."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mime_fast.checkpoints.released_checkpoint import read_checkpoint
from mime_fast.checkpoints.released_numbers import finite_number
from mime_fast.errors import CheckpointError
from tests.checkpoints.released_layout import released_state, save_released


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    return str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("loss", "number"),
    [
        (np.float64(3.5), 3.5),
        (np.float32(-0.25), -0.25),
        (np.float16(2), 2.0),
        (np.int64(-7), -7),
        (np.int32(70_000), 70_000),
        (np.dtype(">f8").type(3.5), 3.5),
        (torch.tensor(3.5), 3.5),
        (torch.tensor([12]), 12),
        (np.float64("nan"), None),
        (np.bool_(True), None),
        (np.dtype("f8"), None),
        (torch.tensor(True), None),
        (torch.tensor(1j), None),
        (torch.zeros(2), None),
        (torch.zeros((), device="meta"), None),
        (torch.tensor(torch.nan), None),
        (float("nan"), None),
        (float("-inf"), None),
        ("3.5", None),
    ],
)
def test_numbers_beside_the_weights(tmp_path: Path, loss: Any, number: float | None, zipped: bool) -> None:
    """In what is returned they are JSON's."""
    torch.save({"current_loss": loss}, tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
    found = finite_number(read_checkpoint(tmp_path / "model.pt")["current_loss"])
    assert (found, type(found)) == (number, type(number))


def test_a_damaged_checkpoint(tmp_path: Path) -> None:
    """One bit of a weight, which is still a number."""
    path = save_released(tmp_path / "model.pt", released_state())
    weight = released_state()["s_weight.weight"].numpy().tobytes()
    path.write_bytes(path.read_bytes().replace(weight, bytes([weight[0] ^ 1]) + weight[1:]))
    message = refused(path)
    assert message.startswith(f"{path}: damaged: model/data/")
    assert message.endswith(" in it has another checksum than when it was saved")


def central(path: Path, name: str) -> tuple[bytearray, int]:
    """A file's bytes, and where an entry is in its list of entries."""
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    content = bytearray(path.read_bytes())
    return content, content.index(name.encode(), start) - 46


@pytest.mark.parametrize(
    ("place", "value", "checksums"),
    [(38, 0x10, True), (38, 0x30, False), (20, 0, False)],
    ids=["folder", "folder without checksums", "stored in 0 bytes"],
)
def test_an_entry_that_torch_would_leave_unread(tmp_path: Path, place: int, value: int, checksums: bool) -> None:
    """One bit, and its weights would be what the memory had."""
    path = tmp_path / "model.pt"
    torch.serialization.set_crc32_options(checksums)
    try:
        save_released(path, released_state())
    finally:
        torch.serialization.set_crc32_options(True)
    content, entry = central(path, "model/data/7")
    content[entry + place : entry + place + 2] = value.to_bytes(2, "little")
    path.write_bytes(content)
    assert refused(path).startswith(f"{path}: damaged: model/data/7 in it has content and is marked as a folder")


def test_a_checkpoint_with_an_entry_twice(tmp_path: Path) -> None:
    """Its checksum is looked at in one of the two, and torch.load may read the other."""
    path = save_released(tmp_path / "model.pt", released_state())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("Model/data/7", b"")
    assert "damaged: model/data/7 is in it more than once" in refused(path)


def test_folders_in_an_archive_are_nothing(tmp_path: Path) -> None:
    """As other programs that write archives list them."""
    path = save_released(tmp_path / "model.pt", released_state())
    with zipfile.ZipFile(path, "a") as archive:
        archive.mkdir("model/data")
    assert set(read_checkpoint(path)["model"]) == set(released_state())


def test_a_compressed_checkpoint(tmp_path: Path) -> None:
    """A small one could become more than the memory."""
    path = save_released(tmp_path / "model.pt", released_state())
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    assert "refused: model/data.pkl in it is compressed; torch.save only stores" in refused(path)


def test_a_checkpoint_that_has_its_bytes_several_times(tmp_path: Path) -> None:
    path = save_released(tmp_path / "model.pt", released_state())
    with zipfile.ZipFile(path, "a") as archive:
        archive.filelist += archive.filelist * 3
        archive.comment = b"the list is written again"
    assert "refused: what is in it is larger than the file" in refused(path)


@pytest.mark.parametrize("form", ["zip", "pickle", "second pickle"])
def test_a_key_that_is_hashed_for_ever(tmp_path: Path, form: str) -> None:
    path, data = tmp_path / "model.pt", b"\x80\x02}K\x01" + b"q\x01h\x01\x86" * 40 + b"K\x01s."
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model/data.pkl", data)
    else:
        path.write_bytes(pickle.dumps(1, 2) * (form == "second pickle") + data)
    assert "refused: tuples " in refused(path)
