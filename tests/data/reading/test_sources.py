"""Which files are read, what is passed over, and files that are no rows at all."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from mime_fast.corpora.places import Places
from mime_fast.data.empathetic_dialogues import read_pairs
from mime_fast.data.reading.formats import FORMATS, format_of_name
from mime_fast.data.reading.options import FORMAT_NAMES, Reading
from mime_fast.data.reading.remote import find_remote, open_remote
from mime_fast.data.reading.source import Source
from mime_fast.data.reading.sources import find_sources
from mime_fast.errors import ConfigError, DataError
from tests.data.reading.conftest import rows_of

LINE = b'{"context": ["a"], "response": "b"}\n'
TABLE = b"context,response\na,b\n"


def packed(content: bytes) -> bytes:
    """zstd, with pyarrow's codec, which writes one frame."""
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


def test_endings_in_any_case(tmp_path: Path) -> None:
    table = pa.table({"context": ["a"], "response": ["b"]})
    names = ("a.JSONL", "b.CSV", "c.csv.GZIP", "d.JsonL.ZST", "e.parq", "f.PARQUET", "g.pq", "h.ndjson", "i.csv.zstd")
    for name in names:
        content = LINE if "j" in name.lower() else TABLE
        if name[0] in "efg":
            parquet.write_table(table, tmp_path / name)
        else:
            zipped = gzip.compress(content) if "GZ" in name else packed(content) if ".zst" in name.lower() else content
            (tmp_path / name).write_bytes(zipped)
    found = rows_of(tmp_path)
    assert [row[1] for row in found] == list(range(9))
    assert all(row[3:5] == (["a"], "b") for row in found)
    for file in tmp_path.iterdir():
        assert [row[3:5] for row in rows_of(file)] == [(["a"], "b")]


def test_what_a_folder_passes_over_is_told(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("a.jsonl", "notes.md", "b.xlsx", "_SUCCESS", ".crc", "deep/c.jsonl", "deep/er/d.jsonl"):
        (tmp_path / name).write_bytes(LINE)
    told: list[str] = []
    assert [Path(one.name).name for one in find_sources(tmp_path, tell=told.append)] == ["a.jsonl"]
    (line,) = told
    assert "passed over b.xlsx, deep/, notes.md" in line
    assert "--recursive" in line
    told.clear()
    found = find_sources(tmp_path, Reading(recursive=True), told.append)
    assert [Path(one.name).name for one in found] == ["a.jsonl", "c.jsonl", "d.jsonl"]
    assert "passed over b.xlsx, notes.md" in told[0]
    with pytest.raises(DataError, match=r"no file of a corpus .* there is er/; .*; --recursive reads the folders"):
        (tmp_path / "deep" / "c.jsonl").unlink()
        find_sources(tmp_path / "deep")


def foreign() -> dict[str, bytes]:
    archive, tar = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("a.jsonl", LINE)
    with tarfile.open(fileobj=tar, mode="w") as tarred:
        member = tarfile.TarInfo("a.jsonl")
        member.size = len(LINE)
        tarred.addfile(member, io.BytesIO(LINE))
    return {
        "a zip archive": archive.getvalue(),
        "a tar archive": tar.getvalue(),
        "tar archive": gzip.compress(tar.getvalue()),
        "compressed with xz": lzma.compress(LINE),
        "compressed with bzip2": bz2.compress(LINE),
        "compressed twice": gzip.compress(gzip.compress(LINE)),
        "is compressed twice": packed(gzip.compress(LINE)),
    }


@pytest.mark.parametrize("what", foreign())
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a"])
def test_archives_are_refused_in_one_line(tmp_path: Path, what: str, name: str) -> None:
    (tmp_path / name).write_bytes(foreign()[what])
    with pytest.raises(DataError, match=what) as raised:
        rows_of(tmp_path / name)
    assert "unpack it" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_parquet_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"context": ["a"], "response": ["b"]}), tmp_path / "a.jsonl")
    assert [row[3:5] for row in rows_of(tmp_path / "a.jsonl")] == [(["a"], "b")]
    (tmp_path / "a.parquet").write_bytes(LINE)
    with pytest.raises(DataError, match="no Parquet file"):
        rows_of(tmp_path / "a.parquet")


