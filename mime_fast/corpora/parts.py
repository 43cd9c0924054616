"""The parts of a job on the disk: what is done stays done, whenever the job is killed.

The folder of the state has, for every part that is done, its data, its errors and, written last, its counts. No file is
removed or replaced that the manifest does not account for. The lock is the system's, on the folder itself, so that a
killed job leaves none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mime_fast.corpora.chunks import CHUNK
from mime_fast.corpora.existing import check_unaccounted, job_there, unborn, with_size
from mime_fast.corpora.manifest import Manifest, OutputFile, changes
from mime_fast.corpora.places import Places, StateFiles
from mime_fast.corpora.state_lock import locked
from mime_fast.corpora.summary import Tally
from mime_fast.corpora.tasks import Task
from mime_fast.corpora.writers import join_bytes
from mime_fast.errors import DataError
from mime_fast.files import named_writer, naming, sync_folder, write_json

PART_ROWS = 5 * CHUNK


@dataclass(frozen=True)
class PartResult:
    """What is known of a part that is done."""

    tally: Tally
    digest: str  # of its rows
    provenance: dict[str, Any]  # what decides the last digits of its figures


@dataclass
class Parts:
    """The finished parts of one job, and its manifest."""

    places: Places
    manifest: Manifest
    done: dict[int, PartResult] = field(default_factory=dict)
    noted: Callable[[], None] = lambda: None  # is called when the files on the disk are worth a copy
    _no_older: bool = False  # whether the files of older jobs' states are removed

    @classmethod
    @contextmanager
    def opened(
        cls,
        places: Places,
        job: dict[str, Any],
        sources: list[dict[str, Any]],
        *,
        restart: bool = False,
        force: bool = False,
        noted: Callable[[], None] = lambda: None,
    ) -> Iterator[Parts]:
        """The parts of this job, locked. Without a part that is done, all is as it was if the block fails.

        Args:
            job: what the output depends on, and `part_rows`, None for those of the job that is there; sources: the
                inputs as they are.
            restart: begin anew, though there are parts or an output of a job.
            force: replace an output that no manifest accounts for.
            noted: is called when the files on the disk are worth a copy.

        Raises:
            DataError: another job writes there, the output is another job's or nobody's, or it cannot be written.
        """
        with locked(places):
            before = Manifest.read(places.manifest)
            for path in unborn(places):
                path.unlink()
            there = cls.there(places, job, restart=restart, force=force)
            asked = _again(before, job) if before and not restart else job
            parts = there or _new(places, before, asked, sources)
            parts.noted = noted
            try:
                if there is None:
                    parts._write(parts.manifest)
                elif there.finished is not None:
                    there._tidy()
                noted()
                yield parts
            except BaseException:
                parts._give_up(before)
                raise

    @classmethod
    def there(cls, places: Places, job: dict[str, Any], *, restart: bool = False, force: bool = False) -> Parts | None:
        """This job's parts that are there already; None where it would begin. Args and errors as `opened`; no locks."""
        manifest = job_there(places, job, restart=restart, force=force)
        if manifest is None:
            return None
        parts = cls(places, manifest)
        if parts.finished is None:
            found = ((number, *_read_counts(path)) for number, path in parts.files.done())
            parts.done = {number: result for number, result, sizes in found if parts._is_whole(number, result, sizes)}
        return parts

    @property
    def files(self) -> StateFiles:
        return StateFiles(self.places, self.manifest.token)

    @property
    def finished(self) -> dict[str, Any] | None:
        """Summary, rows, digests and provenance of a job that is done."""
        return self.manifest.finished

    @property
    def part_rows(self) -> int:
        """Rows of a part of this job."""
        return int(self.manifest.job["part_rows"])

    @property
    def provenance(self) -> dict[str, Any] | None:
        """What made the rows that are done; None where none is."""
        if self.finished is not None:
            found: dict[str, Any] | None = self.finished["provenance"]
            return found
        return next((part.provenance for part in self.done.values()), None)

    def tally(self) -> Tally:
        """Of all parts that are done."""
        return Tally.total(self.done[number].tally for number in sorted(self.done))

    def add(self, number: int, result: PartResult) -> None:
        """Count a part that is final; the first one takes the place of the parts of the job before this one."""
        self.done[number] = result
        self._remove_older()
        self.noted()

    def join(self, task: Task, summary: dict[str, Any], *, force: bool = False) -> None:
        """Make the output of the parts, then remove what is needed no more; may be killed and called again."""
        made = self._joined(task)
        numbers = sorted(self.done)
        finished = {
            "summary": summary,
            "rows": [self.done[number].tally.rows for number in numbers],
            "digests": [self.done[number].digest for number in numbers],
            "provenance": self.provenance,
        }
        check_unaccounted(self.places, self.manifest, force=force)
        if force and not self.places.is_folder and self.places.errors not in made:
            with naming(self.places.shown(self.places.errors)):
                self.places.errors.unlink(missing_ok=True)  # another's, it would be read as this job's
        outputs = [OutputFile.of(path.name, source) for path, source in made.items()]
        self._note(self.manifest.finish(finished, outputs))
        with naming(self.places.output):
            for path, source in made.items():
                if source != path:
                    source.replace(path)
        self._tidy()

    def _tidy(self) -> None:
        """Remove the output before a finished job's, and all states; may be killed and called again."""
        kept = {one.name for one in self.manifest.outputs}
        with naming(self.places.output):
            for old in self.manifest.previous:
                if old.name not in kept and old.is_unchanged(self.places.folder):
                    (self.places.folder / old.name).unlink()
            sync_folder(self.places.folder)
        self._remove_older()
        if self.manifest.previous or self.manifest.older:
            self._note(replace(self.manifest, previous=[], older=[]))
        self.files.remove()

    def _is_whole(self, number: int, result: PartResult, sizes: Mapping[str, int]) -> bool:
        """Whether a part's files are as they were made; its data may be a part of the folder already."""
        moved, data = self.places.part(number), self.files.data(number)
        if self.places.is_folder and not data.exists():
            is_data = any(one.name == moved.name and one.is_unchanged(moved.parent) for one in self.manifest.outputs)
        else:
            is_data = _has_size(data, sizes.get("data"))
        return is_data and (not result.tally.errors or _has_size(self.files.errors(number), sizes.get("errors")))

    def _joined(self, task: Task) -> dict[Path, Path]:
        """The output's files, with the finished files that they will be made of by renaming."""
        places, files, numbers = self.places, self.files, sorted(self.done)
        if places.is_folder:
            moved = {number: not files.data(number).exists() for number in numbers}  # by a run that was killed
            made = {places.part(n): places.part(n) if moved[n] else files.data(n) for n in numbers}
        else:
            joined = files.scratch("joined")
            made = {places.target: joined}
            with _fresh(joined, places.output) as stream:
                places.format.join([files.data(number) for number in numbers], stream, task.kind)
            if places.target.exists():
                os.chmod(joined, places.target.stat().st_mode & 0o7777)
        if any(self.done[number].tally.errors for number in numbers):
            made[places.errors] = joined = files.scratch("errors")
            with _fresh(joined, str(places.errors)) as stream:
                join_bytes((files.errors(number) for number in numbers if self.done[number].tally.errors), stream)
        return made

    def _give_up(self, before: Manifest | None) -> None:
        """Where no part is done: remove what this run has made, and put back what was there."""
        if self.finished is not None or any(self.files.done()):
            return
        with suppress(OSError):
            self.files.remove()
            if before is not None and (before.finished or before.previous or _has_parts(self.places, before)):
                self._write(before)
            else:
                self._remove_older()
                self.places.manifest.unlink(missing_ok=True)

    def _remove_older(self) -> None:
        for token in () if self._no_older else self.manifest.older:
            StateFiles(self.places, token).remove()
        self._no_older = True

    def _write(self, manifest: Manifest) -> None:
        manifest.write(self.places.manifest, self.files.scratch("manifest"))

    def _note(self, manifest: Manifest) -> None:
        self._write(manifest)
        self.manifest = manifest
        self.noted()


