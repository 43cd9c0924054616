"""A tiny model, rows for it, and jobs in a process that can be killed."""

from __future__ import annotations

import json
import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from mime_fast.corpora.job import CorpusJob
from mime_fast.corpora.parts import write_part
from mime_fast.corpora.places import StateFiles
from mime_fast.corpora.summary import Summary
from mime_fast.corpora.tasks import Task
from mime_fast.errors import MimeFastError
from tests.cli.conftest import TEXT, model_dir  # noqa: F401 - a fixture

WORDS = TEXT.split()
MakeJob = Callable[..., CorpusJob]


def some_rows(count: int) -> list[dict[str, Any]]:
    """Good rows of different lengths, all different."""
    rows = []
    for i in range(count):
        words = [WORDS[(i * 7 + j * (1 + i % 5)) % len(WORDS)] for j in range(2 + i % 11)]
        turns = [" ".join(words), "i am so happy !", " ".join(reversed(words))][: 1 if i % 3 else 3]
        rows.append({"id": f"row-{i}", "context": turns, "response": " ".join(words[: 1 + i % 6])})
    return rows


def write_rows(path: Path, rows: list[Any]) -> Path:
    """Rows as JSON lines; text is a line as it is."""
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


@pytest.fixture
def make_job(model_dir: Path) -> MakeJob:  # noqa: F811
    def make(inputs: Any, output: Path | str | None, *, kind: Any = "score", **given: Any) -> CorpusJob:
        task = Task(kind, **given.pop("task", {}))
        options: dict[str, Any] = {
            "model": str(model_dir),
            "load_options": {"threads": 1},
            "quiet": True,
            "part_rows": 40,
        } | given
        if not isinstance(inputs, list):
            inputs = str(inputs)
        return CorpusJob(task, inputs, None if output is None else str(output), **options)

    return make


def run_job(job: CorpusJob, file_limit: int | None = None) -> Summary:
    """What a child process does; `file_limit` bytes fit into a file."""
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    return job.run()


@pytest.fixture(scope="session")
def children() -> ForkServerContext:
    """Starts children of a process that has imported all, and so is fast."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["mime_fast.engine.load", "mime_fast.backends.native", "pyarrow.parquet", "pytest", "tests.corpora.conftest"]
    )
    return context


def start(children: ForkServerContext, job: CorpusJob, file_limit: int | None = None) -> ForkServerProcess:
    child = children.Process(target=run_job, args=(job, file_limit))
    child.start()
    return child


def mixed_rows(count: int) -> list[object]:
    """Some of them bad."""
    rows: list[object] = list(some_rows(count))
    for i in range(5, count, 37):
        rows[i] = '{"context": ['
    return rows


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "in.jsonl", mixed_rows(400))


def stopped_after(monkeypatch: pytest.MonkeyPatch, run: Callable[[], object], parts: int) -> None:
    """Run a job that ends when so many parts are done."""

    def failing(files: StateFiles, number: int, *rest: object) -> None:
        if number == parts:
            raise KeyboardInterrupt
        write_part(files, number, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("mime_fast.corpora.part_work.write_part", failing)
        run()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(tmp_path: Path, job: Any, told: str, kind: type[MimeFastError] = MimeFastError) -> None:
    """The job is refused, and everything is as it was."""
    before, names = contents(tmp_path), sorted(tmp_path.rglob("*"))
    with pytest.raises(kind, match=told):
        job.run()
    assert contents(tmp_path) == before
    assert sorted(tmp_path.rglob("*")) == names