def test_a_file_without_a_format_is_refused_before_its_rows_are_answered(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("A text.\nAnd more.\n")
    with pytest.raises(DataError, match=r"README: neither its name nor its first line says its format"):
        rows_of(tmp_path / "README")
    (tmp_path / "README").write_bytes(b"\n" + LINE)
    assert len(rows_of(tmp_path / "README")) == 1
    with pytest.raises(ConfigError, match="format='xml': must be one of auto, jsonl"):
        rows_of(tmp_path / "README", format="xml")


def test_formats_have_the_names_that_options_know() -> None:
    assert tuple(FORMATS) == FORMAT_NAMES


def test_pipes_are_read_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(LINE * 3))
    writer.start()
    assert len(rows_of(tmp_path / "pipe")) == 3
    writer.join()


def test_tables_without_an_ending_are_known_by_their_header(tmp_path: Path) -> None:
    for content in (TABLE, b'"response";"context"\n"b";"a"\n', gzip.compress(TABLE)):
        (tmp_path / "table").write_bytes(content)
        assert [row[3:5] for row in rows_of(tmp_path / "table")] == [(["a"], "b")]


def test_parquet_is_not_read_as_something_else(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"context": ["a"], "response": ["b"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: is Parquet, not jsonl"):
        rows_of(tmp_path / "a.parquet", format="jsonl")


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINE)
    monkeypatch.chdir(tmp_path)
    for inputs in ("", ["a.jsonl", ""]):
        with pytest.raises(DataError, match="'' names no input; must be a file"):
            find_sources(inputs)
    with pytest.raises(DataError, match="'' names no data"):
        read_pairs("", "train")
    assert len(find_sources(".")) == len(find_sources(Path())) == 1


@pytest.mark.parametrize("recursive", [False, True])
def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recursive: bool
) -> None:
    (tmp_path / "in").mkdir()
    entries = Path.iterdir

    def refused(path: Path) -> Iterator[Path]:
        if path == tmp_path / "in":
            raise PermissionError(13, "Permission denied")
        return entries(path)

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(DataError, match=r"/in: cannot be read: Permission denied"):
        find_sources(tmp_path if recursive else tmp_path / "in", Reading(recursive=recursive))


def test_folders_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(LINE)
    (tmp_path / "in" / "circle").symlink_to(tmp_path / "in")
    told: list[str] = []
    assert len(find_sources(tmp_path, Reading(recursive=True), told.append)) == 1
    assert "circle/" in told[0] and "--recursive" not in told[0]


def folders_of_tmp_and_memory(tmp_path: Path, names: Sequence[str]) -> list[str]:
    """A folder on the disk and one in fsspec's memory:// with these files."""
    store = pytest.importorskip("fsspec").filesystem("memory")
    store.store.clear()
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(LINE)
        store.pipe_file(f"/corpus/{name}", LINE)
    return [str(tmp_path), "memory://corpus"]


@pytest.mark.parametrize("recursive", [False, True])
def test_a_folder_of_a_store_is_read_as_one_on_the_disk(tmp_path: Path, recursive: bool) -> None:
    names = ("a-b.jsonl", "a.jsonl", "a/x.jsonl", "_temporary/0/a.jsonl", ".ipynb_checkpoints/a.jsonl", "a/_b/c.jsonl")
    folders = folders_of_tmp_and_memory(tmp_path, [*names, "_a.jsonl", "notes.md"])
    expected = ["a/x.jsonl", "a-b.jsonl", "a.jsonl"] if recursive else ["a-b.jsonl", "a.jsonl"]
    told: list[str] = []
    for folder in folders:
        found = find_sources(folder, Reading(recursive=recursive), told.append)
        assert [one.name.removeprefix(f"{folder}/") for one in found] == expected
        assert len(rows_of(folder, recursive=recursive)) == len(expected)
    assert told[0].removeprefix(folders[0]) == told[1].removeprefix(folders[1])
    assert ("passed over a/, notes.md" in told[1]) is not recursive


@pytest.mark.parametrize("recursive", [False, True])
def test_what_jobs_make_beside_an_output_is_no_corpus(tmp_path: Path, recursive: bool) -> None:
    outputs = ["deep/out.csv", "out.jsonl"] if recursive else ["out.jsonl"]
    made = [path for path in Places.of("out.jsonl").all().values() if not path.endswith("/")]
    parts = ["out.jsonl.parts/part-000000-ab.jsonl", "deep/out.csv.parts/part-000000-ab.errors.jsonl"]
    names = [*(Path(path).name for path in made), "deep/out.csv", "deep/out.csv.errors.jsonl", *parts]
    told: list[str] = []
    for folder in folders_of_tmp_and_memory(tmp_path, names):
        found = find_sources(folder, Reading(recursive=recursive), told.append)
        assert [one.name.removeprefix(f"{folder}/") for one in found] == outputs
    assert "out.jsonl.errors.jsonl, out.jsonl.manifest.json, out.jsonl.parts/" in told[0]
    assert told[0].removeprefix(str(tmp_path)) == told[1].removeprefix("memory://corpus")
    assert ("--recursive" in told[0]) is not recursive


