"""A job that is killed at any moment goes on, and its output is that of an unbroken run."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from mime_fast.errors import BackendError
from tests.corpora.conftest import MakeJob, mixed_rows, start, write_rows

KILLS = 20


@pytest.mark.parametrize(("name", "workers"), [("out.jsonl", 1), ("out.parquet", 1), ("out.jsonl", 2)])
def test_killed_at_random_moments(
    tmp_path: Path, make_job: MakeJob, children: ForkServerContext, name: str, workers: int
) -> None:
    source = write_rows(tmp_path / "in.jsonl", mixed_rows(800))
    (tmp_path / "broken").mkdir()
    unbroken, broken = tmp_path / name, tmp_path / "broken" / name
    begun = time.monotonic()
    child = start(children, make_job(source, unbroken))
    child.join()
    assert child.exitcode == 0
    longest = time.monotonic() - begun
    luck = random.Random(6)
    kills = runs = 0
    wanted = KILLS // 2 if workers == 1 else 3
    while kills < wanted:
        runs += 1
        assert runs <= 10 * wanted, f"of {runs - 1} jobs only {kills} were killed before they ended"
        child = start(children, make_job(source, broken, workers=workers))
        child.join(luck.uniform(0.02, longest) * workers)
        child.kill()  # does nothing to one that has just ended
        child.join()
        assert child.exitcode in (0, -signal.SIGKILL)
        kills += child.exitcode != 0
        if child.exitcode == 0 and kills < wanted:  # done before all kills: once more from the start
            broken.with_name(f"{name}.manifest.json").unlink()
            broken.unlink()
            broken.with_name(f"{name}.errors.jsonl").unlink()
    summary = make_job(source, broken).run()
    assert (summary.rows, summary.errors) == (800, 22)
    assert broken.read_bytes() == unbroken.read_bytes()
    errors = f"{name}.errors.jsonl"
    assert (tmp_path / "broken" / errors).read_bytes() == (tmp_path / errors).read_bytes()
    names = [name, errors, f"{name}.manifest.json"]
    assert sorted(path.name for path in (tmp_path / "broken").iterdir()) == sorted(names)


@pytest.mark.parametrize("name", ["out.jsonl", "parts/"])
def test_killed_while_the_output_is_put_in_place(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    make_job(source, f"{tmp_path}/whole-{name}").run()
    expected = {path.name.removeprefix("whole-"): path for path in tmp_path.glob("whole-*")}
    replace, left = Path.replace, [0]

    def killed(self: Path, target: Path) -> Path:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return replace(self, target)

    kills = 0
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        for moves in (1, 2, 5, 8, 9, 11, 13, 2, 3, 4, 1, 2, 3):
            left[0] = moves
            try:
                make_job(source, f"{tmp_path}/{name}").run()
            except KeyboardInterrupt:
                kills += 1
    assert kills >= 6
    assert make_job(source, f"{tmp_path}/{name}").run().rows == 400
    for found, path in expected.items():
        if path.is_file() and "manifest" not in found:
            assert (tmp_path / found).read_bytes() == path.read_bytes()
        elif path.is_dir():
            for part in path.glob("part-*"):
                assert (tmp_path / name / part.name).read_bytes() == part.read_bytes()
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_worker_that_is_killed(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    """As by a system without memory: one line, what is done is kept, and the other worker is gone, too."""
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    make_job(source, whole).run()
    workers: list[Any] = []

    def kill_one() -> None:
        end = time.monotonic() + 60
        while not workers and time.monotonic() < end:
            workers.extend(multiprocessing.active_children())
            time.sleep(0.01)
        os.kill(workers[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(BackendError, match=r"a worker process ended .*; what is done is kept: start the job again"):
        make_job(source, out, workers=2).run()
    killer.join()
    assert not multiprocessing.active_children()
    assert not out.exists()
    assert make_job(source, out, workers=2).run().rows == 400
    assert out.read_bytes() == whole.read_bytes()
