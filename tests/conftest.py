"""Fixtures shared by all tests: where data and golden outputs are, and tiny models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    if find_spec("mime_fast._native_dev") is None:
        raise pytest.UsageError(
            "mime_fast._native_dev is not built: `make test`, or `python setup.py build_ext --inplace`"
        )


@pytest.fixture(scope="session", autouse=True)
def no_wishes_for_terminals() -> Iterator[None]:
    """What somebody's shell says of colours and widths is not what a test is about."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS"):
            patch.delenv(name, raising=False)
        yield


def _folder(variable: str, default: str) -> Path:
    path = Path(os.environ.get(variable, ROOT.parent / "shared" / default))
    if not path.is_dir():
        pytest.skip(f"{path} is absent (set {variable} to the folder)")
    return path


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """Golden outputs of the released code."""
    return _folder("MIME_FAST_FIXTURES", "fixtures")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """EmpatheticDialogues and word vectors."""
    return _folder("MIME_FAST_DATA", "data")