def test_a_glob_has_the_order_of_a_folder(tmp_path: Path) -> None:
    folder, _ = folders_of_tmp_and_memory(tmp_path, ["a-b.jsonl", "a.jsonl", "a/x.jsonl"])
    assert find_sources(f"{folder}/**/*.jsonl") == [
        Source.file(one.name, Reading()) for one in find_sources(folder, Reading(recursive=True))
    ]


NAMES = ["a b.jsonl", "a#b.jsonl", "a%20b.jsonl", "a%zz.jsonl", "a?b.jsonl", "d é/[x.jsonl"]


@pytest.mark.parametrize("cache", ["", "simplecache::"])
def test_any_name_can_be_read_through_fsspec(tmp_path: Path, cache: str) -> None:
    folders_of_tmp_and_memory(tmp_path, [f"100 %/{name}" for name in NAMES])
    for uri in (f"{cache}memory://corpus/100 %", f"{cache}memory:///corpus/100 %/", f"{cache}memory://"):
        found = [one.name for one in find_sources(uri, Reading(recursive=True))]
        assert [name.partition("%/")[2] for name in found] == NAMES
        assert len(rows_of(uri, recursive=True)) == len(NAMES)
        assert all(len(rows_of(name)) == 1 for name in found)


def test_what_lies_in_an_archive_of_a_store(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("deep/a b.jsonl", LINE)
    pytest.importorskip("fsspec").filesystem("memory").pipe_file("/all.zip", archive.getvalue())
    assert len(rows_of("zip://deep::memory://all.zip")) == 1
    assert len(rows_of("zip://::memory://all.zip", recursive=True)) == 1


def test_uris_of_pyarrow_are_escaped_and_keep_their_query(tmp_path: Path) -> None:
    (tmp_path / "100 %").mkdir()
    for name in ("a b.jsonl", "a%20b.jsonl", "a?b=é.jsonl"):
        (tmp_path / "100 %" / name).write_bytes(LINE)
    uri = (tmp_path / "100 %").as_uri()
    found = find_remote(f"{uri}/?use_mmap=true")
    assert [one.uri for one in found] == [
        f"{uri}/{name}?use_mmap=true" for name in ("a%20b.jsonl", "a%2520b.jsonl", "a%3Fb=%C3%A9.jsonl")
    ]
    for one in found:
        with open_remote(one.uri) as stream:
            assert stream.read() == LINE
    assert format_of_name(found[0].uri) == "jsonl"


def test_a_uri_that_cannot_be_is_refused() -> None:
    for uri, reason in (("s3://a b", "Cannot parse URI"), ("memory://\udcff", "a URI must be UTF-8")):
        with pytest.raises(DataError, match=f"cannot be used: {reason}"):
            find_sources(uri)


def test_why_a_file_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINE)
    for name, why in (("a.jsonl/b.jsonl", "Not a directory"), ("x" * 300, "File name too long"), ("b", "No such file")):
        with pytest.raises(DataError, match=f"cannot be read: {why}"):
            Source.file(f"{tmp_path}/{name}", Reading())
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DataError, match=r"a\.jsonl: cannot be read: Permission denied"):
        Source.file(f"{tmp_path}/a.jsonl", Reading())


def test_a_glob_drops_nothing_silently(tmp_path: Path) -> None:
    for name in ("s-1.jsonl", "s-3.jsonl"):
        (tmp_path / name).write_bytes(LINE)
    (tmp_path / "s-2.jsonl").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=r"s-2\.jsonl: cannot be read: No such file or directory"):
        find_sources(f"{tmp_path}/s-*.jsonl")
    (tmp_path / "s-2.jsonl").unlink()
    (tmp_path / "s-2.jsonl").mkdir()
    told: list[str] = []
    assert len(find_sources(f"{tmp_path}/s-*.jsonl", tell=told.append)) == 2
    assert f"s-*.jsonl: passed over {tmp_path}/s-2.jsonl/ (a glob names files" in told[0]
    assert len(find_sources(f"{tmp_path}/**", tell=told.append)) == 2
    assert len(told) == 1
    with pytest.raises(DataError, match=r"no such file; there is .*/s-2\.jsonl/"):
        find_sources(f"{tmp_path}/s-2*")
    os.mkfifo(tmp_path / "s-4.jsonl")
    assert find_sources(f"{tmp_path}/s-[34]*")[1].is_stream
