"""Where the files of a job are: its output, what lies beside it, and its state."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from mime_fast.corpora.writers import OutputFormat
from mime_fast.data.reading.remote import is_uri, split_query
from mime_fast.errors import ConfigError, DataError
from mime_fast.files import naming, resolved

_PARTS = 10**6  # of a folder, whose names have six digits and are read in their order


@dataclass(frozen=True)
class Places:
    """The files of an output OUT.

    Of a file: OUT, OUT.errors.jsonl, OUT.manifest.json and, until the job is done, the folder OUT.parts. Of a folder
    OUT/: part-000000.jsonl and so on, _errors.jsonl, _manifest.json and _parts; readers pass over what begins with "_".
    """

    output: str  # as given, which may be a URI
    format: OutputFormat
    target: Path  # the file, or the folder
    is_folder: bool

    @classmethod
    def of(cls, output: str) -> Places:
        """The files of an output that is no URI.

        Raises:
            ConfigError: it is empty, or its ending is not known.
            DataError: it is a folder without "/", or a file with it.
            OutputError: it is a link to itself, or its name, or that of a file beside it, is too long.
        """
        if not output:
            raise ConfigError("OUT '': must be the name of a file, or of a folder, which ends in /")
        written = OutputFormat.of(output)
        target = resolved(output.rstrip("/") or "/")
        if output.endswith("/"):
            if target.exists() and not target.is_dir():
                raise DataError(f"{output}: cannot be written: a file; a folder of parts ends in /")
            return cls(output, written, target, True)
        if target.is_dir():
            raise DataError(f"{output}: cannot be written: a folder; a folder of parts ends in /")
        places = cls(output, written, target, False)
        with naming(output):
            for path in (places.errors, places.manifest, places.state):
                with suppress(FileNotFoundError):
                    path.stat()
        return places

    @classmethod
    def in_store(cls, uri: str, copy: Path) -> Places:
        """Of a URI, whose file or folder has a local copy. Raises ConfigError: its ending is not known."""
        path = split_query(uri)[0]
        return cls(uri, OutputFormat.of(path), copy, path.endswith("/"))

    @property
    def folder(self) -> Path:
        """Where the output's files are, the manifest among them."""
        return self.target if self.is_folder else self.target.parent

    @property
    def manifest(self) -> Path:
        return self._beside("manifest.json")

    @property
    def errors(self) -> Path:
        return self._beside("errors.jsonl")

    @property
    def state(self) -> Path:
        return self._beside("parts")

    def shown(self, path: Path, end: str = "") -> str:
        """A file beside or in the output, or a folder where `end` is "/", by the name that people know."""
        if not is_uri(self.output):
            return f"{path}{end}"
        output, query = split_query(self.output)
        return f"{output.rpartition('/')[0]}/{path.name}{end}{query}"

    def all(self) -> dict[str, str]:
        """Every path that the job may write, by what it is called; a folder ends in "/"."""
        if self.is_folder:
            return {"OUT": self.output}
        beside = {"the bad rows": self.shown(self.errors), "the manifest": self.shown(self.manifest)}
        return {"OUT": self.output} | beside | {"the state": self.shown(self.state, "/")}

    def part(self, number: int) -> Path:
        """A part of a folder."""
        return self.target / f"part-{number:06}{self.format.ending}"

    def check_part(self, number: int) -> None:
        """DataError where a folder has no name left for a part."""
        if self.is_folder and number >= _PARTS:
            raise DataError(
                f"{self.output}: a folder has at most {_PARTS:,} parts; give a larger part_rows, or a file as OUT"
            )

    def parts(self) -> Iterator[Path]:
        """What lies where parts of a folder would."""
        return self.target.glob(self._parts) if self.is_folder else iter(())

    def may_make(self, name: str) -> bool:
        """Whether a job with this output may make a file of that name: records, or bad rows."""
        if name == self.errors.name:
            return True
        return fnmatchcase(name, self._parts) if self.is_folder else name == self.target.name

    @property
    def _parts(self) -> str:
        """The pattern of the parts' names."""
        return f"part-[0-9][0-9][0-9][0-9][0-9][0-9]{self.format.ending}"

    def _beside(self, name: str) -> Path:
        return self.target / f"_{name}" if self.is_folder else self.target.with_name(f"{self.target.name}.{name}")


@dataclass(frozen=True)
class StateFiles:
    """The files of one job in the folder of its state; all of their names contain its token."""

    places: Places
    token: str

    def data(self, number: int) -> Path:
        return self._file(f"part-{number:06}", self.places.format.ending)

    def errors(self, number: int) -> Path:
        return self._file(f"part-{number:06}", ".errors.jsonl")

    def counts(self, number: int) -> Path:
        return self._file(f"part-{number:06}", ".counts.json")

    def scratch(self, name: str) -> Path:
        """A new file that is not done."""
        return self._file(f"{name}-{secrets.token_hex(4)}", ".tmp")

    def done(self) -> Iterator[tuple[int, Path]]:
        """Number and counts of every part that is done."""
        for path in self.places.state.glob(f"part-*-{self.token}.counts.json"):
            yield int(path.name.split("-")[1]), path

    @staticmethod
    def unborn(name: str) -> bool:
        """Whether a file is the manifest of a job that was killed before it had one."""
        return re.fullmatch(r"manifest-[0-9a-f]{8}-[0-9a-f]{8}\.tmp", name) is not None

    def remove(self) -> None:
        """Remove them all."""
        for path in self.places.state.glob(f"*-{self.token}.*"):
            path.unlink()

    def _file(self, name: str, ending: str) -> Path:
        return self.places.state / f"{name}-{self.token}{ending}"
