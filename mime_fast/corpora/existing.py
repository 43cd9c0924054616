"""What is there already where a job would write: this job, another one, or files that no job made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mime_fast.corpora.manifest import Manifest, changes
from mime_fast.corpora.output_kinds import is_stream
from mime_fast.corpora.places import Places, StateFiles
from mime_fast.data.reading.remote import is_uri
from mime_fast.errors import DataError
from mime_fast.streams import tell

_SHOWN = 5  # differences named in one message


def job_there(places: Places, job: dict[str, Any], *, restart: bool, force: bool) -> Manifest | None:
    """The manifest of this job, which is done or goes on; None where it would begin. Writes no file.

    Where it would begin because a part of its output is lost, a warning says so.

    Args:
        job: what the output depends on, and `part_rows`, None for those of the job that is there.
        restart: begin anew, though there are parts or an output of a job.
        force: replace an output that no manifest accounts for.

    Raises:
        DataError: the output is another job's or nobody's.
    """
    before = Manifest.read(places.manifest)
    if before is None:
        _check_state(places)
    else:
        _check_names(places, before)
    check_unaccounted(places, before, force=force)
    if before is None or restart:
        return None
    is_lost = before.finished is not None and not before.is_complete(places.folder)
    if is_lost and not any(StateFiles(places, before.token).done()):
        _tell_lost(places, before)
        return None
    _check_same(places, before, job)
    return replace(before, finished=None) if is_lost else before


def is_finished(output: str | None) -> bool:
    """Whether a job that is done is there whole at OUT, which is no URI. DataError: its manifest cannot be read."""
    if output is None or is_stream(output) or is_uri(output):
        return False
    places = Places.of(output)
    manifest = Manifest.read(places.manifest)
    return manifest is not None and manifest.is_complete(places.folder)


def with_size(job: dict[str, Any], before: Manifest) -> dict[str, Any]:
    """The job, with the parts' size of the one before it where none is asked for."""
    return job | {"part_rows": job.get("part_rows") or before.job.get("part_rows")}


def unborn(places: Places) -> Iterator[Path]:
    """Manifests of jobs that were killed before they had one, in the folder of the state."""
    return (path for path in _state(places) if StateFiles.unborn(path.name))


def check_unaccounted(places: Places, manifest: Manifest | None, *, force: bool) -> None:
    """DataError where the job would replace a file that is not empty and no job made, or that was changed since."""
    ours = {one.name for one in manifest.ours(places.folder)} if manifest else set()
    if places.is_folder:
        if manifest is None:
            there = places.target.iterdir() if places.target.exists() else ()
            others = sorted(path.name for path in there if path != places.state)
        else:
            wanted = [*places.parts(), *([places.errors] if places.errors.exists() else [])]
            others = sorted(path.name for path in wanted if path.name not in ours)
        if others:
            raise DataError(
                f"{places.output}: contains {others[0]!r}, which no job made as it is; give a new or an empty folder"
            )
        return
    for path in (places.target, places.errors):
        if path.exists() and path.stat().st_size and path.name not in ours and not force:
            told = places.output if path == places.target else places.shown(path)
            why = "was changed after a job made it" if _was_made(manifest, path) else "exists, and no job made it"
            raise DataError(
                f"{told}: {why}; give another OUT, or name it by --out where all names are inputs (force=True "
                "would replace this one for good)"
            )


def _check_names(places: Places, before: Manifest) -> None:
    """DataError where the manifest is another output's, whose files this job would take for its own, and remove."""
    other = next((one.name for one in (*before.outputs, *before.previous) if not places.may_make(one.name)), None)
    if other is not None:
        ours = f"parts such as {places.part(0).name!r}" if places.is_folder else repr(places.target.name)
        raise DataError(
            f"{places.shown(places.manifest)}: is the manifest of a job that made {other!r}; must be of {ours}: "
            "remove it, or give another OUT"
        )


def _check_same(places: Places, before: Manifest, job: dict[str, Any]) -> None:
    """DataError where the job that is there is another one."""
    if differences := changes(before.job, with_size(job, before)):
        more = f"; and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        only_size = len(differences) == 1 and differences[0].startswith("part_rows ")
        cure = "leave part_rows out" if only_size else "give another OUT"
        raise DataError(
            f"{places.output}: is another job's: {'; '.join(differences[:_SHOWN])}{more}; {cure}, or "
            "restart=True begins anew"
        )


def _tell_lost(places: Places, before: Manifest) -> None:
    """Say which file of an output is lost, unless all of them are."""
    lost = [one.name for one in before.outputs if not one.is_unchanged(places.folder)]
    if len(lost) < len(before.outputs):
        more = f" (nor are {len(lost) - 1} more)" if len(lost) > 1 else ""
        tell(
            f"mime-fast: warning: {places.shown(places.folder / lost[0])}: is no longer there as a job made it{more}; "
            f"all of {places.output} is made anew"
        )


def _check_state(places: Places) -> None:
    if others := sorted(path.name for path in _state(places) if not StateFiles.unborn(path.name)):
        raise DataError(
            f"{places.shown(places.state)}: contains {others[0]!r}, and there is no {places.manifest.name} of a job; "
            "give another OUT"
        )


def _state(places: Places) -> list[Path]:
    return list(places.state.iterdir()) if places.state.is_dir() else []


def _was_made(manifest: Manifest | None, path: Path) -> bool:
    return manifest is not None and path.name in {one.name for one in (*manifest.outputs, *manifest.previous)}
