"""`--dry-run`: what a job would read, and how long it may take; nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mime_fast.corpora import preview as previews
from mime_fast.data.reading.options import Columns
from mime_fast.errors import DataError, OutputError
from tests.cli.conftest import Run, run  # noqa: F401 - a fixture
from tests.corpora.conftest import MakeJob, some_rows, write_rows


def test_a_preview_says_what_the_job_would_do(
    tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "CHECKED", 50)
    monkeypatch.setattr(previews, "COUNTED", 200)
    rows: list[Any] = [row | {"mood": "x" * 20_000} for row in some_rows(500)]  # more than is read ahead
    rows[1] = "{"
    source = write_rows(tmp_path / "in.jsonl", rows)
    found = make_job(source, tmp_path / "out.jsonl", kind="generate", task={"first_row": 100}).preview()
    assert found.columns == {"context": "context", "id": "id"} and found.unread == ["response", "mood"]
    assert (found.checked, len(found.bad), found.exact) == (50, 1, False)
    assert found.rows == pytest.approx(500, rel=0.1)  # by bytes
    assert found.seconds == pytest.approx(found.rows / found.rows_per_second)
    text = str(found)
    assert "reads    'context', 'id'; not 'response', 'mood'" in text
    assert "\nrow 100  row-0: 3 turns, the last: " in text and "\nrow 101  bad: not JSON" in text
    assert "bad      1 of the first 50 rows\n         " in text and text.endswith("\nnothing was written")
    assert list(tmp_path.iterdir()) == [source]


def test_a_preview_of_all_rows_is_exact(tmp_path: Path, make_job: MakeJob) -> None:
    cells = "".join(f"{i};i am so happy number {i}\n" for i in range(7))
    (tmp_path / "in.csv").write_text(f"id;said\n{cells}")
    found = make_job(tmp_path / "in.csv", None, kind="classify", task={"columns": Columns(context="said")}).preview()
    assert (found.rows, found.exact, found.columns["context"]) == (7, True, "said")
    assert "'context' from 'said'" in str(found) and ", 7 rows\n" in str(found) and "about" not in str(found)


def test_without_a_good_row_there_is_no_time(tmp_path: Path, make_job: MakeJob) -> None:
    found = make_job(write_rows(tmp_path / "in.jsonl", ["{", "["]), None).preview()
    assert (found.seconds, len(found.bad), found.columns) == (None, 2, {})
    assert "\ntime" not in str(found) and "reads    nothing" in str(found)


def test_what_the_job_would_refuse_is_refused(tmp_path: Path, make_job: MakeJob) -> None:
    source = write_rows(tmp_path / "in.jsonl", some_rows(3))
    with pytest.raises(OutputError, match="cannot be written"):
        make_job(source, tmp_path / "none" / "out.jsonl").preview()
    with pytest.raises(DataError, match="no 'said'"):
        make_job(source, None, task={"columns": Columns(context="said")}).preview()


def test_the_flag(run: Run, tmp_path: Path, model_dir: Path) -> None:  # noqa: F811
    folder = tmp_path / "in"
    folder.mkdir()
    write_rows(folder / "a.jsonl", some_rows(2))
    (folder / "notes.md").write_text("no rows")
    out = tmp_path / "out.jsonl"
    outcome = run("score", folder, out, "--model", model_dir, "--dry-run")
    assert (outcome.code, out.exists()) == (0, False)
    assert "input    1 file" in outcome.out and "2 rows" in outcome.out and "'response'" in outcome.out
    assert "passed over notes.md" in outcome.err
    piped = run("classify", "-", "--model", model_dir, "--dry-run", stdin=json.dumps({"context": ["i", "you"]}))
    assert piped.code == 1 and "bad      1 of the first 1 rows" in piped.out