def write_part(files: StateFiles, number: int, result: PartResult, data: Path, errors: Path) -> None:
    """Make a part final, whose data and errors are on the disk under scratch names; the counts come last."""
    sizes = {"data": data.stat().st_size, "errors": errors.stat().st_size}
    with naming(files.places.output):
        data.replace(files.data(number))
        if result.tally.errors:
            errors.replace(files.errors(number))
        sync_folder(files.places.state)
    counts = {
        "tally": result.tally.to_dict(),
        "digest": result.digest,
        "provenance": result.provenance,
        "sizes": sizes,
    }
    write_json(files.counts(number), counts, files.scratch("counts"))


def _again(before: Manifest, job: dict[str, Any]) -> dict[str, Any]:
    """A job whose output is lost, with its parts as they were; another one as it is."""
    same = with_size(job, before)
    return job if changes(before.job, same) else same


def _new(places: Places, before: Manifest | None, job: dict[str, Any], sources: list[dict[str, Any]]) -> Parts:
    """A job that begins, in place of the one before it; nothing of it is on the disk."""
    job = job | {"part_rows": job.get("part_rows") or PART_ROWS}
    if before is None:
        return Parts(places, Manifest.new(job, sources))
    return Parts(places, Manifest.new(job, sources, before.ours(places.folder), before.tokens))


def _has_parts(places: Places, before: Manifest) -> bool:
    """Whether the job, or one that it was to take the place of, has a part that is done."""
    return any(True for token in before.tokens for _ in StateFiles(places, token).done())


@contextmanager
def _fresh(path: Path, name: str) -> Iterator[Any]:
    """A stream to a new file, which an error removes."""
    try:
        with named_writer(path, name) as stream:
            yield stream
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _read_counts(path: Path) -> tuple[PartResult, dict[str, int]]:
    """What is known of a part, and the sizes of its files, which older counts lack."""
    try:
        values = json.loads(path.read_bytes())
        result = PartResult(Tally(**values["tally"]), values["digest"], values["provenance"])
        return result, dict(values.get("sizes", {}))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: cannot be used ({error}); restart=True begins anew") from None


def _has_size(path: Path, size: int | None) -> bool:
    """Whether a file is there, and has the size that is known."""
    return path.is_file() and size in (None, path.stat().st_size)
