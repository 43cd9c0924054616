"""The kinds of outputs that a job can have: a stream, files on a disk, or files in a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from mime_fast.corpora.places import Places
from mime_fast.corpora.remote_output import RemoteOutput
from mime_fast.corpora.writers import OutputFormat
from mime_fast.data.reading.remote import is_uri, split_query
from mime_fast.errors import MimeFastError
from mime_fast.files import is_special, open_special
from mime_fast.streams import standard_output


def is_stream(output: str | None) -> bool:
    """Whether records go out as they come: to standard output, a pipe or a device."""
    return output is None or output == "-" or is_special(output)


@contextmanager
def open_stream(output: str | None) -> Iterator[tuple[BinaryIO, OutputFormat]]:
    """Where records go as they come, and their format: JSON lines, or what a pipe's name says."""
    if output is None or output == "-":
        with standard_output() as stream:
            yield stream, OutputFormat()
    else:
        with open_special(output) as stream:
            yield stream, OutputFormat.of_pipe(output)


@contextmanager
def placed(output: str) -> Iterator[tuple[Places, Callable[[], None]]]:
    """Where a job works, and what is called when its files there are worth a copy to the store of a URI."""
    if not is_uri(output):
        yield Places.of(output), lambda: None
        return
    with RemoteOutput.opened(output) as remote:
        try:
            yield remote.places, remote.copy
        except BaseException:
            with suppress(MimeFastError):
                remote.copy()
            raise
        remote.copy()


def errors_file(output: str | None) -> str | None:
    """Where bad rows are written; None for a stream."""
    if output is None or is_stream(output):
        return None
    if is_uri(output):
        path, query = split_query(output)
        return f"{path}{'_' if path.endswith('/') else '.'}errors.jsonl{query}"
    return str(Places.of(output).errors)
