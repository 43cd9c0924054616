"""The made-up data set of the training tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.small_run import write_split


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    write_split(folder, "train", 45)
    write_split(folder, "valid", 9)
    return folder


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """The folder of a tiny sentence encoder; skipped without transformers."""
    from tests.training.tiny_encoder import write_encoder

    return write_encoder(tmp_path / "encoder")
