"""That no output of a job takes the place of an input, on this machine or in a store."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mime_fast.corpora.output_kinds import is_stream
from mime_fast.corpora.places import Places
from mime_fast.data.reading.remote import is_uri, plain_path, resolve, split_query
from mime_fast.data.reading.source import Source
from mime_fast.errors import ConfigError
from mime_fast.output_checks import check_outputs


def check_job_outputs(
    output: str | None,
    summary_file: str | None,
    inputs: Iterable[str],
    sources: Sequence[Source],
    others: Iterable[str],
    *,
    printed: bool = False,
) -> None:
    """Refuse outputs that would take an input's place or be read as one next time, or that cannot be written.

    Args:
        inputs: what the job reads, as it was given.
        sources: the files that these names lead to.
        others: further files and URIs that the job reads.
        printed: whether something else goes to standard output.

    Raises:
        ConfigError, DataError, OutputError: as `check_outputs`, `Places.of` and `resolve`.
    """
    names, others = [plain_path(name) for name in inputs], list(others)
    files = ["-" if source.is_standard_input else source.name for source in sources]
    wholes = [name for name in names if os.path.isdir(name) or name not in files]
    outputs = {"summary_file": summary_file} | ({"the report": "-"} if printed else {})
    if is_stream(output):
        outputs |= {"OUT": "-" if output is None else output}
    elif is_uri(str(output)):
        name = split_query(str(output))[0].rstrip("/").rpartition("/")[2]
        _check_stored(Places.in_store(str(output), Path(name)).all(), [*names, *others])
    else:
        outputs |= Places.of(str(output)).all()
    check_outputs(outputs, [*files, *wholes, *others], read_whole=wholes)


@dataclass(frozen=True)
class _StoredPath:
    """Where a URI leads, however it is written.

    Two hosts of one kind of store count as one, since a host has several names.
    """

    stores: frozenset[str]  # the names of that kind of store
    path: str

    @classmethod
    def of(cls, uri: str) -> _StoredPath:
        system, path = resolve(uri)
        return cls(_stores(system), posixpath.normpath(f"/{path.strip('/')}"))

    def contains(self, other: _StoredPath) -> bool:
        """Whether the other is this one or lies in it."""
        same = not self.stores.isdisjoint(other.stores)
        return same and f"{other.path}/".startswith(f"{self.path.rstrip('/')}/")


def _stores(system: Any) -> frozenset[str]:
    """The kind of a pyarrow file system, or of that within it, by all of its names."""
    inner = getattr(system, "handler", system)  # fsspec's are in a handler
    while hasattr(inner, "fs"):  # and may be in each other, as caches are
        inner = inner.fs
    names = getattr(inner, "protocol", None) or inner.type_name
    return frozenset([names] if isinstance(names, str) else names)


def _check_stored(outputs: Mapping[str, str], inputs: Iterable[str]) -> None:
    """ConfigError where one of `outputs`, URIs by what they are called, is or contains an input, or lies in one."""
    read = [(name, _StoredPath.of(name)) for name in inputs if is_uri(name)]
    if not read:
        return
    for what, uri in outputs.items():
        place = _StoredPath.of(uri)
        for name, source in read:
            would_be_read = source.contains(place)
            if place.contains(source) and (would_be_read or split_query(uri)[0].endswith("/")):
                raise ConfigError(f"{what} {uri}: is or contains the input {name}; must be another one")
            if would_be_read:
                raise ConfigError(f"{what} {uri}: would be read as a part of the input {name}; give another place")
