"""Where a command's results go."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from mime_fast.cli.marks import marked_json, marked_text, refuse_other_file
from mime_fast.cli.options import flag
from mime_fast.data.reading.remote import plain_path
from mime_fast.errors import ConfigError, OutputError
from mime_fast.files import whole_file
from mime_fast.output_checks import check_outputs
from mime_fast.streams import standard_output

_OF_TEXT = ("out", "markdown")  # flags without which a command's text goes to standard output


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


def write_report(path: str | None, found: Mapping[str, Any], made_by: str) -> None:
    """Write figures as JSON, as `open_output`."""
    write_output(path, marked_json(found, made_by))


def write_markdown(path: str | None, text: str, made_by: str) -> None:
    """Write Markdown, as `open_output`; its mark is only in a file."""
    write_output(path, text.encode() + b"\n" if is_standard_output(path) else marked_text(text, made_by))


def add_force(parser: ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="replace existing files that this command did not make")


def check_flags(
    args: Namespace, flags: Sequence[str], inputs: Iterable[str | None] = (), *, made_by: str | None = None
) -> None:
    """Check the outputs that flags name before the work begins, as `check_outputs`.

    Args:
        flags: attributes of `args`.
        inputs: files and folders that are read, of which the files are inputs, too; None is passed over.
        made_by: the command whose files may be replaced, others only with `args.force`; None: the caller looks at that.

    Raises:
        ConfigError: two of them are standard output.
        DataError: a file that is there is not of this command.
    """
    outputs = {flag(name): getattr(args, name) for name in flags}
    printed = [name for name, path in outputs.items() if path == "-"]
    if len(printed) > 1:
        raise ConfigError(f"{printed[0]} - and {printed[1]} -: one of the two can go to standard output")
    written = outputs | {flag(name): "-" for name in _OF_TEXT if name in flags and getattr(args, name) is None}
    check_outputs(written, [path for name in inputs if name is not None for path in _with_files(name)])
    if made_by is not None and not args.force:
        for name, path in outputs.items():
            if path is not None:
                refuse_other_file(path, made_by, name)


def write_all(writers: Iterable[Callable[[], object]]) -> None:
    """Call all that write outputs, though some fail.

    Raises:
        OutputError: some did; the message has all reasons.
        BrokenPipeError: nobody reads one of them, and the others are written.
    """
    failed: list[OutputError] = []
    closed: BrokenPipeError | None = None
    for write in writers:
        try:
            write()
        except OutputError as error:
            failed.append(error)
        except BrokenPipeError as error:
            closed = error
    if failed:
        raise OutputError("; ".join(map(str, failed)))
    if closed is not None:
        raise closed


def _with_files(name: str) -> list[str]:
    """A path and, of a folder, its files: of a model's those that are the model."""
    from mime_fast.checkpoints.model_folder import files_of_model
    from mime_fast.checkpoints.reranker import WEIGHTS

    path = plain_path(name)
    if os.path.isfile(os.path.join(path, WEIGHTS)):
        return [path, *map(str, files_of_model(path))]
    return [path, *(entry.path for entry in os.scandir(path) if entry.is_file())] if os.path.isdir(path) else [path]
