"""A job that is stopped at any moment goes on, and its output is that of an unbroken run."""

from __future__ import annotations

import ctypes
import io
import json
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

import mime_fast
from mime_fast.corpora import answerer_spec, part_work
from mime_fast.corpora.job import CorpusJob
from mime_fast.corpora.parts import Parts, write_part
from mime_fast.corpora.places import Places, StateFiles
from mime_fast.errors import BackendError, ConfigError, DataError
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


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet", "parts/", "parts.parquet/"])
def test_goes_on_behind_what_is_done(
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
    out.unlink()
    assert make_job(source, out).run().rows_now == 400


def test_another_job_is_refused(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    out = tmp_path / "out.jsonl"
    make_job(source, out).run()
    done = out.read_bytes()
    with pytest.raises(
        DataError, match=r"out.jsonl: is another job's: task.seed was 0, now 1; .*--restart begins anew"
    ):
        make_job(source, out, task={"seed": 1}).run()
    with pytest.raises(DataError, match="part_rows was 40, now 41; leave part_rows out, or --restart begins anew"):
        make_job(source, out, part_rows=41).run()
    with source.open("a") as stream:
        stream.write(json.dumps(some_rows(1)[0]))
    with pytest.raises(DataError, match=r"out.jsonl: is another job's: the input differs"):
        make_job(source, out).run()
    assert out.read_bytes() == done
    assert make_job(source, out, restart=True).run().rows == 401


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
    with pytest.raises(DataError, match=r"made by isa avx2, others would be by isa generic: .*--isa"):
        make_job(source, out).run()
    on("avx2")
    assert make_job(source, out).run().rows_now == 280
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


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
    again = make_job("-", out).run()  # the summary of the finished job
    assert (again.rows, again.rows_now) == (400, 0)
    piped(write_rows(tmp_path / "other.jsonl", some_rows(3)))
    with pytest.raises(DataError, match="the input differs"):
        make_job("-", out).run()


def test_the_manifest_has_the_summary(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    summary = make_job(source, tmp_path / "out.jsonl").run()
    manifest = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    found = manifest["finished"]["summary"]
    assert found["rows"] == found["answered"] + found["errors"] == 400
    assert found["perplexity_micro"] == summary.perplexity_micro
    assert sum(found["emotions"].values()) == found["answered"]


def stopped_after(monkeypatch: pytest.MonkeyPatch, job: CorpusJob, parts: int) -> None:
    """Run a job until so many parts are done."""

    def failing(files: StateFiles, number: int, *rest: object) -> None:
        if number == parts:
            raise KeyboardInterrupt
        write_part(files, number, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("mime_fast.corpora.part_work.write_part", failing)
        job.run()


def test_what_changes_no_byte_is_allowed(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.jsonl").symlink_to("in.jsonl")
    make_job(source, whole, kind="generate").run()
    stopped_after(monkeypatch, make_job(source, out, kind="generate"), 2)
    isa = best_isa()
    ways: list[dict[str, Any]] = [
        {"load_options": {"threads": 2, "batch_size": 3}},
        {"load_options": {"isa": isa, "backend": "native", "device": "cpu", "precision": "float32"}},
        {"inputs": f"{tmp_path}/sub/../in.jsonl"},
        {"inputs": tmp_path / "link.jsonl"},
        {"inputs": [str(source)]},
        {"task": {"search": {"num_beams": 3, "top_k": None}}},  # the model's own
        {"max_errors": 0.5, "part_rows": None},
    ]
    for number, way in enumerate(ways, start=2):
        os.utime(source, (number, number))
        given = {"inputs": source, **way}
        stopped_after(monkeypatch, make_job(given.pop("inputs"), out, kind="generate", **given), number + 1)
    assert make_job(tmp_path / "link.jsonl", out, kind="generate", workers=2).run().rows_now == 40
    assert out.read_bytes() == whole.read_bytes()
    os.utime(source, (1, 1))
    for way in ways:
        given = {"inputs": source, **way}
        assert make_job(given.pop("inputs"), out, kind="generate", **given).run().rows == 400


def best_isa() -> str:
    isa: str = mime_fast.load(threads=1).describe()["isa"]
    return isa


@pytest.mark.parametrize("finished", [False, True])
def test_another_back_end_is_refused_with_flags_that_help(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    out, first = tmp_path / "out.jsonl", {"threads": 1, "isa": "generic"}
    if finished:
        make_job(source, out, load_options=first).run()
    else:
        stopped_after(monkeypatch, make_job(source, out, load_options=first), 3)
    for other in ({"isa": best_isa()}, {"backend": "reference"}, {"precision": "int8"}, {"device": "cuda"}):
        with pytest.raises(DataError, match="--device cpu --backend native --isa generic --precision float32"):
            make_job(source, out, load_options=other).run()
    if not finished:
        with pytest.raises(DataError, match="--device cpu --backend native --isa generic --precision float32"):
            make_job(source, out).run()
    flags = {"device": "cpu", "backend": "native", "isa": "generic", "precision": "float32"}
    assert make_job(source, out, load_options=flags).run().rows == 400


@pytest.mark.parametrize("change", ["cut", "grown", "edited"])
def test_an_input_that_changed_is_found_as_it_is_read(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    out, lines = tmp_path / "out.jsonl", source.read_text().splitlines(keepends=True)
    stopped_after(monkeypatch, make_job(source, out), 3)
    changed = {"cut": lines[:70], "grown": [lines[0], *lines], "edited": [*lines[:5], lines[6], *lines[6:]]}[change]
    source.write_text("".join(changed))
    with pytest.raises(DataError, match="is another job's: the input differs in part"):
        make_job(source, out).run()
    source.write_text("".join(lines))
    assert make_job(source, out).run().rows_now == 280


def test_rows_that_are_not_done_may_change(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, lines = tmp_path / "out.jsonl", source.read_text().splitlines(keepends=True)
    stopped_after(monkeypatch, make_job(source, out), 3)
    source.write_text("".join(lines[:200]))
    assert make_job(source, out).run().rows == 200
    make_job(source, tmp_path / "whole.jsonl").run()
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


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
