"""Where a command's results go."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from mime_fast.files import naming, whole_file


def is_standard_output(path: str | None) -> bool:
    return path is None or path == "-"


@contextmanager
def open_output(path: str | None) -> Iterator[BinaryIO]:
    """A binary stream to `path`; None or "-" is standard output.

    A regular file is written as `whole_file` does; anything else (a pipe, a device) is written as it comes.

    Raises:
        OutputError: the file cannot be written.
    """
    if path is None or path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif is_special(path):
        with naming(path):
            special = open(path, "wb")  # noqa: SIM115 - the next line closes it
        with special:
            yield cast(BinaryIO, special)
    else:
        with whole_file(path) as stream:
            yield stream


def is_special(path: str) -> bool:
    """Whether a path is there and is neither a file nor a folder: a pipe, a device."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)
