"""The lock of a job, on the folder of its state."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mime_fast.corpora.places import Places
from mime_fast.errors import BackendError, DataError
from mime_fast.files import naming
from mime_fast.locks import lock


@contextmanager
def locked(places: Places) -> Iterator[None]:
    """The folder of the state, made where it is not there, for this job only; gone at the end if it is empty."""
    made: list[Path] = []
    with naming(places.output):
        for folder in (places.target, places.state) if places.is_folder else (places.state,):
            if not folder.is_dir():
                folder.mkdir()
                made.append(folder)
        handle = os.open(places.state, os.O_RDONLY)
    try:
        try:
            _lock(handle, places)
        except _AnotherJob as error:
            made = []  # it may use what this one has made
            raise DataError(str(error)) from None
        try:
            yield
        finally:
            made = [places.state, *(folder for folder in made if folder != places.state)]
    finally:
        for folder in sorted(made, reverse=True):  # the state before the folder that it is in
            with suppress(OSError):  # not empty
                folder.rmdir()
        os.close(handle)


class _AnotherJob(Exception):
    pass


def _lock(handle: int, places: Places) -> None:
    try:
        lock(handle, places.state)
    except ImportError:
        raise BackendError("jobs lock their files by fcntl, which this system lacks: use Linux, macOS or WSL") from None
    except BlockingIOError:
        raise _AnotherJob(f"{places.output}: another job is writing it; wait for it, or give another name") from None
    except OSError as error:
        raise DataError(
            f"{places.state}: the file system refuses a lock ({error.strerror or error}); give an OUT on another one"
        ) from None
