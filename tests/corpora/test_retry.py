"""`retry_errors`: the bad rows of an earlier job, with the answers that they would have had."""

from __future__ import annotations

import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from mime_fast.corpora.retry import error_rows
from mime_fast.data.reading.options import Columns
from mime_fast.errors import ConfigError, DataError
from tests.corpora.conftest import MakeJob, some_rows, write_rows

NUMBERED = {"first_row": 7, "row_step": 3}


def with_bad_rows() -> list[Any]:
    """Rows 30, 55 and 119 are bad: an even number of turns, no context, no JSON."""
    rows: list[Any] = some_rows(120)
    rows[30]["context"] = ["i am so happy", "did you ?"]
    rows[55].pop("context")
    rows[119] = "{"
    return rows


@pytest.mark.parametrize("numbers", [{}, NUMBERED])
@pytest.mark.parametrize("workers", [1, 2])
def test_mended_rows_are_answered_as_they_would_have_been(
    tmp_path: Path, make_job: MakeJob, numbers: dict[str, int], workers: int
) -> None:
    rows, source = with_bad_rows(), tmp_path / "in.jsonl"
    task: dict[str, Any] = {"search": {"do_sample": True, "num_beams": 1}} | numbers
    first = make_job(write_rows(source, rows), tmp_path / "out.jsonl", kind="generate", task=task)
    assert first.run().errors == 3
    good = some_rows(120)
    rows[55], rows[119] = good[55], good[119]
    write_rows(source, rows)
    options = {"task": task | {"strict_turns": False}, "kind": "generate"}
    retried = make_job(
        source, tmp_path / "more.jsonl", retry_errors=str(first.errors_file), workers=workers, part_rows=2, **options
    )
    summary = retried.run()
    assert (summary.rows, summary.errors) == (3, 0)
    make_job(source, tmp_path / "whole.jsonl", **options).run()
    whole = (tmp_path / "whole.jsonl").read_text().splitlines()
    assert (tmp_path / "more.jsonl").read_text().splitlines() == [whole[place] for place in (30, 55, 119)]
    assert retried.run() == summary.there_already()
    with pytest.raises(DataError, match="is another job's: rows was"):
        make_job(source, tmp_path / "more.jsonl", part_rows=2, **options).run()


def test_rows_that_are_still_bad_are_reported_again(tmp_path: Path, make_job: MakeJob) -> None:
    source = write_rows(tmp_path / "in.jsonl", with_bad_rows())
    first = make_job(source, tmp_path / "out.jsonl")
    first.run()
    again = make_job(source, tmp_path / "more.jsonl", retry_errors=str(first.errors_file))
    assert (again.run().rows, again.errors_file) == (3, str(tmp_path / "more.jsonl.errors.jsonl"))
    assert (tmp_path / "more.jsonl.errors.jsonl").read_bytes() == (tmp_path / "out.jsonl.errors.jsonl").read_bytes()
    assert (tmp_path / "more.jsonl").read_bytes() == b""


def test_a_pipe_of_bad_rows_is_read_once(tmp_path: Path, make_job: MakeJob) -> None:
    source = write_rows(tmp_path / "in.jsonl", with_bad_rows())
    make_job(source, tmp_path / "out.jsonl").run()
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "wb") as pipe:
        pipe.write((tmp_path / "out.jsonl.errors.jsonl").read_bytes())
        pipe.close()
        assert make_job(source, tmp_path / "more.jsonl", retry_errors=f"/dev/fd/{reading}").run().rows == 3


def test_errors_files_of_several_jobs_are_not_one(tmp_path: Path, make_job: MakeJob) -> None:
    both = b""
    for name in ("a", "b"):
        source = write_rows(tmp_path / f"{name}.jsonl", with_bad_rows())
        job = make_job(source, tmp_path / f"{name}-out.jsonl")
        job.run()
        both += (errors := Path(str(job.errors_file)).read_bytes())
    (tmp_path / "twice.jsonl").write_bytes(errors + errors)
    assert make_job(source, tmp_path / "more.jsonl", retry_errors=tmp_path / "twice.jsonl").run().rows == 3
    (tmp_path / "both.jsonl").write_bytes(both)
    with pytest.raises(DataError, match=r"has two rows 30, of .*a\.jsonl, line 31, and of .*b\.jsonl, line 31"):
        make_job(source, tmp_path / "other.jsonl", retry_errors=tmp_path / "both.jsonl").run()


