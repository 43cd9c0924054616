"""Where a command's results go."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

from mime_fast.errors import DataError


def is_standard_output(path: str | None) -> bool:
    return path is None or path == "-"


@contextmanager
def open_output(path: str | None) -> Iterator[BinaryIO]:
    """A binary stream to `path`; None or "-" is standard output.

    A regular file appears, or is replaced, when the block ends without an error, and is left as it was otherwise;
    anything else (a pipe, a device) is written as it comes.

    Raises:
        DataError: the file cannot be opened.
    """
    if path is None or path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        with _open(target, "wb", path) as stream:
            yield stream
        return
    scratch = target.with_name(f".mime-fast-{secrets.token_hex(8)}.tmp")
    stream = _open(scratch, "xb", path)
    try:
        with stream:
            yield stream
        if target.exists():
            shutil.copymode(target, scratch)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def _open(target: Path, mode: Literal["wb", "xb"], path: str) -> BinaryIO:
    try:
        return target.open(mode)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None
