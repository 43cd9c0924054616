"""Where a command's results go."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from mime_fast.cli.options import flag
from mime_fast.errors import OutputError
from mime_fast.files import whole_file
from mime_fast.output_checks import check_outputs
from mime_fast.streams import standard_output


def is_standard_output(path: str | None) -> bool:
    return path is None or path == "-"


@contextmanager
def open_output(path: str | None) -> Iterator[BinaryIO]:
    """A binary stream to `path`; None or "-" is standard output.

    A file is written as `whole_file` does.

    Raises:
        OutputError: it cannot be written.
    """
    if path is None or path == "-":
        with standard_output() as stream:
            yield stream
    else:
        with whole_file(path) as stream:
            yield stream


def write_output(path: str | None, content: bytes) -> None:
    """Write an output, as `open_output`."""
    with open_output(path) as stream:
        stream.write(content)


def check_flags(args: Namespace, flags: Sequence[str], inputs: Iterable[str | None] = ()) -> None:
    """Check the outputs that flags name before the work begins, as `check_outputs`.

    Args:
        flags: attributes of `args`.
        inputs: files and folders that are read, of which the files are inputs, too; None is passed over.
    """
    outputs = {flag(name): getattr(args, name) for name in flags}
    check_outputs(outputs, [path for name in inputs if name is not None for path in _with_files(name)])


def write_all(writers: Iterable[Callable[[], object]]) -> None:
    """Call all that write outputs, though some fail. OutputError: some did; the message has all reasons."""
    failed: list[OutputError] = []
    for write in writers:
        try:
            write()
        except OutputError as error:
            failed.append(error)
    if failed:
        raise OutputError("; ".join(map(str, failed)))


def _with_files(path: str) -> list[str]:
    return [path, *(entry.path for entry in os.scandir(path) if entry.is_file())] if os.path.isdir(path) else [path]