def test_what_cannot_be_retried(tmp_path: Path, make_job: MakeJob) -> None:
    source, errors = write_rows(tmp_path / "in.jsonl", some_rows(9)), tmp_path / "errors.jsonl"

    def run(content: str, **given: Any) -> None:
        errors.write_text(content)
        make_job(source, tmp_path / "out.jsonl", retry_errors=str(errors), **given).run()

    with pytest.raises(DataError, match=r"in\.jsonl: 2 of the rows .* the input has 9 rows, .* missing is row 9 "):
        run('{"index": 3}\n{"index": 9}\n{"index": 12}\n')
    with pytest.raises(DataError, match=r"row 8 is not of this input, whose rows are 7, 10, and so on"):
        run('{"index": 7}\n{"index": 8}\n', task=NUMBERED)
    with pytest.raises(DataError, match=r"row 4 is not of this input"):
        run('{"index": 4}\n', task=NUMBERED)
    with pytest.raises(ConfigError, match=r"OUT .*: is the input .*errors\.jsonl"):
        make_job(source, errors, retry_errors=str(errors)).run()
    with pytest.raises(ConfigError, match="must be without Ray"):
        make_job(source, tmp_path / "out.jsonl", retry_errors=str(errors), ray_address="local", workers=0)
    assert not (tmp_path / "out.jsonl").exists()


def retried(make_job: MakeJob, errors: str | None, source: Any, output: Path, **given: Any) -> str:
    """The error of a job on the rows of an errors file; it leaves nothing."""
    with pytest.raises(DataError) as caught:
        make_job(source, output, retry_errors=errors, **given).run()
    assert not output.exists() and not Path(f"{output}.manifest.json").exists()
    return str(caught.value)


@pytest.mark.parametrize("own_ids", [True, False])
def test_a_row_that_is_gone_is_not_taken_for_the_next_one(tmp_path: Path, make_job: MakeJob, own_ids: bool) -> None:
    """Ids that are the rows' numbers are ids, too."""
    rows, source, out = some_rows(20), tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    for number, row in enumerate(rows):
        row["id"] = f"row-{number}" if own_ids else number
    rows[7]["context"] = ["did you ?", "i am so happy"]
    first = make_job(write_rows(source, rows), out)
    first.run()
    write_rows(source, rows[:7] + rows[8:])
    said = retried(make_job, first.errors_file, source, tmp_path / "more.jsonl")
    assert "out.jsonl.errors.jsonl: row 7 was" in said and f"in.jsonl, line 8, id {rows[7]['id']!r}; in its" in said
    assert f"there is now {source}, line 8, id {rows[8]['id']!r}: a mended row must keep its place" in said


def test_rows_that_a_new_file_has_moved(tmp_path: Path, make_job: MakeJob) -> None:
    folder, out = tmp_path / "in", tmp_path / "out.jsonl"
    folder.mkdir()
    rows = [{"context": ["i am so happy"], "response": "hear"} for _ in range(9)]
    write_rows(folder / "b.jsonl", [*rows[:4], "{", *rows])
    first = make_job(folder, out)
    first.run()
    write_rows(folder / "a.jsonl", rows)
    said = retried(make_job, first.errors_file, folder, tmp_path / "more.jsonl")
    assert f"row 4 was {folder}/b.jsonl, line 5; in its place there is now {folder}/a.jsonl, line 5, id 4" in said


def test_a_row_without_an_id_that_is_the_same_may_be_on_another_line(tmp_path: Path, make_job: MakeJob) -> None:
    source = write_rows(tmp_path / "in.jsonl", [{"context": ["hear that"]}, {"context": ["i am", "did you ?"]}])
    first = make_job(source, tmp_path / "out.jsonl", kind="classify")
    assert first.run().errors == 1
    source.write_text("\n" + source.read_text())
    given: dict[str, Any] = {"kind": "classify", "task": {"strict_turns": False}, "retry_errors": first.errors_file}
    assert make_job(source, tmp_path / "more.jsonl", **given).run().answered == 1


