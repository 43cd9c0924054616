"""A job's manifest: what the job is, which files it made, and which of them are still as it made them."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mime_fast.corpora.summary import Summary
from mime_fast.errors import DataError
from mime_fast.files import hash_of, write_json

FORMAT = "mime_fast job 2"


@dataclass(frozen=True)
class OutputFile:
    """A file that a job made, in the manifest's folder."""

    name: str
    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, name: str, path: Path) -> OutputFile:
        """What `path`, which is or becomes the file `name`, contains."""
        status = path.stat()
        return cls(name, status.st_size, status.st_mtime_ns, hash_of(path))

    def is_possible(self) -> bool:
        """Whether the values may be those of a file."""
        return (
            isinstance(self.name, str)
            and Path(self.name).name == self.name
            and isinstance(self.size, int)
            and isinstance(self.mtime_ns, int)
            and isinstance(self.sha256, str)
        )

    def is_unchanged(self, folder: Path) -> bool:
        """Whether the file is there as the job made it."""
        path = folder / self.name
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        return path.stat().st_mtime_ns == self.mtime_ns or hash_of(path) == self.sha256


@dataclass(frozen=True)
class Manifest:
    """What is known of a job.

    `token` is in the names of all files of its state, so that no other file is taken for one of them. `job` is what
    the output depends on; `sources` are the inputs as they were, to see quickly that they still are.
    """

    token: str
    job: dict[str, Any]
    sources: list[dict[str, Any]]
    finished: dict[str, Any] | None = None  # summary, rows, digests and provenance
    outputs: list[OutputFile] = field(default_factory=list)  # made, or just about to be
    previous: list[OutputFile] = field(default_factory=list)  # of the job before this one, until they are replaced
    older: list[str] = field(default_factory=list)  # tokens of jobs before this one, whose state may be there

    @classmethod
    def new(
        cls,
        job: dict[str, Any],
        sources: list[dict[str, Any]],
        previous: Iterable[OutputFile] = (),
        older: Iterable[str] = (),
    ) -> Manifest:
        return cls(secrets.token_hex(4), job, sources, previous=list(previous), older=list(older))

    @classmethod
    def read(cls, path: Path) -> Manifest | None:
        """None where there is none. DataError: the file is not a manifest."""
        try:
            values = json.loads(path.read_bytes())
            if values.pop("format") != FORMAT:
                raise ValueError("of another version")
            for name in ("outputs", "previous"):
                values[name] = [OutputFile(**one) for one in values[name]]
            manifest = cls(**values)
            manifest._check()
            return manifest
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DataError(
                f"{path}: not the manifest of a job of this version ({error}); it is left as it is: give another OUT"
            ) from None

    def _check(self) -> None:
        """ValueError, TypeError or KeyError: a value is not one that a job writes."""
        is_ours = (
            isinstance(self.older, list)
            and all(re.fullmatch(r"[0-9a-f]{8}", token) for token in self.tokens)
            and isinstance(self.job, dict)
            and isinstance(self.job["part_rows"], int)
            and isinstance(self.sources, list)
            and all(one.is_possible() for one in (*self.outputs, *self.previous))
        )
        if not is_ours:
            raise ValueError("values that no job writes")
        if self.finished is not None:
            str(Summary(**self.finished["summary"]))
            sum(self.finished["rows"]), list(self.finished["digests"]), dict(self.finished["provenance"] or {})

    @property
    def tokens(self) -> list[str]:
        """Its own, and those of the jobs before it, whose state may still be there."""
        return [self.token, *self.older]

    def write(self, path: Path, scratch: Path) -> None:
        write_json(path, {"format": FORMAT, **asdict(self)}, scratch)

    def ours(self, folder: Path) -> list[OutputFile]:
        """The files that are there as a job made them."""
        return [one for one in (*self.outputs, *self.previous) if one.is_unchanged(folder)]

    def is_complete(self, folder: Path) -> bool:
        """Whether the job is finished and its files are all there as it made them."""
        return self.finished is not None and all(one.is_unchanged(folder) for one in self.outputs)

    def finish(self, finished: dict[str, Any], outputs: list[OutputFile]) -> Manifest:
        return replace(self, finished=finished, outputs=outputs)


def changes(before: object, now: object, name: str = "") -> list[str]:
    """What differs between two descriptions of a job, by name."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*before, *now])
        return [
            text
            for key in keys
            for text in changes(before.get(key), now.get(key), f"{name}.{key}" if name else str(key))
        ]
    return [] if before == now else [f"{name} was {_short(before)}, now {_short(now)}"]


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else text[:100] + "..."
