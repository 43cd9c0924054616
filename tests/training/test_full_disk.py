"""A disk that is full while a run saves: one error with the file's name, nothing half written, and the run goes on."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mime_fast.errors import MimeFastError
from mime_fast.training import run
from tests.training.small_run import stage


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The system refuses to let a file grow beyond `size`, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["model.safetensors", "training_state.pt", "teachers/linear", "teachers/encoder"])
def test_a_full_disk(tmp_path: Path, data: Path, name: str) -> None:
    taught = {"emotion_teacher": 0.5, "encoder_teacher_steps": 2} if "/" in name else {}
    plan = [stage(max_steps=2, **taught)]
    run.train(plan, data, tmp_path / "whole", show_progress=False)
    (full,) = (tmp_path / "whole").glob(f"{name}*")
    out = tmp_path / "out"
    fold = name == "teachers/encoder"  # its state is larger than its answers
    with largest_file(full.stat().st_size + (fold - 1)), pytest.raises(MimeFastError) as raised:
        run.train(plan, data, out, show_progress=False)
    said = str(raised.value)
    assert f"{out}/{name}" in said and "cannot be written: File too large" in said and "\n" not in said
    assert not [path for path in out.rglob("*") if ".tmp" in path.name or path.name == Path(name).name]
    run.train(plan, data, out, show_progress=False)
    kept = (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert (out / "model.safetensors").read_bytes() == kept
