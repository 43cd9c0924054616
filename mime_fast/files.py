"""Files that are there whole or not at all, whenever the process is killed or the disk is full."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from mime_fast.errors import OutputError

Path_ = str | os.PathLike[str]
_BUFFER = 1 << 18
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)  # of network file systems that have none of a folder
STREAMS = ("/dev/stdout", "/dev/stderr")
_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def hash_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def whole_file(path: Path_, scratch: Path | None = None) -> Iterator[BinaryIO]:
    """A stream to a file that appears, or is replaced, when the block ends without an error and all is on the disk.

    Until then it is `scratch`, a new file on the same disk (by default beside it), which an error removes. A link stays
    one, and a file that is replaced keeps its permissions. A pipe or a device is written as it comes.

    Raises:
        OutputError: it cannot be written; the message names `path`.
    """
    if is_special(path):
        with open_special(path) as stream:
            yield stream
        return
    target = resolved(path)
    if os.path.isdir(target):
        raise OutputError(f"{os.fspath(path)}: cannot be written: Is a directory")
    scratch = scratch or scratch_beside(target)
    try:
        with named_writer(scratch, os.fspath(path)) as stream:
            yield stream
        with naming(path):
            if target.exists():
                shutil.copymode(target, scratch)
            scratch.replace(target)
            sync_folder(target.parent)
    finally:
        scratch.unlink(missing_ok=True)


def resolved(path: Path_) -> Path:
    """Where links lead. OutputError: to themselves, or the name is one that no file can have."""
    with naming(path), suppress(FileNotFoundError):
        os.stat(path)
    return Path(os.path.realpath(path))


def is_special(path: Path_) -> bool:
    """Whether a path is of a pipe or a device, whose place no file may take, or of an open stream (/dev/stdout)."""
    return os.path.exists(path) and not os.path.isdir(path) and (not os.path.isfile(path) or _is_stream(path))


def _is_stream(path: Path_) -> bool:
    whole = os.path.abspath(path)
    return whole in STREAMS or os.path.realpath(os.path.dirname(whole)).startswith("/proc/")  # /dev/fd is there


@contextmanager
def open_special(path: Path_) -> Iterator[BinaryIO]:
    """A pipe or a device, which is written as it comes. OutputError: it cannot be."""
    with naming(path), open(path, "ab" if _is_stream(path) else "wb") as stream:
        yield cast(BinaryIO, stream)


@contextmanager
def named_writer(path: Path, name: str) -> Iterator[BinaryIO]:
    """A stream to a new file, which is on the disk when the block ends. OutputError names the file `name`."""
    with naming(name):
        raw = _NamedFile(path, name)
    with io.BufferedWriter(raw, _BUFFER) as stream:
        yield cast(BinaryIO, stream)
        stream.flush()
        with naming(name):
            os.fsync(raw.fileno())


class _NamedFile(io.FileIO):
    """A new file whose write errors carry a name, as the system's do not."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path, "xb")
        self._shown = name

    def write(self, data: Any) -> int:
        with naming(self._shown):
            return super().write(data)


@contextmanager
def naming(path: Path_) -> Iterator[None]:
    """The system's errors as OutputErrors that name `path`."""
    try:
        yield
    except (OutputError, BrokenPipeError):
        raise
    except OSError as error:
        raise OutputError.of(os.fspath(path), error) from None


def scratch_beside(target: Path) -> Path:
    """A name in the folder of `target` that no other file has."""
    return target.with_name(f".mime-fast-{os.urandom(8).hex()}.tmp")


def write_bytes(path: Path_, content: bytes, scratch: Path | None = None) -> None:
    """A file, as `whole_file`."""
    with whole_file(path, scratch) as stream:
        stream.write(content)


def write_json(path: Path_, value: object, scratch: Path | None = None) -> None:
    """A JSON file, as `whole_file`."""
    write_bytes(path, json_bytes(value, indent=2), scratch)


def json_bytes(value: object, *, indent: int | None = None) -> bytes:
    """JSON in UTF-8 with a line feed at its end.

    Infinity and NaN, which JSON has not, become null; bytes of a file's name that are no UTF-8 become escapes.
    """
    encoder = _compact if indent is None else json.JSONEncoder(ensure_ascii=False, allow_nan=False, indent=indent)
    try:
        text = encoder.encode(value)
    except ValueError:
        text = encoder.encode(_finite(value))
    return text.encode(errors="backslashreplace") + b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def sync_folder(folder: Path) -> None:
    """Names in a folder survive a loss of power from here on, if its file system and its permissions let us say so."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # it may be written to, and not read
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(handle)
