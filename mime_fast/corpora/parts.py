"""The parts of a job on the disk: what is done stays done, whenever the job is killed.

Beside OUT is the folder OUT.parts with a manifest and, for every finished part, its data, its errors and, written last,
its counts. The lock is the system's, on the folder itself, so that a killed job leaves none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mime_fast.corpora.summary import Tally
from mime_fast.corpora.tasks import Task
from mime_fast.corpora.writers import OutputFormat, join_bytes
from mime_fast.errors import BackendError, DataError
from mime_fast.files import sync_folder, whole_file, write_json

SCRATCH = ".tmp"  # ending of a file that is not done
_SHOWN = 5  # differences named in one message


@dataclass(frozen=True)
class PartFiles:
    """Where the parts of an output are."""

    output: str  # as given; a folder of parts if it ends in "/"
    folder: Path
    own: str  # what our files' names begin with; readers of a folder of parts pass over "_"
    format: OutputFormat

    @classmethod
    def of(cls, output: str) -> PartFiles:
        """Raises DataError: the output is a folder without "/". ConfigError: an ending that is not known."""
        written = OutputFormat.of(output)
        if output.endswith("/"):
            return cls(output, Path(os.path.realpath(output)), "_", written)
        target = Path(os.path.realpath(output))
        if target.is_dir():
            raise DataError(f"{output}: cannot be written: a folder; a folder of parts ends in /")
        return cls(output, target.with_name(target.name + ".parts"), "", written)

    @property
    def target(self) -> Path | None:
        """The joined file, None for a folder of parts."""
        return None if self.own else self.folder.with_name(self.folder.name.removesuffix(".parts"))

    @property
    def manifest(self) -> Path:
        return self.folder / f"{self.own}manifest.json"

    @property
    def errors(self) -> Path:
        target = self.target
        return self.folder / "_errors.jsonl" if target is None else target.with_name(target.name + ".errors.jsonl")

    def data(self, number: int) -> Path:
        return self.folder / f"part-{number:06}{self.format.ending}"

    def part_errors(self, number: int) -> Path:
        return self.folder / f"{self.own}part-{number:06}.errors.jsonl"

    def counts(self, number: int) -> Path:
        return self.folder / f"{self.own}part-{number:06}.json"


@dataclass(frozen=True)
class PartResult:
    """What is known of a part that is done."""

    tally: Tally
    digest: str  # of its rows, where nothing else tells a changed input
    provenance: dict[str, Any]  # what decides the last digits of its figures


@dataclass
class Parts:
    """The finished parts of one job, and its manifest."""

    files: PartFiles
    fingerprint: dict[str, Any]
    done: dict[int, PartResult] = field(default_factory=dict)
    finished: dict[str, Any] | None = None  # summary, digests, rows, provenance of a job that is complete

    @classmethod
    @contextmanager
    def opened(cls, files: PartFiles, fingerprint: dict[str, Any], *, restart: bool) -> Iterator[Parts]:
        """The parts, locked. A folder without a finished part is gone again if the block fails.

        Raises:
            DataError: another job writes there, the folder is another job's, or it cannot be written.
        """
        try:
            files.folder.mkdir(exist_ok=True)
            handle = _lock(files)
        except OSError as error:
            raise DataError(f"{files.output}: cannot be written: {error.strerror or error}") from None
        parts = cls(files, fingerprint)
        try:
            parts._load(restart)
        except BaseException:
            os.close(handle)
            raise
        try:
            yield parts
        except BaseException:
            if parts.finished is None and not any(files.folder.glob(f"{files.own}part-*[0-9].json")):
                parts._clear()
                with suppress(OSError):
                    files.folder.rmdir()
            raise
        finally:
            os.close(handle)

    @property
    def provenance(self) -> dict[str, Any] | None:
        """What made the parts that are done; None where none is."""
        return next((made.provenance for made in self.done.values()), None)

    def tally(self) -> Tally:
        """Of all parts that are done."""
        return Tally.total(self.done[number].tally for number in sorted(self.done))

    def join(self, task: Task, summary: dict[str, Any]) -> None:
        """Make the output of the parts, then remove what is needed no more; may be killed and called again."""
        files, numbers = self.files, sorted(self.done)
        errors = [files.part_errors(number) for number in numbers]
        if any(self.done[number].tally.errors for number in numbers):
            with whole_file(files.errors, files.folder / f"errors{SCRATCH}") as stream:
                join_bytes((path for path in errors if path.exists()), stream)
        else:
            files.errors.unlink(missing_ok=True)
        if files.target is not None:
            with whole_file(files.target, files.folder / f"joined{SCRATCH}") as stream:
                files.format.join([files.data(number) for number in numbers], stream, task.kind)
        self.finished = {
            "summary": summary,
            "rows": [self.done[number].tally.rows for number in numbers],
            "digests": [self.done[number].digest for number in numbers],
            "provenance": self.provenance,
            "size": self._size(len(numbers)),
        }
        self._write_manifest()
        self._remove_parts()

    def _load(self, restart: bool) -> None:
        files = self.files
        for scratch in files.folder.glob(f"*{SCRATCH}"):
            scratch.unlink()
        manifest = _read(files.manifest) if files.manifest.exists() else None
        if manifest is None:
            others = sorted(path.name for path in files.folder.iterdir())
            if others and not restart:
                raise DataError(f"{files.folder}: holds {others[0]!r} and no manifest of a job; --restart begins anew")
        elif not restart:
            changes = _changes(manifest.get("fingerprint"), self.fingerprint)
            if changes:
                more = f"; and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
                raise DataError(
                    f"{files.output}: is another job's: {'; '.join(changes[:_SHOWN])}{more}; --restart begins anew"
                )
            finished = manifest.get("finished")
            if finished and self._size(len(finished["rows"])) == finished["size"]:
                self.finished = finished
                self._remove_parts()
                return
        if restart or manifest is None or manifest.get("finished"):
            self._clear()
            self._write_manifest()
        for path in files.folder.glob(f"{files.own}part-*[0-9].json"):
            counts = _read(path)
            number = int(path.stem.rpartition("-")[2])
            self.done[number] = PartResult(Tally(**counts["tally"]), counts["digest"], counts["provenance"])

    def _size(self, count: int) -> int | None:
        """Bytes of the output; None where some of it is missing."""
        target = self.files.target
        paths = [self.files.data(number) for number in range(count)] if target is None else [target]
        return sum(path.stat().st_size for path in paths) if all(path.exists() for path in paths) else None

    def _write_manifest(self) -> None:
        write_json(self.files.manifest, {"fingerprint": self.fingerprint, "finished": self.finished})

    def _remove_parts(self) -> None:
        files = self.files
        for path in files.folder.glob("*part-*"):
            if not (files.target is None and path.name.startswith("part-")):
                path.unlink()

    def _clear(self) -> None:
        files = self.files
        own = (files.manifest, *files.folder.glob("part-*"), *files.folder.glob(f"{files.own}part-*"))
        for path in (*own, *files.folder.glob(f"*{SCRATCH}")):
            path.unlink(missing_ok=True)
        if files.target is None:
            files.errors.unlink(missing_ok=True)


def write_part(files: PartFiles, number: int, made: PartResult, data_scratch: Path, errors_scratch: Path) -> None:
    """Make a part final, whose data and errors are on the disk under scratch names; the counts come last."""
    data_scratch.replace(files.data(number))
    if made.tally.errors:
        errors_scratch.replace(files.part_errors(number))
    else:
        errors_scratch.unlink()
    sync_folder(files.folder)
    write_json(
        files.counts(number), {"tally": made.tally.to_dict(), "digest": made.digest, "provenance": made.provenance}
    )


def _lock(files: PartFiles) -> int:
    try:
        import fcntl
    except ImportError:
        raise BackendError("jobs lock their files by fcntl, which this system lacks: use Linux, macOS or WSL") from None
    handle = os.open(files.folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not files.folder.exists() or os.fstat(handle).st_ino != files.folder.stat().st_ino:
            raise BlockingIOError
    except BlockingIOError:
        os.close(handle)
        raise DataError(f"{files.output}: another job is writing it; wait for it, or give another name") from None
    except OSError:
        os.close(handle)
        raise
    return handle


def _read(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_bytes())
        return value
    except ValueError as error:
        raise DataError(f"{path}: not a job's file ({error}); --restart begins anew") from None


def _changes(before: object, now: object, name: str = "") -> list[str]:
    """What differs between two fingerprints, by name."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*before, *now])
        return [
            text
            for key in keys
            for text in _changes(before.get(key), now.get(key), f"{name}.{key}" if name else str(key))
        ]
    return [] if before == now else [f"{name} was {_short(before)}, now {_short(now)}"]


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else text[:100] + "..."
