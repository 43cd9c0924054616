"""Locks of the system's, which a killed process does not leave."""

from __future__ import annotations

import os
from pathlib import Path


def lock(handle: int, path: Path) -> None:
    """Lock what `handle` is open on, and what must still be at `path`, until the handle is closed.

    Raises:
        BlockingIOError: another one has it, or has removed it.
        OSError: the file system has no locks.
        ImportError: the system has none.
    """
    import fcntl

    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if not path.exists() or os.fstat(handle).st_ino != path.stat().st_ino:
        raise BlockingIOError
