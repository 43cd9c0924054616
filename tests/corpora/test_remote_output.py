"""Outputs that a URI names: the bytes of a local job, resuming, and what a store that changes meanwhile does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from mime_fast.corpora import remote_output
from mime_fast.corpora.output_inputs import _StoredPath
from mime_fast.corpora.places import Places
from mime_fast.corpora.remote_output import RemoteOutput
from mime_fast.data.reading.remote import split_query
from mime_fast.errors import ConfigError, DataError, OutputError
from tests.corpora.conftest import MakeJob, some_rows, write_rows

fsspec = pytest.importorskip("fsspec")


class Store:
    """Files in memory://."""

    def __init__(self) -> None:
        self.system = fsspec.filesystem("memory")

    def files(self) -> dict[str, bytes]:
        return {path: self.system.cat_file(path) for path in sorted(self.system.find("/"))}

    def names(self) -> list[str]:
        return list(self.files())


@pytest.fixture
def store() -> Iterator[Store]:
    found = Store()
    found.system.store.clear()
    yield found
    found.system.store.clear()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rows: list[Any] = some_rows(120)
    rows[50] = "{"
    return write_rows(tmp_path / "in.jsonl", rows)


class Killed(BaseException):
    """What cannot be caught by mistake."""


def kill_after(monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
    """The process can write and delete so many files of the store, and no more."""
    left = iter(range(writes))

    def limited(done: Callable[[RemoteOutput, str], None]) -> Callable[[RemoteOutput, str], None]:
        def limited(self: RemoteOutput, name: str) -> None:
            if next(left, None) is None:
                raise Killed
            done(self, name)

        return limited

    for name in ("_put", "_delete"):
        monkeypatch.setattr(RemoteOutput, name, limited(getattr(RemoteOutput, name)))


@pytest.mark.parametrize(("name", "workers"), [("out.jsonl", 1), ("out.csv.gz", 2), ("out.parquet", 1)])
def test_a_file_has_the_bytes_of_a_local_job(
    tmp_path: Path, make_job: MakeJob, store: Store, source: Path, name: str, workers: int
) -> None:
    local = make_job(source, tmp_path / name)
    summary = local.run()
    job = make_job(source, f"memory://bucket/{name}", workers=workers)
    assert job.run().errors == summary.errors == 1
    found = store.files()
    assert list(found) == [f"/bucket/{name}{ending}" for ending in ("", ".errors.jsonl", ".manifest.json")]
    assert not store.system.exists(f"/bucket/{name}.parts")
    assert found[f"/bucket/{name}"] == (tmp_path / name).read_bytes()
    assert found[f"/bucket/{name}.errors.jsonl"] == (tmp_path / f"{name}.errors.jsonl").read_bytes()
    assert job.errors_file == f"memory://bucket/{name}.errors.jsonl"


def test_a_finished_job_does_nothing_and_another_is_refused(
    make_job: MakeJob, store: Store, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "memory://bucket/out.jsonl"
    summary = make_job(source, uri).run()
    before = store.files()
    with monkeypatch.context() as patched:
        kill_after(patched, 0)
        assert make_job(source, uri).run() == summary.there_already()
        assert "finished already\n" in str(make_job(source, uri).preview())
    with pytest.raises(DataError, match=r"^memory://bucket/out\.jsonl: is another job's: task\.seed was 0, now 9"):
        make_job(source, uri, task={"seed": 9}).run()
    assert store.files() == before
    make_job(source, uri, task={"seed": 9}, restart=True).run()
    assert store.files()["/bucket/out.jsonl"] != before["/bucket/out.jsonl"]


@pytest.mark.parametrize("uri", ["memory://bucket/out.jsonl", "memory://bucket/out.csv/"])
def test_a_job_that_is_killed_anywhere_goes_on(
    make_job: MakeJob, store: Store, source: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    make_job(source, uri).run()
    whole = {name: content for name, content in store.files().items() if "manifest" not in name}
    for restart in (False, True):  # into nothing, and in place of an older job
        for writes in range(40):
            if not restart:
                store.system.store.clear()
            else:
                make_job(source, uri, task={"seed": 9}, restart=True).run()
            with monkeypatch.context() as patched:
                kill_after(patched, writes)
                try:
                    make_job(source, uri, restart=restart).run()
                    break
                except Killed:
                    pass
            finished = (
                make_job(source, uri).run() if not restart or writes else make_job(source, uri, restart=True).run()
            )
            assert finished.rows == 120
            found = store.files()
            assert {name: content for name, content in found.items() if "manifest" not in name} == whole, writes
        else:
            pytest.fail(f"{writes + 1} writes do not end the job")
        assert writes > 5, "the job was not killed"


@pytest.mark.parametrize("uri", ["memory://bucket/out.jsonl", "memory://bucket/out.csv/"])
def test_a_job_that_is_killed_leaves_no_output_of_the_one_before(
    make_job: MakeJob, store: Store, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    """Which made more parts, and had bad rows."""
    small = write_rows(tmp_path / "small.jsonl", some_rows(30))
    make_job(small, uri).run()
    whole = {name: content for name, content in store.files().items() if "manifest" not in name}
    make_job(source, uri, restart=True).run()
    before = store.files()
    for writes in range(1, 30):
        store.system.store.clear()
        store.system.pipe(before)
        with monkeypatch.context() as patched:
            kill_after(patched, writes)
            try:
                make_job(small, uri, restart=True).run()
                break
            except Killed:
                pass
        assert make_job(small, uri).run().rows == 30
        found = store.files()
        assert {name: content for name, content in found.items() if "manifest" not in name} == whole, writes
        manifest = next(content for name, content in found.items() if "manifest" in name)
        assert json.loads(manifest)["previous"] == []
    assert writes > 7, "the job was not killed"


def test_parts_that_are_done_are_not_made_again(
    make_job: MakeJob, store: Store, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        kill_after(patched, 5)  # the manifest, then data and counts of two parts (with one part's errors)
        with pytest.raises(Killed):
            make_job(source, "memory://bucket/out.jsonl").run()
    assert sum(name.endswith(".counts.json") for name in store.names()) == 1
    assert make_job(source, "memory://bucket/out.jsonl").run().rows_now == 80


def test_a_folder_of_parts(make_job: MakeJob, tmp_path: Path, store: Store, source: Path) -> None:
    make_job(source, f"{tmp_path}/out.parquet/").run()
    make_job(source, "memory://bucket/out.parquet/").run()
    local = {f"/bucket/out.parquet/{path.name}": path.read_bytes() for path in (tmp_path / "out.parquet").iterdir()}
    found = store.files()
    assert sorted(found) == sorted(local)
    assert all(found[name] == content for name, content in local.items() if "manifest" not in name)


def test_what_no_job_made_is_left(make_job: MakeJob, store: Store, source: Path) -> None:
    store.system.pipe_file("/bucket/out.jsonl", b"mine")
    store.system.pipe_file("/bucket/folder/mine.txt", b"mine")
    with pytest.raises(DataError, match=r"^memory://bucket/out\.jsonl: exists, and no job made it"):
        make_job(source, "memory://bucket/out.jsonl").run()
    with pytest.raises(DataError, match=r"^memory://bucket/folder/: contains 'mine.txt', which no job made"):
        make_job(source, "memory://bucket/folder/").run()
    assert store.files() == {"/bucket/folder/mine.txt": b"mine", "/bucket/out.jsonl": b"mine"}
    make_job(source, "memory://bucket/out.jsonl", force=True).run()
    store.system.pipe_file("/bucket/out.jsonl", b"mine again")
    with pytest.raises(DataError, match="was changed after a job made it"):
        make_job(source, "memory://bucket/out.jsonl").run()


@pytest.mark.parametrize("uri", ["memory://bucket/out.jsonl", "memory://bucket/out/"])
def test_a_change_that_keeps_the_size_is_noticed(make_job: MakeJob, store: Store, source: Path, uri: str) -> None:
    make_job(source, uri).run()
    name = "/bucket/out.jsonl" if uri.endswith("l") else "/bucket/out/part-000001.jsonl"
    made = store.files()[name]
    store.system.pipe_file(name, made)
    assert make_job(source, uri).run().rows == 120  # written again, but equal
    mine = made.replace(b"row-", b"mine")
    assert len(mine) == len(made) and mine != made
    store.system.pipe_file(name, mine)
    for options in ({}, {"restart": True}):
        with pytest.raises(DataError, match=r"was changed after a job made it|which no job made as it is"):
            make_job(source, uri, **options).run()
    assert store.files()[name] == mine


def test_only_an_empty_state_is_removed(
    make_job: MakeJob, store: Store, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        kill_after(patched, 5)
        with pytest.raises(Killed):
            make_job(source, "memory://bucket/out.jsonl").run()
    store.system.pipe_file("/bucket/out.jsonl.parts/mine.txt", b"mine")
    make_job(source, "memory://bucket/out.jsonl").run()
    assert [name for name in store.names() if "parts" in name] == ["/bucket/out.jsonl.parts/mine.txt"]


def test_retried_rows_of_an_errors_file_in_a_store(make_job: MakeJob, store: Store, source: Path) -> None:
    first = make_job(source, "memory://bucket/out.jsonl")
    first.run()
    again = make_job(source, "memory://bucket/more.jsonl", retry_errors=first.errors_file)
    assert (again.run().rows, again.run().errors) == (1, 1)
    with pytest.raises(DataError, match=r"^memory://bucket/none\.jsonl: cannot be read"):
        make_job(source, "memory://bucket/last.jsonl", retry_errors="memory://bucket/none.jsonl").run()
    for uri in ("memory:///bucket/out.jsonl", "memory:///bucket/out.jsonl.errors.jsonl"):
        with pytest.raises(ConfigError, match="is or contains the input"):
            make_job(source, uri, retry_errors=first.errors_file, force=True).run()


def test_a_summary_is_on_this_machine(make_job: MakeJob, store: Store, source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^summary_file memory://s\.json: must be a path on this machine, not a URI"):
        make_job(source, tmp_path / "out.jsonl", summary_file="memory://s.json").run()
    make_job(source, tmp_path / "out.jsonl", summary_file=f"{tmp_path.as_uri()}/s.json").run()
    assert json.loads((tmp_path / "s.json").read_text())["rows"] == 120


def test_a_second_job_stops_the_first(
    make_job: MakeJob, store: Store, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = RemoteOutput._put
    other = make_job(source, "memory://bucket/out.jsonl", task={"seed": 9}, restart=True)

    def interrupted(self: RemoteOutput, name: str) -> None:
        put(self, name)
        if name.endswith(".counts.json"):
            monkeypatch.setattr(RemoteOutput, "_put", put)
            other.run()

    monkeypatch.setattr(RemoteOutput, "_put", interrupted)
    with pytest.raises(DataError, match=r"out\.jsonl: another job is writing it"):
        make_job(source, "memory://bucket/out.jsonl").run()
    manifest = json.loads(store.files()["/bucket/out.jsonl.manifest.json"])
    assert manifest["finished"] and manifest["job"]["task"]["seed"] == 9


def test_a_store_of_pyarrows_own(
    make_job: MakeJob, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store" / "bucket").mkdir(parents=True)
    system = fs.SubTreeFileSystem(str(tmp_path / "store"), fs.LocalFileSystem())
    (tmp_path / "store" / "bucket" / "out.jsonl.parts").mkdir()  # an object store has no folders
    monkeypatch.setattr(remote_output, "resolve", lambda uri: (system, uri.removeprefix("s3://")))
    make_job(source, "s3://bucket/out.jsonl").run()
    make_job(source, tmp_path / "out.jsonl").run()
    assert (tmp_path / "store" / "bucket" / "out.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()
    assert make_job(source, "s3://bucket/out.jsonl").run().rows == 120


def test_file_uris_are_local_paths(make_job: MakeJob, tmp_path: Path, source: Path) -> None:
    job = make_job(source.as_uri(), f"{tmp_path.as_uri()}/out.jsonl")
    job.run()
    assert job.output == str(tmp_path / "out.jsonl") and job.errors_file == str(tmp_path / "out.jsonl.errors.jsonl")
    make_job(source, f"{tmp_path.as_uri()}/folder/").run()
    assert (tmp_path / "folder" / "part-000000.jsonl").is_file()
    with pytest.raises(OutputError, match="cannot be written: No such file"):
        make_job(source, f"{tmp_path.as_uri()}/none/out.jsonl").run()


def test_inputs_in_memory_are_read(make_job: MakeJob, store: Store, tmp_path: Path, source: Path) -> None:
    store.system.pipe_file("/corpus/in.jsonl", source.read_bytes())
    store.system.pipe_file("/corpus/_left_out.jsonl", b"{")
    make_job(source, tmp_path / "out.jsonl").run()
    for name, inputs in (("file", "memory://corpus/in.jsonl"), ("folder", "memory://corpus/")):
        make_job(inputs, tmp_path / f"{name}.jsonl").run()
        assert (tmp_path / f"{name}.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("inputs", "output", "told"),
    [
        ("memory://corpus/in.jsonl", "memory://corpus/in.jsonl", "is or contains the input"),
        ("memory://corpus/in.jsonl", "memory://corpus/", "is or contains the input"),
        ("memory://corpus/", "memory://corpus/out.jsonl", "would be read as a part of the input memory://corpus/"),
        ("memory://corpus/in.jsonl", "memory://corpus/out.txt", "an output must end in"),
        ("memory:///corpus/in.jsonl", "memory://corpus/in.jsonl", "is or contains the input"),
        ("memory://corpus/in.jsonl", "memory:///corpus/./in.jsonl", "is or contains the input"),
        ("memory://corpus/in.jsonl", "memory:///corpus/", "is or contains the input"),
        ("memory:///corpus", "memory://corpus/out.jsonl", "would be read as a part of the input memory:///corpus"),
        ("memory:///corpus", "memory://corpus/more/out/", "would be read as a part of the input memory:///corpus"),
        ("memory://corpus/", "memory:///corpus/", "is or contains the input"),
        ("memory://corpus/in.jsonl", "memory:///", "is or contains the input"),
        ("simplecache::memory://corpus/in.jsonl", "memory://corpus/in.jsonl", "is or contains the input"),
        ("memory://corpus/in.jsonl", "simplecache::memory://corpus/in.jsonl", "is or contains the input"),
    ],
)
def test_an_output_is_no_input(make_job: MakeJob, store: Store, inputs: str, output: str, told: str) -> None:
    store.system.pipe_file("/corpus/in.jsonl", b'{"context": ["i"], "response": "i"}\n')
    for force in (False, True):
        with pytest.raises(ConfigError, match=told):
            make_job(inputs, output, force=force).run()
        with pytest.raises(ConfigError, match=told):
            make_job(inputs, output, force=force).preview()
    assert store.names() == ["/corpus/in.jsonl"]


@pytest.mark.parametrize("beside", [".errors.jsonl", ".manifest.json", ".parts/in.jsonl"])
def test_what_lies_beside_an_output_is_no_input(make_job: MakeJob, store: Store, beside: str) -> None:
    store.system.pipe_file(f"/corpus/out.jsonl{beside}", b'{"context": ["i"], "response": "i"}\n')
    with pytest.raises(ConfigError, match="is or contains the input"):
        make_job(f"memory://corpus/out.jsonl{beside}", "memory:///corpus/out.jsonl", force=True).run()
    assert store.names() == [f"/corpus/out.jsonl{beside}"]


def test_names_that_only_begin_alike_are_different(make_job: MakeJob, store: Store, source: Path) -> None:
    store.system.pipe_file("/corpus/in.jsonl", source.read_bytes())
    assert make_job("memory://corpus/in.jsonl", "memory://corpus-2/in.jsonl").run().rows == 120
    assert make_job("memory://corpus/", "memory://corpus-2/out/").run().rows == 120


def test_stores_are_compared_by_kind() -> None:
    s3 = _StoredPath(frozenset(["s3"]), "/bucket/x")
    assert _StoredPath(frozenset(["s3", "s3a"]), "/bucket").contains(s3)
    assert not _StoredPath(frozenset(["gs", "gcs"]), "/bucket").contains(s3)


def test_a_store_that_nobody_knows(make_job: MakeJob, source: Path) -> None:
    with pytest.raises(DataError, match=r"^nowhere://x/out\.jsonl: cannot be used: Protocol not known"):
        make_job(source, "nowhere://x/out.jsonl").run()


@pytest.mark.parametrize(
    ("uri", "errors"),
    [
        ("s3://b/out.csv?endpoint_override=http://a:9/", "s3://b/out.csv.errors.jsonl?endpoint_override=http://a:9/"),
        ("s3://b/out.csv/?region=x", "s3://b/out.csv/_errors.jsonl?region=x"),
    ],
)
def test_a_query_is_no_part_of_the_name(
    make_job: MakeJob, store: Store, source: Path, monkeypatch: pytest.MonkeyPatch, uri: str, errors: str
) -> None:
    system = fs.PyFileSystem(fs.FSSpecHandler(store.system))
    monkeypatch.setattr(remote_output, "resolve", lambda uri: (system, f"/{uri[5:].partition('?')[0]}"))
    job = make_job(source, uri)
    assert job.run().errors == 1
    assert job.errors_file == errors
    assert f"/{errors[5:].partition('?')[0]}" in store.names()
    assert next(content for name, content in store.files().items() if name.endswith(".csv")).startswith(b"id,")


def test_names_in_a_store_keep_the_query() -> None:
    assert Places.in_store("s3://b/c/out.csv?x=/y", Path("out.csv")).all() == {
        "OUT": "s3://b/c/out.csv?x=/y",
        "the bad rows": "s3://b/c/out.csv.errors.jsonl?x=/y",
        "the manifest": "s3://b/c/out.csv.manifest.json?x=/y",
        "the state": "s3://b/c/out.csv.parts/?x=/y",
    }


def test_names_of_fsspec_have_no_query() -> None:
    assert split_query("memory://a/b?c.csv") == ("memory://a/b?c.csv", "")
