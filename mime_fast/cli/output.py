"""Where a command's results go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from mime_fast.files import whole_file
from mime_fast.streams import open_special, standard_output


def is_standard_output(path: str | None) -> bool:
    return path is None or path == "-"


@contextmanager
def open_output(path: str | None) -> Iterator[BinaryIO]:
    """A binary stream to `path`; None or "-" is standard output.

    A regular file is written as `whole_file` does; anything else (a pipe, a device) is written as it comes.

    Raises:
        OutputError: it cannot be written.
    """
    if path is None or path == "-":
        with standard_output() as stream:
            yield stream
    elif os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        with open_special(path) as stream:
            yield stream
    else:
        with whole_file(path) as stream:
            yield stream
