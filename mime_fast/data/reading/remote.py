"""Inputs that a URI names (s3://, gs://, hdfs://, file://), through pyarrow's file systems."""

from __future__ import annotations

from typing import Any, BinaryIO, cast

from mime_fast.errors import DataError


def is_uri(name: str) -> bool:
    return "://" in name


def find_remote(uri: str, recursive: bool = False) -> list[tuple[str, int, int]]:
    """URI, bytes and time of change (ns) of a file, or of a folder's files, sorted by name.

    Args:
        recursive: those of the folders in the folder, too.

    Raises:
        DataError: nothing there, or the file system cannot be used.
    """
    from pyarrow import fs

    system, path = _resolve(uri)
    try:
        found = system.get_file_info(path)
        if found.type == fs.FileType.Directory:
            infos = [one for one in system.get_file_info(fs.FileSelector(path, recursive=recursive)) if one.is_file]
        elif found.type == fs.FileType.File:
            infos = [found]
        else:
            raise DataError(f"{uri}: cannot be read: No such file or directory")
    except OSError as error:
        raise DataError(f"{uri}: cannot be read: {error}") from None
    start = uri.rstrip("/").removesuffix(path.rstrip("/"))
    return sorted((start + one.path, one.size or 0, one.mtime_ns or 0) for one in infos)


def open_remote(uri: str) -> BinaryIO:
    """A stream that can seek. Raises DataError."""
    system, path = _resolve(uri)
    try:
        return cast(BinaryIO, system.open_input_file(path))
    except OSError as error:
        raise DataError(f"{uri}: cannot be read: {error}") from None


def _resolve(uri: str) -> tuple[Any, str]:
    import pyarrow as pa
    from pyarrow import fs

    try:
        system, path = fs.FileSystem.from_uri(uri)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{uri}: cannot be read: {error}") from None
    return system, path
