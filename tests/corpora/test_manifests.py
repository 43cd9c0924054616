"""Manifests that are not this job's: none of them is overwritten, and nothing that it names is removed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mime_fast.errors import DataError
from tests.corpora.conftest import MakeJob, refused, some_rows, write_rows


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "in.jsonl", some_rows(60))


def test_a_manifest_of_another_output_is_refused(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    """The job would be finished without an OUT, and one that begins anew would remove the other one's."""
    make_job(source, tmp_path / "out.jsonl").run()
    shutil.copy(tmp_path / "out.jsonl.manifest.json", tmp_path / "other.jsonl.manifest.json")
    for options in ({}, {"restart": True}, {"force": True, "restart": True}, {"task": {"seed": 1}}):
        job = make_job(source, tmp_path / "other.jsonl", **options)
        refused(tmp_path, job, "is the manifest of a job that made 'out.jsonl'; must be of 'other.jsonl'", DataError)


def test_a_manifest_of_another_folder_is_refused(tmp_path: Path, make_job: MakeJob, source: Path) -> None:
    """A folder whose new name means another format, and one with the manifest of a file beside it."""
    make_job(source, f"{tmp_path}/a.csv/").run()
    (tmp_path / "a.csv").rename(tmp_path / "b")
    (tmp_path / "d").mkdir()
    make_job(source, tmp_path / "d" / "c.jsonl").run()
    (tmp_path / "d" / "c.jsonl.manifest.json").rename(tmp_path / "d" / "_manifest.json")
    for folder, made in (("b", "part-000000.csv"), ("d", "c.jsonl")):
        told = f"is the manifest of a job that made '{made}'; must be of parts such as 'part-000000.jsonl'"
        for options in ({}, {"restart": True}, {"force": True, "restart": True}, {"task": {"seed": 1}}):
            refused(tmp_path, make_job(source, f"{tmp_path}/{folder}/", **options), told, DataError)
    (tmp_path / "b").rename(tmp_path / "again.csv")
    assert make_job(source, f"{tmp_path}/again.csv/").run().rows_now == 0


@pytest.mark.parametrize("content", ["{}", "[", "null", '{"format": "mime_fast job 2"}', "\xff"])
def test_a_manifest_that_is_none_is_kept(tmp_path: Path, make_job: MakeJob, source: Path, content: str) -> None:
    (tmp_path / "out.jsonl.manifest.json").write_text(content, encoding="latin-1")
    for options in ({}, {"restart": True, "force": True}):
        job = make_job(source, tmp_path / "out.jsonl", **options)
        refused(tmp_path, job, "manifest.json: not the manifest of a job", DataError)


FILE = {"name": "out.jsonl", "size": 1, "mtime_ns": 1, "sha256": ""}


@pytest.mark.parametrize("is_finished", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        {"job": 3},
        {"job": {}},
        {"token": "../x"},
        {"token": 7},
        {"sources": None},
        {"finished": 3},
        {"finished": {}},
        {"finished": {"summary": {"rows": 1}, "rows": [], "digests": [], "provenance": {}}},
        {"outputs": [FILE | {"name": []}]},
        {"outputs": [FILE | {"name": "../out.jsonl"}]},
        {"previous": [FILE | {"size": "1"}]},
    ],
)
def test_a_manifest_with_other_values_is_kept(
    tmp_path: Path, make_job: MakeJob, source: Path, change: dict[str, Any], is_finished: bool
) -> None:
    make_job(source, tmp_path / "out.jsonl").run()
    path = tmp_path / "out.jsonl.manifest.json"
    content = json.loads(path.read_text()) | ({} if is_finished else {"finished": None}) | change
    path.write_text(json.dumps(content))
    refused(tmp_path, make_job(source, tmp_path / "out.jsonl"), "manifest.json: not the manifest of a job", DataError)


def test_the_manifest_lists_what_the_job_made(tmp_path: Path, make_job: MakeJob) -> None:
    source = write_rows(tmp_path / "in.jsonl", [*some_rows(3), "{"])
    make_job(source, tmp_path / "out.jsonl").run()
    manifest = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    assert [one["name"] for one in manifest["outputs"]] == ["out.jsonl", "out.jsonl.errors.jsonl"]
