"""No file of the user is lost to a job: inputs, outputs of others, and what lies beside."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from mime_fast.corpora.places import Places
from mime_fast.data.reading.options import Reading
from mime_fast.errors import ConfigError, DataError, OutputError
from tests.corpora.conftest import MakeJob, refused, some_rows, write_rows


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "in.jsonl", some_rows(60))


@pytest.fixture
def links(tmp_path: Path, source: Path) -> dict[str, str]:
    (tmp_path / "soft.jsonl").symlink_to("in.jsonl")
    os.link(source, tmp_path / "hard.jsonl")
    (tmp_path / "sub").mkdir()
    return {
        "itself": str(source),
        "dot": f"{tmp_path}/./in.jsonl",
        "up": f"{tmp_path}/sub/../in.jsonl",
        "soft": f"{tmp_path}/soft.jsonl",
        "hard": f"{tmp_path}/hard.jsonl",
    }


@pytest.mark.parametrize("name", ["itself", "dot", "up", "soft", "hard"])
@pytest.mark.parametrize("forced", [{}, {"force": True}, {"restart": True, "force": True}])
def test_the_output_is_no_input(
    tmp_path: Path, make_job: MakeJob, source: Path, links: dict[str, str], name: str, forced: dict[str, bool]
) -> None:
    refused(tmp_path, make_job(source, links[name], **forced), "OUT .*is the input", ConfigError)
    refused(tmp_path, make_job(links[name], source, **forced), "OUT .*is the input", ConfigError)


def uris(path: Path) -> list[str]:
    """Names of a file of this machine that are URIs."""
    uri = path.as_uri()  # a space is %20
    return [uri, uri.replace("file", "FILE"), f"local://{path}", f"simplecache::{uri}"]


@pytest.mark.parametrize("number", range(4))
def test_a_uri_of_this_machine_is_its_path(tmp_path: Path, make_job: MakeJob, number: int) -> None:
    """No output takes the place of an input, or lies in an input folder, that is named by a URI."""
    (tmp_path / "corpus 1").mkdir()
    source = write_rows(tmp_path / "corpus 1" / "in.jsonl", some_rows(9))
    errors = write_rows(tmp_path / "out.jsonl.errors.jsonl", [row | {"index": i} for i, row in enumerate(some_rows(9))])
    uri, out = uris(source)[number], tmp_path / "out.jsonl"
    for force in (False, True):
        refused(tmp_path, make_job(uri, source, force=force), "OUT .*is the input", ConfigError)
        refused(tmp_path, make_job(source, uri, force=force), "OUT .*is the input", ConfigError)
        refused(tmp_path, make_job(uri, uri, force=force), "OUT .*is the input", ConfigError)
        refused(tmp_path, make_job(uri, f"{source.parent}/", force=force), "contains the input", ConfigError)
        for summary in (str(source), uri):
            job = make_job(uri, out, summary_file=summary, force=force)
            refused(tmp_path, job, "summary_file .*is the input", ConfigError)
            refused(tmp_path, make_job(uri, None, summary_file=summary), "summary_file .*is the input", ConfigError)
        refused(tmp_path, make_job(uris(errors)[number], out, force=force), "bad rows .*is the input", ConfigError)
        job = make_job(source, out, retry_errors=uris(errors)[number], force=force)
        refused(tmp_path, job, "bad rows .*is the input", ConfigError)
        for folder in (source.parent, uris(source.parent)[number], f"{uris(source.parent)[number]}/"):
            for inside in (f"{source.parent}/out.jsonl", uris(source.parent / "out.jsonl")[number]):
                refused(tmp_path, make_job(folder, inside, force=force), "part of the input", ConfigError)


@pytest.mark.parametrize("scheme", ["file", "local"])
def test_files_of_this_machine_by_uri(tmp_path: Path, make_job: MakeJob, source: Path, scheme: str) -> None:
    make_job(source, tmp_path / "out.jsonl").run()
    job = make_job(f"{scheme}://{source}", f"{scheme}://{tmp_path}/uri.jsonl", summary_file=f"{scheme}://{tmp_path}/s")
    assert job.run().rows == 60
    assert (tmp_path / "uri.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()
    assert json.loads((tmp_path / "s").read_text())["rows"] == 60
    errors = write_rows(tmp_path / "errors.jsonl", ['{"index": 7}'])
    retried = make_job(source, tmp_path / "more.jsonl", retry_errors=f"{scheme}://{errors}")
    assert retried.run().rows == 1
    make_job(f"{scheme}://{source}", f"{scheme}://{tmp_path}/parts/").run()
    assert (tmp_path / "parts" / "part-000000.jsonl").is_file()


@pytest.mark.parametrize("content", ["import os\n", '{"a": 1}', "[]", '{"rows": 1}\n{"rows": 2}\n'])
def test_a_summary_replaces_no_file_but_a_summary(
    tmp_path: Path, make_job: MakeJob, source: Path, content: str
) -> None:
    other = tmp_path / "mine.txt"
    other.write_text(content)
    for out in (None, tmp_path / "out.jsonl"):
        refused(
            tmp_path, make_job(source, out, summary_file=str(other)), "mine.txt: exists and is no summary", DataError
        )
    make_job(source, tmp_path / "out.jsonl", summary_file=str(other), force=True).run()
    assert json.loads(other.read_text())["rows"] == 60
    make_job(source, tmp_path / "again.jsonl", summary_file=str(other)).run()
    assert json.loads(other.read_text())["rows"] == 60


@pytest.mark.parametrize("name", ["itself", "soft", "hard"])
def test_the_summary_is_no_input(
    tmp_path: Path, make_job: MakeJob, source: Path, links: dict[str, str], name: str
) -> None:
    job = make_job(source, tmp_path / "out.jsonl", summary_file=links[name], force=True)
    refused(tmp_path, job, "summary_file .*is the input", ConfigError)
    refused(tmp_path, make_job(source, None, summary_file=links[name]), "summary_file .*is the input", ConfigError)


def test_outputs_are_different_files(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    out = tmp_path / "out.jsonl"
    for other in (out, f"{out}.errors.jsonl", f"{out}.manifest.json"):
        refused(tmp_path, make_job(source, out, summary_file=str(other)), "must be another file", ConfigError)


@pytest.mark.parametrize("name", ["parts/part-000001.jsonl", "parts/_manifest.json", "parts/s.json", "parts/_parts/s"])
def test_the_summary_lies_in_no_output(tmp_path: Path, make_job: MakeJob, source: Path, name: str) -> None:
    (tmp_path / "parts" / "_parts").mkdir(parents=True)
    (tmp_path / "link").symlink_to("parts")
    for summary in (name, name.replace("parts", "link", 1)):
        job = make_job(source, f"{tmp_path}/parts/", summary_file=f"{tmp_path}/{summary}", force=True)
        refused(tmp_path, job, "summary_file .*: lies in OUT .*; must be in another place", ConfigError)
    (tmp_path / "out.jsonl.parts").mkdir()
    job = make_job(source, tmp_path / "out.jsonl", summary_file=f"{tmp_path}/out.jsonl.parts/s.json")
    refused(tmp_path, job, "summary_file .*: lies in the state .*", ConfigError)


@pytest.mark.parametrize("beside", ["errors.jsonl", "manifest.json"])
def test_what_lies_beside_the_output_is_no_input(tmp_path: Path, make_job: MakeJob, beside: str) -> None:
    source = write_rows(tmp_path / f"out.jsonl.{beside}", some_rows(3))
    job = make_job(source, tmp_path / "out.jsonl", force=True, reading=Reading("jsonl"))
    refused(tmp_path, job, "is the input", ConfigError)


def test_the_state_and_a_folder_of_parts_hold_no_input(tmp_path: Path, make_job: MakeJob) -> None:
    (tmp_path / "out.jsonl.parts").mkdir()
    source = write_rows(tmp_path / "out.jsonl.parts" / "in.jsonl", some_rows(3))
    refused(tmp_path, make_job(source, tmp_path / "out.jsonl"), "contains the input", ConfigError)
    refused(tmp_path, make_job(source, f"{tmp_path}/out.jsonl.parts/"), "contains the input", ConfigError)
    refused(tmp_path, make_job(f"{tmp_path}/out.jsonl.parts", f"{tmp_path}/out.jsonl.parts/"), "input", ConfigError)


def test_an_input_folder_gets_no_output(tmp_path: Path, make_job: MakeJob) -> None:
    (tmp_path / "corpus").mkdir()
    write_rows(tmp_path / "corpus" / "a.jsonl", some_rows(3))
    (tmp_path / "link").symlink_to("corpus")
    for folder in ("corpus", "link"):
        for out in ("corpus/out.jsonl", "link/out.jsonl", "corpus/parts/"):
            refused(tmp_path, make_job(tmp_path / folder, f"{tmp_path}/{out}"), "part of the input", ConfigError)
        job = make_job(tmp_path / folder, tmp_path / "out.jsonl", summary_file=f"{tmp_path}/corpus/s.jsonl")
        refused(tmp_path, job, "part of the input", ConfigError)
    refused(tmp_path, make_job(f"{tmp_path}/corpus/*.jsonl", f"{tmp_path}/corpus/b.jsonl"), "part of", ConfigError)
    make_job(f"{tmp_path}/corpus/a*.jsonl", f"{tmp_path}/corpus/b.jsonl").run()


def test_the_model_is_an_input(tmp_path: Path, make_job: MakeJob, source: Path, model_dir: Path) -> None:
    shutil.copytree(model_dir, tmp_path / "model")
    job = make_job(source, None, model=f"{tmp_path}/model", summary_file=f"{tmp_path}/model/config.json")
    refused(tmp_path, job, "is the input", ConfigError)


def test_an_output_in_the_models_folder(tmp_path: Path, make_job: MakeJob, source: Path, model_dir: Path) -> None:
    """What lies beside a model's files is no file of it."""
    model = shutil.copytree(model_dir, tmp_path / "model")
    job = make_job(source, model / "out.jsonl", model=str(model), summary_file=f"{model}/summary.json")
    assert job.run().rows_now == 60
    (model / "notes.json").write_text("{}")
    assert job.run().rows_now == 0
    (model / "generation_config.json").write_text('{"num_beams": 2}')
    refused(tmp_path, job, r"model\.generation_config\.json was ", DataError)


