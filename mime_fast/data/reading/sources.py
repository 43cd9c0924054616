"""Which files an input names."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mime_fast.data.reading.formats import READABLE, format_of_name
from mime_fast.data.reading.options import Reading
from mime_fast.data.reading.remote import find_remote, is_uri, plain_path
from mime_fast.data.reading.source import STANDARD_INPUT, Source
from mime_fast.errors import ConfigError, DataError

_HIDDEN = (".", "_")  # what names begin with that are left out
_OF_JOBS = (".manifest.json", ".errors.jsonl", ".parts/")  # endings of what jobs make beside their outputs
_SHOWN = 5  # files passed over that a note names


def find_sources(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    reading: Reading | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> list[Source]:
    """The files that paths, folders, globs, URIs or "-" name; those of a folder or a glob sorted by path.

    A folder's files are those whose names end as a format of `formats.FORMATS` does, in letters of any case, also with
    the ending of a compression. Names that begin with a dot or an underscore are left out, and what a job makes beside
    its output.

    Args:
        reading: how all of them are read.
        tell: is called with a line on what a folder or a glob passes over.

    Raises:
        DataError: nothing there, a folder that cannot be read, or an empty name.
        ConfigError: a format that there is not.
    """
    reading = reading or Reading()
    names = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    sources = [source for name in names for source in _find(os.fspath(name), reading, tell)]
    if sum(source.is_standard_input for source in sources) > 1:
        raise ConfigError("standard input is given twice; it can be read once")
    return sources


def _find(name: str, reading: Reading, tell: Callable[[str], object]) -> list[Source]:
    if name == "-":
        if reading.format == "parquet":
            raise ConfigError("standard input cannot be Parquet; the other formats can be read from it")
        return [Source(STANDARD_INPUT, reading, is_standard_input=True, is_stream=True)]
    if not name:
        raise DataError("'' names no input; must be a file, a folder, a glob, a URI or '-'")
    name = plain_path(name)
    if is_uri(name):
        return _find_remote(name, reading, tell)
    path = Path(name)
    if os.path.isdir(path):  # Path's own raises where a folder above cannot be entered
        found = _of_folder(name, list(_files(path, reading.recursive)), reading, tell)
        return [Source.file(str(path / file), reading) for file in found]
    if not os.path.exists(path) and glob.has_magic(name):
        return [Source.file(file, reading) for file in _of_glob(name, tell)]
    return [Source.file(name, reading)]


def _of_glob(name: str, tell: Callable[[str], object]) -> list[str]:
    """Whatever is no folder, so that a link to nothing is not passed over."""
    found = sorted(glob.glob(name, recursive=True), key=lambda file: file.split("/"))
    wanted = [file for file in found if not os.path.isdir(file)]
    folders = [f"{file.rstrip('/')}/" for file in found if os.path.isdir(file)]
    if not wanted:
        raise DataError(f"{name}: no such file" + (f"; there is {_shown(folders)}" if folders else ""))
    if folders and os.path.basename(name) != "**":  # which means what is in the folders
        tell(f"{name}: passed over {_shown(folders)} (a glob names files; a folder is read where it is given itself)")
    return wanted


def _shown(files: Sequence[str]) -> str:
    return ", ".join(files[:_SHOWN]) + (f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else "")


def _files(folder: Path, recursive: bool, above: str = "") -> Iterator[str]:
    """The paths below a folder of its files and, with a slash at the end, of folders that are not entered."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror or error}") from None
    for entry in entries:
        path = f"{above}{entry.name}"
        if entry.name.startswith(_HIDDEN):
            continue
        if not os.path.isdir(entry):
            yield path
        elif recursive and not _is_of_job(f"{path}/") and not entry.is_symlink():  # which may lead in a circle
            yield from _files(entry, recursive, f"{path}/")
        else:
            yield f"{path}/"


def _of_folder(name: str, found: Sequence[str], reading: Reading, tell: Callable[[str], object]) -> list[str]:
    """The files of a corpus among those of a folder."""
    wanted = [file for file in found if _is_of_corpus(file)]
    others = [file for file in found if not _is_of_corpus(file)]
    rule = f"names ending in {READABLE} are read"
    if any(map(_is_of_job, others)):
        rule += "; of files of jobs, only their outputs"
    if not reading.recursive and any(file.endswith("/") and not _is_of_job(file) for file in others):
        rule += "; --recursive reads the folders"
    if not wanted:
        there = f"there is {_shown(others)}; " if others else ""
        raise DataError(f"{name}: no file of a corpus in this folder; {there}{rule}")
    if others:
        tell(f"{name}: passed over {_shown(others)} ({rule})")
    return wanted


def _is_of_corpus(path: str) -> bool:
    return format_of_name(path) is not None and not _is_of_job(path)


def _is_of_job(path: str) -> bool:
    return path.endswith(_OF_JOBS)


def _find_remote(uri: str, reading: Reading, tell: Callable[[str], object]) -> list[Source]:
    found = {one.path: Source(one.uri, reading, one.size, one.modified) for one in find_remote(uri, reading.recursive)}
    if list(found) == [""]:
        return list(found.values())
    paths = [path for path in found if _is_reached(path, reading.recursive)]
    return [found[path] for path in _of_folder(uri, paths, reading, tell)]


def _is_reached(path: str, recursive: bool) -> bool:
    """Whether `_files` would yield a path of a listing, which has what is in all folders where it is recursive."""
    *above, name = path.rstrip("/").split("/")
    if any(one.startswith(_HIDDEN) for one in (*above, name)) or any(_is_of_job(f"{one}/") for one in above):
        return False
    return not (recursive and path.endswith("/")) or _is_of_job(path)
