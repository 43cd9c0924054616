"""A job that begins anew takes the place of the one before it when its first part is done, and leaves nothing of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mime_fast.corpora.parts import Parts
from mime_fast.corpora.places import Places, StateFiles
from mime_fast.errors import MimeFastError
from tests.corpora.conftest import MakeJob, mixed_rows, some_rows, stopped_after, write_rows

NAMES = ["out.jsonl", "parts/"]


class Killed(BaseException):
    """What ends a process that clears nothing away."""


def kill(monkeypatch: pytest.MonkeyPatch, at: type, name: str) -> None:
    def killed(*_: object, **__: object) -> None:
        monkeypatch.setattr(Parts, "_give_up", lambda *_: None)
        raise Killed

    monkeypatch.setattr(at, name, killed)


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_one_that_fails_at_once_keeps_what_is_done(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    out = f"{tmp_path}/{name}"
    stopped_after(monkeypatch, make_job(source, out).run, 3)
    before = files_in(tmp_path)
    assert len([path for path in before if path.endswith(".counts.json")]) == 3
    for wrong in ({"load_options": {"isa": "nonsense"}}, {"task": {"seed": 1}, "load_options": {"device": "moon"}}):
        with pytest.raises(MimeFastError):
            make_job(source, out, restart=True, **wrong).run()
        assert files_in(tmp_path) == before
    stopped_after(monkeypatch, make_job(source, out, restart=True).run, 0)
    assert files_in(tmp_path) == before
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill(patch, Parts, "tally")
        make_job(source, out, restart=True).run()
    stopped_after(monkeypatch, make_job(source, out).run, 0)  # the killed one goes on, and fails
    assert len([path for path in files_in(tmp_path) if path.endswith(".counts.json")]) == 3
    assert make_job(source, out).run().rows == 400
    assert not Places.of(out).state.exists()


def test_one_that_fails_at_once_in_a_store(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = pytest.importorskip("fsspec").filesystem("memory")
    uri = "memory://restarted/out.jsonl"
    stopped_after(monkeypatch, make_job(source, uri).run, 3)
    before = {path: store.cat_file(path) for path in store.find("/restarted")}
    with pytest.raises(MimeFastError):
        make_job(source, uri, restart=True, load_options={"isa": "nonsense"}).run()
    assert {path: store.cat_file(path) for path in store.find("/restarted")} == before
    assert make_job(source, uri).run().rows_now == 280


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("at", "method"), [(StateFiles, "remove"), (Parts, "add"), (Parts, "join"), (Parts, "_note"), (Parts, "tally")]
)
def test_one_that_is_killed_leaves_no_old_parts(
    tmp_path: Path,
    make_job: MakeJob,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    at: type,
    method: str,
) -> None:
    out = f"{tmp_path}/{name}"
    stopped_after(monkeypatch, make_job(source, out).run, 2)
    for _ in range(2):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill(patch, at, method)
            make_job(source, out, restart=True).run()
    assert make_job(source, out).run().rows == 400
    assert not Places.of(out).state.exists()
    assert json.loads(Places.of(out).manifest.read_bytes())["older"] == []


@pytest.mark.parametrize("name", NAMES)
def test_one_that_is_killed_as_it_clears_away_leaves_no_old_output(
    tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The job before it made more parts, and had bad rows."""
    out, small = f"{tmp_path}/out/{name}", write_rows(tmp_path / "small.jsonl", some_rows(30))
    large = write_rows(tmp_path / "large.jsonl", mixed_rows(120))
    (tmp_path / "out").mkdir()
    make_job(small, out).run()
    whole = {path: content for path, content in files_in(tmp_path / "out").items() if "manifest" not in path}
    make_job(large, out, restart=True).run()
    (tmp_path / "out").rename(tmp_path / "before")
    unlink = Path.unlink
    for kills in range(30):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        shutil.copytree(tmp_path / "before", tmp_path / "out")
        left = iter(range(kills))

        def killed(path: Path, missing_ok: bool = False, left: Iterator[int] = left) -> None:
            if path.name.endswith((".json", ".jsonl")) and next(left, None) is None:
                raise Killed
            unlink(path, missing_ok)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", killed)
            try:
                make_job(small, out, restart=True).run()
                break
            except Killed:
                pass
        assert make_job(small, out).run().rows_now == 0, "it was not killed at its end"
        found = files_in(tmp_path / "out")
        assert {path: content for path, content in found.items() if "manifest" not in path} == whole, kills
        assert json.loads(Places.of(out).manifest.read_bytes())["previous"] == []
    assert kills > 2, "the job was not killed"


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_that_was_never_put_in_place_is_removed(
    tmp_path: Path, make_job: MakeJob, source: Path, name: str
) -> None:
    """A job over a finished one was killed while it wrote its manifest."""
    out = f"{tmp_path}/{name}"
    make_job(source, out).run()
    state = Places.of(out).state
    state.mkdir()
    (state / "manifest-0123abcd-89abcdef.tmp").write_text("{")
    assert make_job(source, out).run().rows_now == 0
    assert not state.exists()
