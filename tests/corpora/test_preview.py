"""`--dry-run`: what a job would read, and how long it may take; nothing is written."""

from __future__ import annotations

import io
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

import mime_fast
from mime_fast.corpora import parts
from mime_fast.corpora import preview as previews
from mime_fast.data.reading.options import Columns, Reading
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


def test_rows_that_the_job_would_reject_are_bad(tmp_path: Path, make_job: MakeJob) -> None:
    """Too long for the model, a response that is no tokens; strict as well, where the job stops."""
    rows: list[Any] = some_rows(30)
    rows[4]["context"] = ["i am so happy " * 750]
    rows[9]["response"] = ["no", "two words"]
    source = write_rows(tmp_path / "in.jsonl", rows)
    for strict in (False, True):
        found = make_job(source, tmp_path / "out.jsonl", strict=strict).preview()
        assert [one.index for one in found.bad] == [4, 9] and found.rows == 30
        assert "bad      2 of the first 30 rows\n         " in str(found) and "3000" in found.bad[0].reason
    job = make_job(source, tmp_path / "out.jsonl")
    assert job.run().errors == 2
    lines = [json.loads(line) for line in Path(str(job.errors_file)).read_text().splitlines()]
    assert [line["reason"] for line in lines] == [one.reason for one in found.bad]


def test_rows_that_cannot_be_answered_are_bad(tmp_path: Path, make_job: MakeJob) -> None:
    source = write_rows(tmp_path / "in.jsonl", some_rows(6))
    size = mime_fast.load(make_job(source, None).model).tokenizer.vocab_size
    search = {"num_beams": 2, "min_new_tokens": 3, "no_repeat_ngram_size": 1, "suppress_tokens": list(range(1, size))}
    found = make_job(source, None, kind="generate", task={"search": search}).preview()
    assert len(found.bad) == 6 and found.seconds is None and "no response can be generated" in found.bad[0].reason


@pytest.mark.parametrize("name", ["out.jsonl", "out/"])
def test_what_is_at_the_output(tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A job that was stopped, one that is done, another one's, and what no job made; all stays as it is."""
    source, out = write_rows(tmp_path / "in.jsonl", some_rows(100)), f"{tmp_path}/{name}"
    make = parts.write_part

    def failing(files: Any, number: int, *rest: Any) -> None:
        if number == 2:
            raise OSError(28, "No space left on device")
        make(files, number, *rest)

    def everything() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def looked(**given: Any) -> str:
        before = everything()
        try:
            return str(make_job(source, out, **given).preview())
        finally:
            assert everything() == before

    assert "\noutput " not in looked() and not Path(out).exists()
    with monkeypatch.context() as patch:
        patch.setattr("mime_fast.corpora.part_work.write_part", failing)
        with pytest.raises(OSError, match="No space"):
            make_job(source, out).run()
    assert f"\noutput   {out}: goes on after 80 rows\nnothing was written" in looked()
    assert "\noutput " not in looked(restart=True)
    make_job(source, out).run()
    assert f"\noutput   {out}: finished already\nnothing" in looked() and "\ntime     0.0 s" in looked()
    source.touch()
    assert f"\noutput   {out}: finished already, if the rows are still the same\n" in looked()
    with pytest.raises(DataError, match=r"is another job's: task\.seed was 0, now 1"):
        looked(task={"seed": 1})
    with pytest.raises(DataError, match="device cuda is asked for"):
        looked(load_options={"device": "cuda"})


def test_an_output_that_no_job_made(tmp_path: Path, make_job: MakeJob) -> None:
    source, out = write_rows(tmp_path / "in.jsonl", some_rows(3)), tmp_path / "out.jsonl"
    out.write_text("mine")
    with pytest.raises(DataError, match="exists, and no job made it"):
        make_job(source, out).preview()
    assert make_job(source, out, force=True).preview().output is None and out.read_text() == "mine"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.md").write_text("mine")
    with pytest.raises(DataError, match=r"contains 'notes\.md', which no job made"):
        make_job(source, f"{tmp_path}/out/").preview()
    (tmp_path / "new.jsonl.parts").mkdir()
    (tmp_path / "new.jsonl.parts" / "mine").write_text("mine")
    with pytest.raises(DataError, match=r"contains 'mine', and there is no new\.jsonl\.manifest\.json"):
        make_job(source, tmp_path / "new.jsonl").preview()


@pytest.mark.parametrize("count", [3, 700, 1500])
def test_a_pipe_that_stays_open_is_not_waited_for(
    tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(previews, "PAUSE", 0.2)
    source = write_rows(tmp_path / "in.jsonl", some_rows(count))
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin, os.fdopen(writing, "wb") as pipe:
        monkeypatch.setattr("sys.stdin", stdin)

        def feed() -> None:
            pipe.write(source.read_bytes())
            pipe.flush()

        threading.Thread(target=feed, daemon=True).start()
        found = make_job("-", None, kind="classify").preview()
        assert (found.checked, found.rows, found.exact) == (min(count, 1000), 0, False)
        assert "of unknown length" in str(found) and "time     unknown" in str(found)
        os.set_blocking(reading, False)


def test_what_is_wrong_with_a_pipe_is_said(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b'id,context\n1,i am so happy\n2,"my cat\n3,ran away\n'
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(DataError, match="quote"):
        make_job("-", None, kind="classify", reading=Reading(format="csv")).preview()


def test_the_flag(run: Run, tmp_path: Path, model_dir: Path) -> None:  # noqa: F811
    folder = tmp_path / "in"
    folder.mkdir()
    write_rows(folder / "a.jsonl", some_rows(2))
    (folder / "notes.md").write_text("no rows")
    out = tmp_path / "out.jsonl"
    outcome = run("score", folder, out, "--model", model_dir, "--dry-run")
    assert (outcome.code, out.exists()) == (0, False)
    assert "input    1 file" in outcome.out and "2 rows" in outcome.out and "'response'" in outcome.out
    assert f"mime-fast: warning: {folder}: passed over notes.md" in outcome.err
    assert (
        "Engine(" not in outcome.err and "Engine(" in run("score", folder, "--model", model_dir, "--dry-run", "-v").err
    )
    piped = run("classify", "-", "--model", model_dir, "--dry-run", stdin=json.dumps({"context": ["i", "you"]}))
    assert piped.code == 1 and "bad      1 of the first 1 rows" in piped.out
