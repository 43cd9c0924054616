"""Files that are there whole or not at all: what they contain, and what a failure leaves."""

from __future__ import annotations

import errno
import json
import math
import multiprocessing
import os
import pickle
import resource
import stat
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from mime_fast import files
from mime_fast.errors import DataError, OutputError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    with files.whole_file(tmp_path / "a") as stream:
        stream.write(b"one")
        assert len(names(tmp_path)) == 1 and not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_bytes() == b"one"
    assert names(tmp_path) == ["a"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt), files.whole_file(tmp_path / "a") as stream:
        stream.write(b"after" * 100_000)
        raise KeyboardInterrupt
    assert (tmp_path / "a").read_bytes() == b"before"
    assert names(tmp_path) == ["a"]


def test_a_link_stays_and_permissions_too(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    files.write_bytes(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"x"
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o640


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / ("n" * 255), b"x")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EIO, errno.ENOSPC])
def test_a_folder_that_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    sync = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    is_fault = number in (errno.EIO, errno.ENOSPC)
    with pytest.raises(OutputError, match="a: cannot be written") if is_fault else nullcontext():
        files.write_bytes(tmp_path / "a", b"x")
    assert names(tmp_path) == ["a"]


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refused(path: Any, *given: Any) -> int:
        if path == tmp_path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(path, *given)

    monkeypatch.setattr(os, "open", refused)
    files.write_bytes(tmp_path / "b", b"x")
    assert names(tmp_path) == ["b"]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    with files.whole_file(tmp_path / "a") as one, files.whole_file(tmp_path / "a") as other:
        one.write(b"one")
        other.write(b"other")
    assert (tmp_path / "a").read_bytes() == b"one"  # it ended last


@pytest.mark.parametrize(
    ("name", "why"), [("none/a", "No such file or directory"), ("", "Is a directory"), ("n" * 256, "name too long")]
)
def test_what_cannot_be_written_is_named(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(OutputError, match=f"cannot be written: .*{why}") as caught:
        files.write_bytes(tmp_path / name, b"x")
    assert str(caught.value).startswith(str(tmp_path / name))
    assert isinstance(caught.value, OSError) and isinstance(caught.value, DataError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.errno) == (str(caught.value), caught.value.errno)


@pytest.mark.parametrize("error", [OutputError("b: cannot be written"), BrokenPipeError(errno.EPIPE, "Broken pipe")])
def test_an_error_that_has_a_name_or_a_broken_pipe_stays(error: OSError) -> None:
    with pytest.raises(OSError) as caught, files.naming("a"):
        raise error
    assert caught.value is error


def limited(path: Path, size: int, told: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        with files.whole_file(path) as stream:
            stream.write(bytes(size))
    except OutputError as error:
        told.send((str(error), error.errno))


@pytest.mark.parametrize("size", [1001, 1_000_000])  # met at the end, and while it is written
def test_a_limit_of_the_file_size_names_the_file_and_leaves_nothing(tmp_path: Path, size: int) -> None:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=limited, args=(tmp_path / "a", size, there))
    child.start()
    child.join()
    assert here.recv() == (f"{tmp_path}/a: cannot be written: File too large", 27)
    assert names(tmp_path) == []


def test_json_has_no_infinity_and_no_nan(tmp_path: Path) -> None:
    value = {"a": math.inf, "b": [math.nan, (1.5, -math.inf)], "c": "é\udcff", "d": True}
    files.write_json(tmp_path / "a.json", value)
    expected = {"a": None, "b": [None, [1.5, None]], "c": "é\udcff", "d": True}
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == expected
    line = files.json_bytes(value)
    assert json.loads(line) == expected and line.count(b"\n") == 1 and "é".encode() in line


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.symlink("a", tmp_path / "link")
    with pytest.raises(OutputError, match="Is a directory"):
        files.write_bytes(tmp_path / "link", b"x")


def test_a_pipe_is_written_and_stays_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        (tmp_path / "link").symlink_to("pipe")
        files.write_json(tmp_path / "link", {"a": 1})
        assert json.loads(os.read(reader, 100)) == {"a": 1}
    finally:
        os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_stream_that_is_a_file_stays_the_same_file(tmp_path: Path) -> None:
    with open(tmp_path / "a", "ab", buffering=0) as stream:
        stream.write(b"before ")
        files.write_bytes(f"/dev/fd/{stream.fileno()}", b"between ")
        stream.write(b"after")
    assert (tmp_path / "a").read_bytes() == b"before between after"
