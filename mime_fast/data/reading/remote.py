"""Files that a URI names (s3://, gs://, hdfs://, file://), through pyarrow's file systems, and fsspec's others."""

from __future__ import annotations

import os
import re
from typing import Any, BinaryIO, NamedTuple, cast
from urllib.parse import quote

from mime_fast.errors import DataError
from mime_fast.extras import missing

_OF_THIS_MACHINE = re.compile(r"(?:[\w.+-]+::)*(file|local)://(.*)", re.IGNORECASE | re.DOTALL)  # :: is fsspec's chain

_OF_PYARROW = ("file", "s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs", "hf", "mock")
_WITH_QUERY = tuple(name for name in _OF_PYARROW if name != "hf")
_OF_A_PATH = "/:@!$&'()*+,;="  # besides letters and digits


def is_uri(name: str) -> bool:
    return "://" in name


class Entry(NamedTuple):
    """A file, or a folder in the folder that a URI names."""

    path: str  # below the URI's folder, with "/" at the end of a folder; empty for the URI's own file
    uri: str
    size: int  # bytes
    modified: int  # ns


def find_remote(uri: str, recursive: bool = False) -> list[Entry]:
    """The file that a URI names, or what its folder contains, in the order in which `sorted` has paths.

    Args:
        recursive: the folders in the folder are entered, too.

    Raises:
        DataError: nothing there, or the file system cannot be used.
    """
    from pyarrow import fs

    system, path = resolve(uri)
    try:
        found = system.get_file_info(path)
        if found.type == fs.FileType.File:
            return [Entry("", uri, found.size or 0, found.mtime_ns or 0)]
        if found.type != fs.FileType.Directory:
            raise DataError(f"{uri}: cannot be read: No such file or directory")
        infos = system.get_file_info(fs.FileSelector(path, recursive=recursive))
    except OSError as error:
        raise DataError(f"{uri}: cannot be read: {error}") from None
    entries = []
    for one in infos:
        below = one.path.strip("/").removeprefix(path.strip("/")).strip("/")
        name = below if one.is_file else f"{below}/"
        entries.append(Entry(name, _uri_of(uri, below, system), one.size or 0, one.mtime_ns or 0))
    return sorted(entries, key=lambda entry: entry.path.split("/"))


def _uri_of(folder: str, below: str, system: Any) -> str:
    """The URI of what lies below the folder of a URI."""
    folder, mark, rest = folder.partition("::" if _is_of_fsspec(system) else "?")
    if _is_of_fsspec(system) and "://" not in folder:  # a cache, whose path is that of what it is before
        return f"{folder}::{_uri_of(rest, below, system)}"
    folder = re.sub(r"(?<=[^:/])/+$", "", folder)
    path = below if _is_of_fsspec(system) else quote(below, _OF_A_PATH)
    return f"{folder}{'' if folder.endswith('/') else '/'}{path}{mark}{rest}"


def _is_of_fsspec(system: Any) -> bool:
    return str(system.type_name).startswith("py::")


def open_remote(uri: str) -> BinaryIO:
    """A stream that can seek. Raises DataError."""
    system, path = resolve(uri)
    try:
        return cast(BinaryIO, system.open_input_file(path))
    except OSError as error:
        raise DataError(f"{uri}: cannot be read: {error}") from None


def resolve(uri: str) -> tuple[Any, str]:
    """A pyarrow file system and the path in it: one of its own, else fsspec's, where that is installed.

    Raises:
        DataError: neither knows the URI, or it cannot be used.
    """
    import pyarrow as pa
    from pyarrow import fs

    try:
        return cast(tuple[Any, str], fs.FileSystem.from_uri(uri))
    except UnicodeEncodeError:
        raise DataError(f"{uri}: cannot be used: a URI must be UTF-8") from None
    except (pa.ArrowInvalid, OSError) as error:
        is_other = "Cannot parse URI" in str(error) and uri.partition("://")[0].lower() not in _OF_PYARROW
        if not is_other and "Unrecognized filesystem type" not in str(error):
            raise DataError(f"{uri}: cannot be used: {error}") from None
    return _of_fsspec(uri)


def _of_fsspec(uri: str) -> tuple[Any, str]:
    from pyarrow import fs

    scheme = uri.partition("://")[0]
    if reason := missing("fsspec"):
        raise DataError(f"{uri}: pyarrow does not know {scheme}://, and {reason}")
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(uri)
    except ImportError as error:  # of the package that serves the scheme
        raise DataError(f"{uri}: cannot be used: {error}") from None
    except (ValueError, OSError) as error:
        raise DataError(f"{uri}: cannot be used: {error}") from None
    return fs.PyFileSystem(fs.FSSpecHandler(system)), path


def split_query(uri: str) -> tuple[str, str]:
    """A URI without its query, and "?" with the query; fsspec's have none, as "?" may be in their names."""
    if uri.partition("://")[0].lower() not in _WITH_QUERY:
        return uri, ""
    path, mark, query = uri.partition("?")
    return path, mark + query


def plain_path(name: str) -> str:
    """The path of a URI of this machine's files (file://, local://); any other name as it is.

    Raises:
        DataError: a file:// URI that is none.
    """
    if (found := _OF_THIS_MACHINE.fullmatch(name)) is None:
        return name
    scheme, rest = found.groups()
    path = resolve(f"file://{rest}")[1] if scheme.lower() == "file" else os.path.abspath(os.path.expanduser(rest))
    return f"{path}/" if split_query(name)[0].endswith("/") and not path.endswith("/") else path