def test_other_numbers_than_then(tmp_path: Path, make_job: MakeJob) -> None:
    """Without ids, a row that is not the same must be on its line."""
    rows: list[Any] = [{"context": ["i am so happy"], "response": "hear"} for _ in range(30)]
    rows[3] = {"context": []}
    source = write_rows(tmp_path / "in.jsonl", rows)
    first = make_job(source, tmp_path / "out.jsonl", task={"first_row": 10})
    first.run()
    said = retried(make_job, first.errors_file, source, tmp_path / "more.jsonl")
    assert "row 13 was" in said and "line 4; in its place there is now" in said and "line 14, id 13" in said
    rows[3] = {"id": "mended", "context": ["i am so happy"], "response": "hear"}
    write_rows(source, rows)
    again = make_job(source, tmp_path / "more.jsonl", task={"first_row": 10}, retry_errors=first.errors_file)
    assert again.run().answered == 1


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("turns", [2, 4, 6])
def test_a_dialogue_that_gives_several_rows_now(tmp_path: Path, make_job: MakeJob, ids: bool, turns: int) -> None:
    """What a job made of the whole dialogue was one bad row; its further rows have no number."""
    talk = ["i am so happy", "did you ?"] * 3
    rows: list[Any] = [({"id": name} if ids else {}) | {"context": talk[:4]} for name in "def"]
    rows[1]["context"] = talk[:1]
    source = write_rows(tmp_path / "in.jsonl", rows)
    given: dict[str, Any] = {"kind": "score", "task": {"columns": Columns(turns="all")}}
    first = make_job(source, tmp_path / "out.jsonl", **given)
    assert (first.run().rows, first.run().errors) == (5, 1)
    rows[1]["context"] = talk[:turns]
    write_rows(source, rows)
    if turns > 2:
        said = retried(make_job, first.errors_file, source, tmp_path / "more.jsonl", **given)
        assert f"row 2 was the only one of {source}, line 2" in said and "answer it from a file of its own" in said
    else:
        again = make_job(source, tmp_path / "more.jsonl", retry_errors=first.errors_file, **given)
        assert (again.run().answered, again.run().rows) == (1, 1)


