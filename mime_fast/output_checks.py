"""What is known of outputs before the work begins: that they can be written, and that no input is lost to them."""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from itertools import permutations
from pathlib import Path
from typing import Any

from mime_fast.errors import ConfigError, OutputError
from mime_fast.files import Path_, is_special, naming, resolved, scratch_beside


def check_outputs(
    outputs: Mapping[str, Path_ | None], inputs: Iterable[Path_], *, read_whole: Iterable[Path_] = ()
) -> None:
    """Refuse outputs that would take an input's place, or each other's, or that cannot be written.

    Args:
        outputs: files to write, and folders, whose names end in "/", by what they are called (flags, say); "-" is
            standard output, and None is passed over.
        inputs: files and folders that are read; "-" is standard input. URIs are passed over.
        read_whole: folders whose every file is read, and globs: an output in them would be read next time.

    Raises:
        ConfigError: an output has no name, is an input, lies in one of `read_whole` or in another output, contains an
            input, is given twice, or is a URI.
        OutputError: an output's folder is not there or cannot be written to, or the output is a folder.
    """
    named = {name: os.fspath(path) for name, path in outputs.items() if path is not None}
    given = {name: path for name, path in named.items() if path != "-"}
    read = [os.fspath(path) for path in inputs if "://" not in os.fspath(path)]
    wholes = [os.fspath(path) for path in read_whole if "://" not in os.fspath(path) and os.fspath(path) != "-"]
    seen: dict[str, str] = {}
    for name, path in given.items():
        if not path:
            raise ConfigError(f"{name} '': must be the name of a file, or of a folder, which ends in /")
        if "://" in path:
            raise ConfigError(f"{name} {path}: must be a path on this machine, not a URI")
        for other, other_path in seen.items():
            if is_same(path, other_path):
                raise ConfigError(f"{name} {path}: is {other} {other_path}, too; must be another file")
            for (inner, file), (outer, folder) in permutations(((name, path), (other, other_path))):
                if folder.endswith("/") and Path(os.path.realpath(folder)) in _parents(file):
                    raise ConfigError(f"{inner} {file}: lies in {outer} {folder}; must be in another place")
        seen[name] = path
        for source in read:
            if is_same(path, source):
                raise ConfigError(f"{name} {path}: is the input {source}; must be another file")
            if path.endswith("/") and source != "-" and Path(os.path.realpath(path)) in _parents(source):
                raise ConfigError(f"{name} {path}: contains the input {source}; must be another folder")
        for whole in wholes:
            if _is_in(path, whole):
                raise ConfigError(f"{name} {path}: would be read as a part of the input {whole}; give another place")
    if len(given) < len(named):
        _check_standard_output(read, given)
    for path in given.values():
        check_writable(path)


def check_writable(path: Path_) -> None:
    """OutputError where a file, or a folder that ends in "/", cannot be made or replaced at `path`."""
    text = os.fspath(path)
    if is_special(text):
        return
    target = resolved(text)
    if target.is_dir() and not text.endswith("/"):
        raise OutputError(f"{text}: cannot be written: Is a directory")
    if target.exists() and not os.access(target, os.W_OK):  # its folder would let another file take its place
        raise OutputError(f"{text}: cannot be written: Permission denied")
    scratch = scratch_beside(target / "x" if target.is_dir() else target)
    with naming(text):
        scratch.open("xb").close()
        scratch.unlink()


def is_same(one: str, other: str) -> bool:
    """Whether two names are of one file, by links or otherwise; "-" is what standard input is."""
    if "-" not in (one, other) and os.path.realpath(one) == os.path.realpath(other):
        return True
    first, second = _status(one), _status(other)
    return first is not None and second is not None and os.path.samestat(first, second) and not _is_device(first)


def _check_standard_output(inputs: Iterable[str], outputs: Mapping[str, str]) -> None:
    """ConfigError where the shell has put standard output into a file that is read, or written, too."""
    status = _status_of(sys.stdout)
    if status is None or not stat.S_ISREG(status.st_mode):
        return
    for source in inputs:
        if (other := _status(source)) is not None and os.path.samestat(status, other):
            raise ConfigError(f"standard output: is the input {source}; must be another file")
    for name, path in outputs.items():
        other = None if is_special(path) else _status(path)
        if other is not None and os.path.samestat(status, other):
            raise ConfigError(f"{name} {path}: is standard output, too; must be another file")


def _status(path: str) -> os.stat_result | None:
    try:
        return _status_of(sys.stdin) if path == "-" else os.stat(path)
    except (OSError, ValueError):
        return None


def _status_of(stream: Any) -> os.stat_result | None:
    try:
        return os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return None


def _is_device(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode)


def _is_in(path: str, whole: str) -> bool:
    """Whether a path lies in a folder, or is what a glob stands for."""
    if os.path.isdir(whole) or not glob.has_magic(whole):
        return Path(os.path.realpath(whole)) in _parents(path)
    names, patterns = Path(os.path.abspath(path)).parts, Path(os.path.abspath(whole)).parts
    if "**" in patterns:
        return fnmatch(os.path.abspath(path), os.path.abspath(whole).replace("**/", "*"))
    return len(names) == len(patterns) and all(map(fnmatch, names, patterns))


def _parents(path: str) -> tuple[Path, ...]:
    return tuple(Path(os.path.realpath(path)).parents)
