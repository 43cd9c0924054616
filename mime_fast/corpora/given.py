"""What a job is given, checked and made plain: paths, options and numbers of any kind."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from numbers import Real
from typing import Any

from mime_fast.data.reading.remote import plain_path
from mime_fast.errors import ConfigError


def path_of(name: str, given: object) -> str | None:
    """A path or a URI; None where none is given. ConfigError: something else."""
    if given is None:
        return None
    if not isinstance(given, str | os.PathLike) or not isinstance(path := os.fspath(given), str):
        raise ConfigError(f"{name}={given!r}: must be a path or a URI")
    return plain_path(path)


def paths_of(name: str, given: object) -> tuple[str, ...]:
    """One path, or several, as they are given. ConfigError: none, or something else."""
    several = [given] if isinstance(given, str | bytes | os.PathLike) else given
    paths = tuple(several) if isinstance(several, Iterable) else ()
    if not paths or not all(isinstance(one, str | os.PathLike) and isinstance(os.fspath(one), str) for one in paths):
        raise ConfigError(f"{name}={given!r}: must be a path, or a list of one or more")
    return tuple(os.fspath(one) for one in paths)


def share_of(name: str, given: object) -> float:
    """ConfigError: no number from 0 to 1."""
    if not isinstance(given, Real) or isinstance(given, bool) or not 0 <= float(given) <= 1:
        raise ConfigError(f"{name}={given!r}: must be a share from 0 to 1")
    return float(given)


def check_instance(name: str, given: object, kind: type, what: str) -> None:
    if not isinstance(given, kind):
        raise ConfigError(f"{name}={given!r}: must be {what}")


def check_load_options(given: Mapping[str, Any]) -> None:
    """ConfigError: one is no option of `mime_fast.load`."""
    check_instance("load_options", given, Mapping, "a dict of options of mime_fast.load")
    if not given:
        return
    from mime_fast.backends.select import Wanted

    known = [field.name for field in fields(Wanted)]
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"load_options: {name!r} ({value!r}) is none; there are {', '.join(known)}")