@pytest.mark.parametrize("name", ["in.jsonl.gz", "in.json", "in.json (within a row)", "in.parquet"])
def test_what_a_damaged_file_had_lost(tmp_path: Path, make_job: MakeJob, name: str) -> None:
    rows, source, out = some_rows(400), tmp_path / name.split(maxsplit=1)[0], tmp_path / "out.jsonl"
    if name == "in.parquet":
        pq.write_table(pa.Table.from_pylist(rows), source, row_group_size=100)
    elif name == "in.jsonl.gz":
        source.write_bytes(gzip.compress(write_rows(tmp_path / "plain", rows).read_bytes()))
    else:
        source.write_text(json.dumps(rows, indent=1))
    whole = source.read_bytes()
    if name == "in.parquet":
        source.write_bytes(whole[: len(whole) // 3] + bytes(200) + whole[len(whole) // 3 + 200 :])
    else:
        broken_off = whole[: len(whole) // 2]
        source.write_bytes(broken_off[: broken_off.rindex(b"{")] if name == "in.json" else broken_off)
    first = make_job(source, out)
    found = first.run()
    assert found.errors == 1 and 0 < found.rows < 400
    source.write_bytes(whole)
    said = retried(make_job, first.errors_file, source, tmp_path / "more.jsonl")
    assert f"what followed row {found.rows - 1} in {source} was lost, and is there now" in said


def test_the_last_row_of_a_file_that_broke_off(tmp_path: Path, make_job: MakeJob) -> None:
    """Nothing followed it, so that it is retried as any other row."""
    folder, rows = tmp_path / "in", some_rows(9)
    folder.mkdir()
    write_rows(folder / "b.jsonl", rows)
    whole = json.dumps(rows, indent=1)
    (folder / "a.json").write_text(whole[: whole.rindex("{") + 9])
    first = make_job(folder, tmp_path / "out.jsonl")
    assert (first.run().rows, first.run().errors) == (18, 1)
    (folder / "a.json").write_text(whole)
    assert make_job(folder, tmp_path / "more.jsonl", retry_errors=first.errors_file).run().answered == 1


def test_one_bad_turn_of_a_dialogue(tmp_path: Path, make_job: MakeJob) -> None:
    rows = [{"context": ["i am so happy", "did you ?", "i am so happy", "", "i am so", "hear"]}]
    source = write_rows(tmp_path / "in.jsonl", rows)
    given: dict[str, Any] = {"kind": "score", "task": {"columns": Columns(turns="all")}}
    first = make_job(source, tmp_path / "out.jsonl", **given)
    assert first.run().errors == 2
    rows[0]["context"][3] = "did you ?"
    write_rows(source, rows)
    assert make_job(source, tmp_path / "more.jsonl", retry_errors=first.errors_file, **given).run().answered == 2


@pytest.mark.parametrize("broken", [1.5, True, None, [3]])
def test_an_id_that_was_wrong_may_be_mended(tmp_path: Path, make_job: MakeJob, broken: Any) -> None:
    rows: list[Any] = some_rows(5)
    rows[2] |= {"id": broken, "context": []}
    source = write_rows(tmp_path / "in.jsonl", rows)
    first = make_job(source, tmp_path / "out.jsonl")
    first.run()
    rows[2] = some_rows(5)[2]
    write_rows(source, rows)
    assert make_job(source, tmp_path / "more.jsonl", retry_errors=first.errors_file).run().answered == 1


@pytest.mark.parametrize("text", ["id,said\n{}", "id\tsaid\n{}", "meta.id"])
def test_ids_of_every_kind_of_input(tmp_path: Path, make_job: MakeJob, text: str) -> None:
    """Cells, and an id within an object; the same rows go through, others do not."""
    if text == "meta.id":
        source, columns = tmp_path / "in.jsonl", Columns(id="meta.id", context="said")
        lines = [json.dumps({"meta": {"id": 90 + i}, "said": "" if i == 2 else "i am so"}) + "\n" for i in range(5)]
        head = "{}"
    else:
        source, columns = tmp_path / ("in.csv" if "," in text else "in.tsv"), Columns(context="said")
        lines = [f"{90 + i}{text[2]}{'' if i == 2 else 'i am so'}\n" for i in range(5)]
        head = text
    task = {"columns": columns}
    source.write_text(head.format("".join(lines)))
    first = make_job(source, tmp_path / "out.jsonl", kind="classify", task=task)
    assert first.run().errors == 1
    given: dict[str, Any] = {"kind": "classify", "task": task, "retry_errors": first.errors_file}
    assert make_job(source, tmp_path / "more.jsonl", **given).run().errors == 1
    source.write_text(head.format("".join(lines[:2] + lines[3:])))
    with pytest.raises(DataError, match=r"row 2 was .*, id '?92'?; in its place there is now .*, id '?93'?: a mended"):
        make_job(source, tmp_path / "third.jsonl", **given).run()


def test_a_file_may_move_with_its_rows(tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = with_bad_rows()
    write_rows(tmp_path / "in.jsonl", rows)
    first = make_job("in.jsonl", tmp_path / "out.jsonl")
    first.run()
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    errors = str(first.errors_file)
    assert make_job("../in.jsonl", tmp_path / "more.jsonl", retry_errors=errors).run().rows == 3
    (tmp_path / "in.jsonl").rename(tmp_path / "sub" / "other.jsonl")
    assert "is now other.jsonl, line 31" in retried(make_job, errors, "other.jsonl", tmp_path / "third.jsonl")


def test_a_file_of_the_same_name_is_another_while_the_first_is_there(tmp_path: Path, make_job: MakeJob) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_rows(tmp_path / folder / "in.jsonl", with_bad_rows())
    first = make_job(tmp_path / "a" / "in.jsonl", tmp_path / "out.jsonl")
    first.run()
    source = tmp_path / "b" / "in.jsonl"
    said = retried(make_job, first.errors_file, source, tmp_path / "more.jsonl")
    assert f"row 30 was {tmp_path}/a/in.jsonl, line 31" in said and f"is now {source}, line 31" in said
    (tmp_path / "a" / "in.jsonl").unlink()
    assert make_job(source, tmp_path / "more.jsonl", retry_errors=first.errors_file).run().rows == 3


def test_standard_input_has_ids_but_no_name(tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = with_bad_rows()
    source = write_rows(tmp_path / "in.jsonl", rows)
    first = make_job(source, tmp_path / "out.jsonl")
    first.run()

    def piped(content: list[Any]) -> None:
        write_rows(source, content)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(source.read_bytes())))

    piped(rows)
    assert make_job("-", tmp_path / "more.jsonl", retry_errors=first.errors_file).run().rows == 3
    piped(rows[1:])
    assert "is now standard input, line 31, id 'row-31'" in retried(
        make_job, first.errors_file, "-", tmp_path / "third.jsonl"
    )


@pytest.mark.parametrize("line", ["{}", "[]", "3", "{", '{"index": -1}', '{"index": true}', '{"index": "4"}'])
def test_another_file_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "errors.jsonl"
    path.write_text(json.dumps({"index": 0}) + f"\n\n{line}\n")
    with pytest.raises(DataError, match=r"errors\.jsonl, line 3: has no row number as 'index'; must be a line of"):
        error_rows(path)
    path.write_text("\n")
    with pytest.raises(DataError, match="has no row; must be the errors file of a job"):
        error_rows(path)
    with pytest.raises(DataError, match=r"none\.jsonl: cannot be read: No such file"):
        error_rows(tmp_path / "none.jsonl")
