"""An output that a URI names: the job works in a local folder, and what is done there is copied to the store.

Order is what keeps a killed job whole: a part's counts are copied after its data, the manifest that lists an output
before it, and a file is removed before the manifest forgets it. A store has no locks; a job that finds another manifest
than its own stops.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mime_fast.corpora.manifest import OutputFile
from mime_fast.corpora.places import Places
from mime_fast.data.reading.remote import resolve
from mime_fast.errors import ConfigError, DataError, OutputError

_PIECE = 1 << 20
State = tuple[int, int]  # size and time of change (ns) of a local file


@dataclass
class RemoteOutput:
    """The files of one job in a local folder and in a store."""

    places: Places  # the local ones, shown as the URI
    system: Any  # pyarrow's
    root: str  # where the store has what `places.folder` has
    copied: dict[str, State] = field(default_factory=dict)  # local files that the store has, by their names in `root`
    noted: bytes | None = None  # the store's manifest as this job knows it

    @classmethod
    @contextmanager
    def opened(cls, uri: str) -> Iterator[RemoteOutput]:
        """What the store has of a job, in a folder that is gone afterwards.

        Raises:
            OutputError: the store cannot be used.
        """
        system, path = resolve(uri)
        path = path.rstrip("/")
        parent, _, name = path.rpartition("/")
        with TemporaryDirectory(prefix="mime-fast-") as folder:
            places = Places.in_store(uri, Path(folder, name))
            output = cls(places, system, path if places.is_folder else parent)
            places.folder.mkdir(exist_ok=True)
            output._fetch()
            yield output

    def copy(self) -> None:
        """Bring the store to what the local folder has.

        Raises:
            DataError: another job has written there.
            OutputError: the store cannot be written.
        """
        found = dict(self._local())
        changed = [name for name, state in found.items() if self.copied.get(name) != state]
        gone = [name for name in self.copied if name not in found]
        if not changed and not gone:
            return
        with self._naming():
            if self._manifest() != self.noted:
                raise DataError(f"{self.places.output}: another job is writing it; wait for it, or give another name")
            for name in sorted([*changed, *gone], key=lambda name: self._turn(name, name in found)):
                if name in found:
                    self._put(name)
                    self.copied[name] = found[name]
                else:
                    self._delete(name)
                    del self.copied[name]
            if gone:
                self._remove_state()
        if self.places.manifest.name not in found:
            self.noted = None

    def _fetch(self) -> None:
        with self._naming():
            infos = {info.path.removeprefix(f"{self.root}/"): info for info in self._stored()}
            self.noted = self._manifest()
            manifest = infos.get(self.places.manifest.name)
            state = f"{self.places.state.name}/"
            is_done = not any(name.startswith(state) for name in infos) and _is_finished(self.noted)
            outputs = _outputs(self.noted)
            for name, info in infos.items():
                local = self.places.folder / name
                local.parent.mkdir(parents=True, exist_ok=True)
                if name.startswith(state) or info is manifest or not (is_done or manifest is None):
                    self._get(name, local)
                else:  # its size, and whether it was changed, say enough
                    with local.open("xb") as stream:
                        stream.truncate(info.size)
                    made = outputs.get(name)
                    time = made.mtime_ns if made is not None and self._is_unchanged(info, manifest, made) else 0
                    os.utime(local, ns=(time, time))
        self.copied = dict(self._local())

    def _stored(self) -> Iterator[Any]:
        """The files of the job, and all others of a folder of parts, in the store."""
        from pyarrow import fs

        places = self.places
        if places.is_folder:
            found = self.system.get_file_info(fs.FileSelector(self.root, allow_not_found=True, recursive=True))
        else:
            names = [places.target.name, places.errors.name, places.manifest.name]
            state = fs.FileSelector(f"{self.root}/{places.state.name}", allow_not_found=True)
            found = [*self.system.get_file_info([f"{self.root}/{name}" for name in names])]
            found += self.system.get_file_info(state)
            if found[0].type == fs.FileType.Directory:
                raise OutputError(f"{places.output}: cannot be written: a folder; a folder of parts ends in /")
        return (info for info in found if info.is_file)

    def _is_unchanged(self, info: Any, manifest: Any, made: OutputFile) -> bool:
        """Whether a file in the store is as a job made it: by its time or, where that does not say so, its content."""
        if info.mtime_ns is not None and info.mtime_ns <= (manifest.mtime_ns or 0):
            return True
        if info.size != made.size:
            return False
        with self.system.open_input_stream(info.path, compression=None) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == made.sha256

    def _local(self) -> Iterator[tuple[str, State]]:
        folder = self.places.folder
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix != ".tmp":
                status = path.stat()
                yield path.relative_to(folder).as_posix(), (status.st_size, status.st_mtime_ns)

    def _turn(self, name: str, is_there: bool) -> tuple[int, str]:
        """When a file is copied, or removed: parts, their counts, outputs, what is gone, the manifest."""
        if name == self.places.manifest.name:
            return 4, name
        if not is_there:
            return 3, name
        in_state = name.startswith(f"{self.places.state.name}/")
        return (2 if not in_state else 1 if name.endswith(".counts.json") else 0), name

    def _manifest(self) -> bytes | None:
        path = f"{self.root}/{self.places.manifest.name}"
        if not self.system.get_file_info(path).is_file:
            return None
        with self.system.open_input_stream(path, compression=None) as stream:
            return bytes(stream.read())

    def _get(self, name: str, local: Path) -> None:
        path = f"{self.root}/{name}"
        with self.system.open_input_stream(path, compression=None) as source, local.open("xb") as target:
            shutil.copyfileobj(source, target, _PIECE)

    def _put(self, name: str) -> None:
        path, local = f"{self.root}/{name}", self.places.folder / name
        if self.system.type_name.startswith("py::"):  # fsspec's have folders that must be there
            self.system.create_dir(path.rpartition("/")[0], recursive=True)
        with local.open("rb") as source, self.system.open_output_stream(path, compression=None) as target:
            shutil.copyfileobj(source, target, _PIECE)
        if name == self.places.manifest.name:
            self.noted = local.read_bytes()

    def _delete(self, name: str) -> None:
        self.system.delete_file(f"{self.root}/{name}")

    def _remove_state(self) -> None:
        """Remove the folder of the state, if it is there and empty; only fsspec's stores have one."""
        from pyarrow import fs

        folder = f"{self.root}/{self.places.state.name}"
        if self.system.type_name.startswith("py::"):
            with suppress(Exception):  # of any kind; the folder does no harm
                if not self.system.get_file_info(fs.FileSelector(folder)):
                    self.system.handler.fs.rmdir(folder)

    @contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except (DataError, ConfigError):
            raise
        except Exception as error:  # a store's own errors are of any kind
            raise OutputError(f"{self.places.output}: cannot be written: {error}") from None


def _is_finished(manifest: bytes | None) -> bool:
    try:
        values = json.loads(manifest or b"{}")
        return bool(values.get("finished")) and not values.get("previous")
    except (ValueError, AttributeError):
        return False


def _outputs(manifest: bytes | None) -> dict[str, OutputFile]:
    """The outputs that a manifest lists, by name."""
    try:
        found = [OutputFile(**one) for one in json.loads(manifest or b"{}").get("outputs", [])]
        return {one.name: one for one in found if one.is_possible()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
