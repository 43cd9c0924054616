"""Which jobs may go on with the parts of another: what changes no byte may differ, all else is refused."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

import mime_fast
from mime_fast.corpora.job import CorpusJob
from mime_fast.errors import DataError
from tests.corpora.conftest import MakeJob, some_rows, stopped_after, write_rows


def test_another_job_is_refused(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    out = tmp_path / "out.jsonl"
    make_job(source, out).run()
    done = out.read_bytes()
    with pytest.raises(
        DataError, match=r"out.jsonl: is another job's: task.seed was 0, now 1; .*restart=True begins anew"
    ):
        make_job(source, out, task={"seed": 1}).run()
    with pytest.raises(DataError, match="part_rows was 40, now 41; leave part_rows out, or restart=True begins anew"):
        make_job(source, out, part_rows=41).run()
    with source.open("a") as stream:
        stream.write(json.dumps(some_rows(1)[0]))
    with pytest.raises(DataError, match=r"out.jsonl: is another job's: the input differs"):
        make_job(source, out).run()
    assert out.read_bytes() == done
    assert make_job(source, out, restart=True).run().rows == 401


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


def test_what_changes_no_byte_is_allowed(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.jsonl").symlink_to("in.jsonl")
    make_job(source, whole, kind="generate").run()
    stopped_after(monkeypatch, make_job(source, out, kind="generate").run, 2)
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
        stopped_after(monkeypatch, make_job(given.pop("inputs"), out, kind="generate", **given).run, number + 1)
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
        stopped_after(monkeypatch, make_job(source, out, load_options=first).run, 3)
    for other in ({"isa": best_isa()}, {"backend": "reference"}, {"precision": "int8"}, {"device": "cuda"}):
        with pytest.raises(DataError, match="device='cpu' backend='native' isa='generic' precision='float32'"):
            make_job(source, out, load_options=other).run()
    if not finished:
        with pytest.raises(DataError, match="device='cpu' backend='native' isa='generic' precision='float32'"):
            make_job(source, out).run()
    flags = {"device": "cpu", "backend": "native", "isa": "generic", "precision": "float32"}
    assert make_job(source, out, load_options=flags).run().rows == 400


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("first", [False, True], ids=["without first", "with first"])
def test_exact_log_probs_are_not_mixed_with_others(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch, first: bool, finished: bool
) -> None:
    out, screened = tmp_path / "out.jsonl", {"precision": "screened", "threads": 1}

    def job(exact: bool) -> CorpusJob:
        return make_job(source, out, model=None, load_options=screened | {"exact_logprobs": exact})

    if finished:
        job(first).run()
    else:
        stopped_after(monkeypatch, job(first).run, 3)
    cure = "name exact_logprobs" if first else "leave out exact_logprobs"
    with pytest.raises(DataError, match=f"exact log-probs: {cure}, give another OUT"):
        job(not first).run()
    assert job(first).run().rows == 400


@pytest.mark.parametrize("change", ["cut", "cut by a part", "grown", "edited"])
def test_an_input_that_changed_is_found_as_it_is_read(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    out, lines = tmp_path / "out.jsonl", source.read_text().splitlines(keepends=True)
    stopped_after(monkeypatch, make_job(source, out).run, 3)
    changed = {
        "cut": lines[:70],
        "cut by a part": lines[:80],
        "grown": [lines[0], *lines],
        "edited": [*lines[:5], lines[6], *lines[6:]],
    }
    source.write_text("".join(changed[change]))
    with pytest.raises(DataError, match="is another job's: the input differs in part"):
        make_job(source, out).run()
    source.write_text("".join(lines))
    assert make_job(source, out).run().rows_now == 280


def test_rows_that_are_not_done_may_change(
    tmp_path: Path, make_job: MakeJob, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, lines = tmp_path / "out.jsonl", source.read_text().splitlines(keepends=True)
    stopped_after(monkeypatch, make_job(source, out).run, 3)
    source.write_text("".join(lines[:200]))
    assert make_job(source, out).run().rows == 200
    make_job(source, tmp_path / "whole.jsonl").run()
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
