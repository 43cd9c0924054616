"""One run at a time in a folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mime_fast.errors import CheckpointError
from mime_fast.files import naming
from mime_fast.locks import lock

LOCK = ".mime-fast-run.lock"  # a file, since network file systems lock no folders


@contextmanager
def only_run(out: Path) -> Iterator[None]:
    """The folder of a run, made where it is not there, for this run only; a warning where locks are not to be had.

    Raises:
        CheckpointError: another run is in it.
        OutputError: it cannot be written.
    """
    path = out / LOCK
    with naming(out):
        out.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            lock(handle, path)
        except BlockingIOError:
            raise CheckpointError(f"{out}: another run is training it; wait for it, or give another folder") from None
        except (ImportError, OSError) as error:
            warnings.warn(f"{out}: cannot be locked ({error}); no other run may train it", stacklevel=2)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(handle)
