"""What cannot be written ends a job in one line, and what was there stays."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from tests.corpora.conftest import MakeJob, start


def test_a_limit_of_the_file_size(tmp_path: Path, make_job: MakeJob, source: Path, children: ForkServerContext) -> None:
    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    make_job(source, whole).run()
    child = start(children, make_job(source, out), file_limit=whole.stat().st_size // 2)
    child.join()
    assert child.exitcode == 1
    assert not out.exists()
    summary = make_job(source, out).run()
    assert summary.rows_now == 0  # all parts fit, the joined file did not
    assert out.read_bytes() == whole.read_bytes()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, b"size=256k") != 0:
        pytest.skip(f"a tmpfs cannot be mounted: {os.strerror(ctypes.get_errno())}")
    yield folder
    libc.umount2(str(folder).encode(), 2)


def test_a_full_disk(tmp_path: Path, make_job: MakeJob, source: Path, small_disk: Path) -> None:
    whole, out = tmp_path / "whole.jsonl", small_disk / "out.jsonl"
    make_job(source, whole).run()
    (small_disk / "ballast").write_bytes(bytes(100_000))
    with pytest.raises(OSError, match="No space left"):
        make_job(source, out).run()
    assert not out.exists()
    (small_disk / "ballast").unlink()
    ctypes.CDLL(None).mount(b"tmpfs", str(small_disk).encode(), b"tmpfs", 32, b"size=8m")
    assert 0 < make_job(source, out).run().rows_now < 400
    assert out.read_bytes() == whole.read_bytes()
