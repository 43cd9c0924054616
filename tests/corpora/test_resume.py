"""A job that was stopped goes on after what is done, and says so."""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import mime_fast
from mime_fast.corpora import answerer_spec, part_work
from mime_fast.corpora.parts import Parts, write_part
from mime_fast.corpora.places import Places, StateFiles
from mime_fast.errors import ConfigError, DataError, OutputError
from tests.corpora.conftest import MakeJob, some_rows, write_rows


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet", "parts/", "parts.parquet/"])
def test_goes_on_after_what_is_done(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    whole = make_job(source, f"{tmp_path}/whole-{name}")
    expected = whole.run()
    made: list[int] = []

    def failing(files: StateFiles, number: int, *rest: object) -> None:
        if number == 3 and 3 not in made:
            made.append(3)
            raise OSError(28, "No space left on device")
        made.append(number)
        write_part(files, number, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("mime_fast.corpora.part_work.write_part", failing)
    job = make_job(source, f"{tmp_path}/{name}")
    with pytest.raises(OSError, match="No space"):
        job.run()
    assert made == [0, 1, 2, 3]
    summary = job.run()
    assert made[4:] == list(range(3, 10))
    assert (summary.rows, summary.rows_now) == (400, 280)
    for figure in ("errors", "tokens", "perplexity_micro", "perplexity_macro", "emotions"):
        assert getattr(summary, figure) == getattr(expected, figure)
    if name.endswith("/"):
        files = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir() if "manifest" not in path.name}
        assert len(files) == 11
        assert files == {file: (tmp_path / f"whole-{name}" / file).read_bytes() for file in files}
    else:
        assert (tmp_path / name).read_bytes() == (tmp_path / f"whole-{name}").read_bytes()


def test_a_finished_job_does_nothing(
    tmp_path: Path, make_job: MakeJob, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    summary = make_job(source, out).run()
    before = out.stat()
    again = make_job(source, out, quiet=False, summary_file=str(tmp_path / "summary.json")).run()
    assert again == summary.there_already() and (again.rows, again.rows_now, again.answered_now) == (400, 0, 0)
    assert (again.seconds, again.load_seconds, again.rows_per_second, again.tokens_per_second) == (0, 0, 0, 0)
    assert json.loads((tmp_path / "summary.json").read_bytes()) == again.to_dict()
    assert str(again).startswith("389 responses scored; perplexity") and "; 400 rows were there already" in str(again)
    assert "loaded in" not in str(again) and " in " not in str(again)
    assert "finished already" in capsys.readouterr().err
    assert out.stat().st_mtime_ns == before.st_mtime_ns
    assert make_job(source, out, restart=True).run().rows_now == 400
    assert out.stat().st_ino != before.st_ino
    capsys.readouterr()
    out.unlink()
    assert make_job(source, out).run().rows_now == 400
    (tmp_path / "out.jsonl.errors.jsonl").unlink()
    assert make_job(source, out).run().rows_now == 400
    told = capsys.readouterr().err
    assert f"warning: {out}.errors.jsonl: is no longer there as a job made it; all of {out} is made anew" in told


@pytest.mark.parametrize("name", ["out.jsonl", "parts/"])
def test_a_finished_job_need_not_be_writable(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """An archive, on a file system that is only read, say."""
    folder, before = tmp_path / "archive", os.access
    folder.mkdir()
    out = f"{folder}/{name}"
    summary = make_job(source, out).run()

    def access(path: Any, mode: int) -> bool:  # root may write anything
        return before(path, mode) and not (mode == os.W_OK and folder in Path(path).parents)

    def refused(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, f"Permission denied: {path}")

    monkeypatch.setattr(os, "access", access)
    for method in ("mkdir", "rename", "replace", "rmdir", "touch", "unlink", "write_bytes", "write_text"):
        monkeypatch.setattr(Path, method, refused)
    assert make_job(source, out).run() == summary.there_already()
    assert "finished already" in str(make_job(source, out).preview())
    for options in ({"restart": True}, {"summary_file": Path(out, "..", "sub", "summary.json")}):
        with pytest.raises(OutputError, match="cannot be written"):
            make_job(source, out, **options).run()
    with pytest.raises(DataError, match=r"is another job's: task\.seed was 0, now 1"):
        make_job(source, out, task={"seed": 1}).run()
    with pytest.raises(DataError, match="rows are bad"):
        make_job(source, out, max_errors=0).run()


@pytest.mark.parametrize("change", ["empty", "remove", "older"])
@pytest.mark.parametrize(("name", "what"), [("out.jsonl", "jsonl"), ("parts/", "jsonl"), ("out.jsonl", "errors.jsonl")])
def test_a_part_that_is_not_as_it_was_made_is_made_again(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str, change: str
) -> None:
    make_job(source, tmp_path / "whole.jsonl").run()
    job = make_job(source, f"{tmp_path}/{name}")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Parts, "join", interrupted)
        job.run()
    state = Places.of(f"{tmp_path}/{name}").state
    if change == "older":  # without sizes
        for path in state.glob("*.counts.json"):
            counts = json.loads(path.read_bytes())
            del counts["sizes"]
            path.write_text(json.dumps(counts))
        assert job.run().rows_now == 0
        return
    for number in (0, 4):  # of which some rows are bad
        (path,) = state.glob(f"part-00000{number}-????????.{what}")
        path.write_bytes(b"") if change == "empty" else path.unlink()
    summary = job.run()
    assert (summary.rows, summary.rows_now, summary.errors) == (400, 80, 11)
    for suffix, files in (("", "part-*"), (".errors.jsonl", "_errors.jsonl")):
        made = sorted((tmp_path / name).glob(files)) if name.endswith("/") else [tmp_path / f"{name}{suffix}"]
        assert b"".join(path.read_bytes() for path in made) == (tmp_path / f"whole.jsonl{suffix}").read_bytes()


def test_bad_rows_of_parts_that_are_done_count(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jsonl"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Parts, "join", interrupted)
        make_job(source, out).run()
    for _ in ("begun", "finished"):
        with pytest.raises(
            DataError, match=r"out\.jsonl: 11 of the 400 rows that are done are bad; without strict=True"
        ):
            make_job(source, out, strict=True).run()
        with pytest.raises(DataError, match=r"11 of 400 rows are bad .*max_errors"):
            make_job(source, out, max_errors=0).run()
        assert make_job(source, out, max_errors=0.1).run().rows_now == 0


def test_a_part_that_is_lost_while_a_folder_is_put_in_place_is_made_again(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    make_job(source, f"{tmp_path}/whole/").run()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(StateFiles, "remove", interrupted)
        make_job(source, f"{out}/").run()
    (out / "part-000001.jsonl").unlink()
    assert make_job(source, f"{out}/").run().rows_now == 40
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").glob("part-*")}
    assert {path.name: path.read_bytes() for path in out.glob("part-*")} == whole


@pytest.mark.parametrize("restart", [False, True])
def test_a_folder_that_lost_a_part_is_made_in_the_same_parts(
    tmp_path: Path, make_job: MakeJob, source: Path, restart: bool
) -> None:
    out = tmp_path / "out"
    assert make_job(source, f"{out}/", part_rows=100).run().rows == 400
    before = {path.name: path.read_bytes() for path in out.glob("part-*")}
    assert len(before) == 4
    (out / "part-000001.jsonl").unlink()
    assert make_job(source, f"{out}/", part_rows=None, restart=restart).run().rows_now == 400
    after = {path.name: path.read_bytes() for path in out.glob("part-*")}
    assert len(after) == 1 if restart else after == before


def test_two_makers_do_not_share_an_output(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jsonl"
    make_job(source, tmp_path / "whole.jsonl").run()

    def failing(files: StateFiles, number: int, *rest: object) -> None:
        if number == 3:
            raise OSError(28, "No space left on device")
        write_part(files, number, *rest)  # type: ignore[arg-type]

    def on(isa: str) -> None:
        for module in (answerer_spec, part_work):
            monkeypatch.setattr(module, "provenance_of", lambda _: {"isa": isa})

    on("avx2")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr("mime_fast.corpora.part_work.write_part", failing)
        make_job(source, out).run()
    on("generic")
    with pytest.raises(
        DataError, match=r"made by isa avx2, others would be by isa generic: name the same \(isa='avx2'\)"
    ):
        make_job(source, out).run()
    on("avx2")
    assert make_job(source, out).run().rows_now == 280
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_what_pytorch_computes_is_of_its_version(model_dir: Path, backend: Any) -> None:
    engine = mime_fast.load(model_dir, device="cpu", backend=backend, threads=1)
    expected = version("torch") if backend == "reference" else None
    assert answerer_spec.provenance_of(engine).get("torch") == expected


def test_the_manifest_says_what_made_it(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    make_job(source, tmp_path / "out.jsonl", load_options={"threads": 1, "isa": "generic"}).run()
    manifest = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    assert manifest["finished"]["provenance"] == {
        "device": "cpu",
        "backend": "native",
        "isa": "generic",
        "precision": "float32",
    }


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match=r"contains 'letter.txt', which no job made"):
        make_job(source, f"{tmp_path}/mine/").run()
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_a_second_job_is_refused(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    out = tmp_path / "out.jsonl"
    with (
        Parts.opened(Places.of(str(out)), {}, []),
        pytest.raises(DataError, match="another job is writing it"),
    ):
        make_job(source, out).run()
    assert make_job(source, out, restart=True).run().rows == 400


def test_the_manifest_has_the_summary(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    summary = make_job(source, tmp_path / "out.jsonl").run()
    manifest = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    found = manifest["finished"]["summary"]
    assert found["rows"] == found["answered"] + found["errors"] == 400
    assert found["perplexity_micro"] == summary.perplexity_micro
    assert sum(found["emotions"].values()) == found["answered"]


@pytest.mark.parametrize("kind", ["generate", "score"])
def test_shards_with_numbers_give_the_rows_of_the_whole(tmp_path: Path, make_job: MakeJob, kind: str) -> None:
    rows = [row | {"id": None} for row in some_rows(90)]
    search = {"do_sample": True, "num_beams": 1} if kind == "generate" else {}

    def answers(name: str, some: list[Any], **numbers: int) -> list[Any]:
        source = write_rows(tmp_path / f"{name}-in.jsonl", some)
        make_job(source, tmp_path / f"{name}.jsonl", kind=kind, task={"search": search, **numbers}).run()
        return [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]

    whole = answers("whole", rows)
    assert [answer["row"] for answer in whole] == [answer["id"] for answer in whole] == list(range(90))
    assert answers("a", rows[:41]) + answers("b", rows[41:], first_row=41) == whole
    for first in range(3):
        assert answers(f"s{first}", rows[first::3], first_row=first, row_step=3) == whole[first::3]
    assert answers("one", [rows[77]], first_row=77) == [whole[77]]


def test_bad_rows_have_their_numbers(tmp_path: Path, make_job: MakeJob) -> None:
    source = write_rows(tmp_path / "in.jsonl", ["{", *some_rows(2), "["])
    make_job(source, tmp_path / "out.jsonl", task={"first_row": 100, "row_step": 10}).run()
    errors = [json.loads(line) for line in (tmp_path / "out.jsonl.errors.jsonl").read_text().splitlines()]
    assert [(error["row"], error["index"]) for error in errors] == [(1, 100), (4, 130)]
    for wrong in ({"first_row": -1}, {"row_step": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            make_job(source, tmp_path / "other.jsonl", task=wrong)
