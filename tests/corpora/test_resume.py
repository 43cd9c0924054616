"""A job that is stopped at any moment goes on, and its output is that of an unbroken run."""

from __future__ import annotations

import ctypes
import io
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from mime_fast.corpora import answerer_spec, part_work
from mime_fast.corpora.parts import PartFiles, Parts
from mime_fast.errors import DataError
from tests.corpora.conftest import MakeJob, some_rows, start, write_rows

KILLS = 20


def mixed_rows(count: int) -> list[object]:
    """Some of them bad."""
    rows: list[object] = list(some_rows(count))
    for i in range(5, count, 37):
        rows[i] = '{"context": ['
    return rows


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "in.jsonl", mixed_rows(400))


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
    kills = 0
    wanted = KILLS // 2 if workers == 1 else 3
    while kills < wanted:
        child = start(children, make_job(source, broken, workers=workers))
        child.join(luck.uniform(0.02, longest) * workers)
        if child.exitcode is None:
            os.kill(child.pid or 0, signal.SIGKILL)
            kills += 1
        child.join()
        if child.exitcode == 0 and kills < wanted:  # done before all kills: once more from the start
            for path in (tmp_path / "broken").glob("*.parts/*"):
                path.unlink()
    summary = make_job(source, broken).run()
    assert (summary.rows, summary.errors) == (800, 22)
    assert broken.read_bytes() == unbroken.read_bytes()
    errors = f"{name}.errors.jsonl"
    assert (tmp_path / "broken" / errors).read_bytes() == (tmp_path / errors).read_bytes()
    assert [path.name for path in (tmp_path / "broken" / f"{name}.parts").iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet", "parts/", "parts.parquet/"])
def test_goes_on_behind_what_is_done(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    whole = make_job(source, f"{tmp_path}/whole-{name}")
    expected = whole.run()
    made: list[int] = []
    write_part = part_work.write_part

    def failing(files: PartFiles, number: int, *rest: object) -> None:
        if number == 3 and 3 not in made:
            made.append(3)
            raise OSError(28, "No space left on device")
        made.append(number)
        write_part(files, number, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(part_work, "write_part", failing)
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
    assert make_job(source, out, quiet=False).run() == summary
    assert "finished already" in capsys.readouterr().err
    assert out.stat().st_mtime_ns == before.st_mtime_ns
    assert make_job(source, out, restart=True).run().rows_now == 400
    assert out.stat().st_ino != before.st_ino
    out.unlink()
    assert make_job(source, out).run().rows_now == 400


def test_another_job_is_refused(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    out = tmp_path / "out.jsonl"
    make_job(source, out).run()
    done = out.read_bytes()
    with pytest.raises(DataError, match=r"out.jsonl: is another job's: task.seed was 0, now 1; --restart begins anew"):
        make_job(source, out, task={"seed": 1}).run()
    with pytest.raises(DataError, match="part_rows was 40, now 41"):
        make_job(source, out, part_rows=41).run()
    with source.open("a") as stream:
        stream.write("\n")
    with pytest.raises(DataError, match=r"input was .*in.jsonl"):
        make_job(source, out).run()
    assert out.read_bytes() == done
    assert make_job(source, out, restart=True).run().rows == 400


def test_two_makers_do_not_share_an_output(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jsonl"
    make_job(source, tmp_path / "whole.jsonl").run()
    write_part = part_work.write_part

    def failing(files: PartFiles, number: int, *rest: object) -> None:
        if number == 3:
            raise OSError(28, "No space left on device")
        write_part(files, number, *rest)  # type: ignore[arg-type]

    def on(isa: str) -> None:
        for module in (answerer_spec, part_work):
            monkeypatch.setattr(module, "provenance_of", lambda _: {"isa": isa})

    on("avx2")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(part_work, "write_part", failing)
        make_job(source, out).run()
    on("generic")
    with pytest.raises(DataError, match=r"made by isa avx2, others would be by isa generic: .*--isa"):
        make_job(source, out).run()
    on("avx2")
    assert make_job(source, out).run().rows_now == 280
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_the_manifest_says_what_made_it(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    make_job(source, tmp_path / "out.jsonl", load_options={"threads": 1, "isa": "generic"}).run()
    manifest = json.loads((tmp_path / "out.jsonl.parts" / "manifest.json").read_text())
    assert manifest["finished"]["provenance"] == {
        "device": "cpu",
        "backend": "native",
        "isa": "generic",
        "precision": "float32",
    }


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match=r"holds 'letter.txt' and no manifest"):
        make_job(source, f"{tmp_path}/mine/").run()
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_a_second_job_is_refused(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    out = tmp_path / "out.jsonl"
    with (
        Parts.opened(PartFiles.of(str(out)), {}, restart=False),
        pytest.raises(DataError, match="another job is writing it"),
    ):
        make_job(source, out).run()
    assert make_job(source, out, restart=True).run().rows == 400


def test_a_limit_of_the_file_size(tmp_path: Path, make_job: MakeJob, source: Path, children: ForkServerContext) -> None:
    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    make_job(source, whole).run()
    child = start(children, make_job(source, out), file_limit=whole.stat().st_size // 2)
    child.join()
    assert child.exitcode == 1
    assert not out.exists()
    summary = make_job(source, out).run()
    assert summary.rows_now == 0  # all parts fit, the joined file did not
    assert out.read_bytes() == whole.read_bytes()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, b"size=256k") != 0:
        pytest.skip(f"a tmpfs cannot be mounted: {os.strerror(ctypes.get_errno())}")
    yield folder
    libc.umount2(str(folder).encode(), 2)


def test_a_full_disk(tmp_path: Path, make_job: MakeJob, source: Path, small_disk: Path) -> None:
    whole, out = tmp_path / "whole.jsonl", small_disk / "out.jsonl"
    make_job(source, whole).run()
    (small_disk / "ballast").write_bytes(bytes(100_000))
    with pytest.raises(OSError, match="No space left"):
        make_job(source, out).run()
    assert not out.exists()
    (small_disk / "ballast").unlink()
    ctypes.CDLL(None).mount(b"tmpfs", str(small_disk).encode(), b"tmpfs", 32, b"size=8m")
    assert 0 < make_job(source, out).run().rows_now < 400
    assert out.read_bytes() == whole.read_bytes()


def test_standard_input_is_compared_as_it_is_read(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jsonl"

    def piped(path: Path) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))

    piped(source)
    assert make_job("-", out).run().rows_now == 400
    piped(source)
    assert make_job("-", out).run().rows_now == 400  # the summary of the finished job
    piped(write_rows(tmp_path / "other.jsonl", some_rows(3)))
    with pytest.raises(DataError, match="standard input differs"):
        make_job("-", out).run()


def test_the_manifest_has_the_summary(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    summary = make_job(source, tmp_path / "out.jsonl").run()
    manifest = json.loads((tmp_path / "out.jsonl.parts" / "manifest.json").read_text())
    found = manifest["finished"]["summary"]
    assert found["rows"] == found["answered"] + found["errors"] == 400
    assert found["perplexity_micro"] == summary.perplexity_micro
    assert sum(found["emotions"].values()) == found["answered"]