def test_an_output_that_no_job_made_is_kept(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    refused(tmp_path, make_job(source, out), "out.jsonl: exists, and no job made it", DataError)
    refused(tmp_path, make_job(source, out, restart=True), "no job made it", DataError)
    assert make_job(source, out, force=True).run().rows_now == 60
    assert make_job(source, out).run().rows == 60  # finished, without --force
    errors = tmp_path / "other.jsonl.errors.jsonl"
    errors.write_text("mine, too")
    refused(tmp_path, make_job(source, tmp_path / "other.jsonl"), "errors.jsonl: exists, and no job", DataError)
    make_job(source, tmp_path / "other.jsonl", force=True).run()
    assert not errors.exists()  # there was no bad row
    assert make_job(source, tmp_path / "other.jsonl").run().rows_now == 0


def test_an_empty_file_is_replaced(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    """As `mktemp` makes one."""
    out = tmp_path / "out.jsonl"
    for path in (out, tmp_path / "out.jsonl.errors.jsonl"):
        path.touch(0o600)
    for _ in ("begun", "finished"):
        assert make_job(source, out).run().rows == 60
    assert len(out.read_bytes().splitlines()) == 60 and out.stat().st_mode & 0o777 == 0o600


def test_an_output_that_was_changed_is_kept(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    out = tmp_path / "out.jsonl"
    make_job(source, out).run()
    done = out.read_bytes()
    os.utime(out)
    assert make_job(source, out, restart=True).run().rows_now == 60  # touched, but equal
    out.write_bytes(done[:-2] + b" \n")
    for options in ({}, {"restart": True}, {"task": {"seed": 1}, "restart": True}):
        refused(tmp_path, make_job(source, out, **options), "was changed after a job made it", DataError)
    assert make_job(source, out, force=True).run().rows == 60
    assert out.read_bytes() == done


@pytest.mark.parametrize(
    ("out", "changed"),
    [
        ("out.jsonl", "out.jsonl.errors.jsonl"),
        ("parts/", "parts/part-000000.jsonl"),
        ("parts/", "parts/_errors.jsonl"),
    ],
)
def test_every_file_of_an_output_that_was_changed_is_kept(
    tmp_path: Path, make_job: MakeJob, out: str, changed: str
) -> None:
    source = write_rows(tmp_path / "in.jsonl", [*some_rows(3), "{"])
    make_job(source, f"{tmp_path}/{out}").run()
    with (tmp_path / changed).open("a") as stream:
        stream.write("my notes\n")
    told = "was changed after a job made it|which no job made as it is"
    refused(tmp_path, make_job(source, f"{tmp_path}/{out}"), told, DataError)
    refused(tmp_path, make_job(source, f"{tmp_path}/{out}", restart=True), told, DataError)


@pytest.mark.parametrize(
    ("out", "file", "told"),
    [
        ("out.jsonl", "out.jsonl", "out.jsonl: exists, and no job made it"),
        ("out.jsonl", "out.jsonl.errors.jsonl", "errors.jsonl: exists, and no job made it"),
        ("parts/", "parts/part-000000.jsonl", "contains 'part-000000.jsonl', which no job made"),
        ("parts/", "parts/_errors.jsonl", "contains '_errors.jsonl', which no job made"),
    ],
)
def test_a_file_that_appears_during_the_run_is_kept(
    tmp_path: Path, make_job: MakeJob, source: Path, out: str, file: str, told: str
) -> None:
    """The work is kept, too."""
    job = make_job(source, f"{tmp_path}/{out}", loaded=lambda _: (tmp_path / file).write_text("mine"))
    with pytest.raises(DataError, match=told):
        job.run()
    assert (tmp_path / file).read_text() == "mine"
    (tmp_path / file).unlink()
    summary = make_job(source, f"{tmp_path}/{out}").run()
    assert (summary.rows, summary.rows_now) == (60, 0)


def test_what_others_have_in_the_state_is_kept(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    out, state = tmp_path / "out.jsonl", tmp_path / "out.jsonl.parts"
    state.mkdir()
    (state / "notes.tmp").write_text("mine")
    for options in ({}, {"restart": True}, {"force": True}):
        refused(tmp_path, make_job(source, out, **options), "contains 'notes.tmp'", DataError)
    (state / "notes.tmp").unlink()
    make_job(source, out).run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl", "out.jsonl.manifest.json"]
    state.mkdir()
    theirs = ["notes.tmp", "part-000000.jsonl", "part-x", "manifest.json", "part-000001-00000000.counts.json"]
    for name in theirs:
        (state / name).write_text("mine")
    make_job(source, out).run()
    make_job(source, out, restart=True).run()
    assert sorted(path.name for path in state.iterdir()) == sorted(theirs)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("name", ["part-000000.jsonl", "part-00000-8a3b.snappy.parquet", "_SUCCESS", "x.tmp"])
def test_a_folder_of_shards_of_others_is_kept(
    tmp_path: Path, make_job: MakeJob, source: Path, name: str, restart: bool
) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / name).write_text("theirs")
    for force in (False, True):
        job = make_job(source, f"{tmp_path}/shards/", restart=restart, force=force)
        refused(tmp_path, job, "which no job made.*new or an empty folder", DataError)


def test_a_folder_of_parts_replaces_only_its_own(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    out = f"{tmp_path}/parts/"
    make_job(source, out, part_rows=10).run()
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == [
        "_manifest.json",
        *(f"part-00000{i}.jsonl" for i in range(6)),
    ]
    (tmp_path / "parts" / "part-000007.jsonl").write_text("theirs")
    refused(tmp_path, make_job(source, out, part_rows=40, restart=True), "contains 'part-000007.jsonl'", DataError)
    (tmp_path / "parts" / "part-000007.jsonl").rename(tmp_path / "parts" / "theirs.jsonl")
    make_job(source, out, part_rows=40, restart=True).run()
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == [
        "_manifest.json",
        "part-000000.jsonl",
        "part-000001.jsonl",
        "theirs.jsonl",
    ]
    (tmp_path / "parts" / "part-000001.jsonl").write_text("changed")
    refused(tmp_path, make_job(source, out, part_rows=40, restart=True), "contains 'part-000001.jsonl'", DataError)


def test_a_folder_has_no_more_parts_than_names_in_order(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mime_fast.corpora.places._PARTS", 2)
    with pytest.raises(DataError, match="a folder has at most 2 parts; give a larger part_rows"):
        make_job(source, f"{tmp_path}/parts/", part_rows=20).run()
    assert make_job(source, f"{tmp_path}/two/", part_rows=30).run().rows == 60
    assert make_job(source, tmp_path / "out.jsonl", part_rows=20).run().rows == 60


def test_a_restart_that_fails_leaves_the_old_output_and_its_manifest(
    tmp_path: Path, make_job: MakeJob, source: Path
) -> None:
    out = tmp_path / "out.jsonl"
    make_job(source, out).run()
    job = make_job(
        source, out, kind="generate", restart=True, task={"search": {"num_beams": 2}}, load_options={"isa": "x"}
    )
    refused(tmp_path, job, "isa")
    assert make_job(source, out).run().rows == 60


@pytest.mark.parametrize("name", ["none/out.jsonl", "none/parts/", "in.jsonl/out.jsonl", "in.jsonl/"])
def test_an_output_that_cannot_be_is_found_before_the_work(
    tmp_path: Path, make_job: MakeJob, source: Path, name: str
) -> None:
    refused(tmp_path, make_job(source, f"{tmp_path}/{name}", model="shipped-by-nobody"), "shipped-by-nobody|cannot be")
    refused(tmp_path, make_job(source, f"{tmp_path}/{name}"), "cannot be written|is the input")
    for out in (None, tmp_path / "out.jsonl"):
        job = make_job(source, out, summary_file=f"{tmp_path}/none/s.json")
        refused(tmp_path, job, "none/s.json: cannot be written: No such file", OutputError)


def test_a_lock_that_the_file_system_refuses(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", no_locks)
    told = r"out.jsonl.parts: the file system refuses a lock \(Operation not supported\)"
    refused(tmp_path, make_job(source, tmp_path / "out.jsonl"), told, DataError)
    refused(tmp_path, make_job(source, f"{tmp_path}/parts/"), "refuses a lock", DataError)


def test_a_refused_job_leaves_the_one_that_runs(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    from mime_fast.corpora.parts import Parts

    with Parts.opened(Places.of(f"{tmp_path}/out.jsonl"), {}, []):
        refused(tmp_path, make_job(source, tmp_path / "out.jsonl"), "another job is writing it", DataError)
