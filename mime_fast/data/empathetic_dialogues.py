"""EmpatheticDialogues (Rashkin et al. 2019) as officially distributed: one row an utterance, never quoted.

A field holds no comma: `_comma_` stands for one (and `_pipe_` for `|` in the retrieval candidates of the optional ninth
column, which are not read). Rows end with a line feed; any other line separator is text.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, get_args

from mime_fast.emotions import LABELS
from mime_fast.errors import ConfigError, DataError

Split = Literal["train", "valid", "test"]
Style = Literal["true", "released"]
Role = Literal["listener", "speaker"]

COLUMNS = ("conv_id", "utterance_idx", "context", "prompt", "speaker_idx", "utterance", "selfeval", "tags")
_GZIP_MAGIC = b"\x1f\x8b"
_TAR_MAGIC = b"ustar"
_TAR_MAGIC_AT = 257


@dataclass(frozen=True)
class Pair:
    """A listener's response and what was said before it; texts are raw (not lower-cased, not tokenised)."""

    context: list[str]
    response: str
    emotion: str
    situation: str
    conv_id: str


class EdUtterance(NamedTuple):
    """One row of the file."""

    conv_id: str
    number: int  # utterance_idx, from 1; the listener's are even
    emotion: str
    prompt: str
    text: str


def read_pairs(
    path: str | os.PathLike[str], split: Split, style: Style = "true", responder: Role = "listener"
) -> list[Pair]:
    """All (context, response) pairs of one split, in the order of the file.

    Every utterance with an even `utterance_idx` is a response; its context is all utterances before it.

    Args:
        path: The official tar.gz, a folder with `train.csv`, `valid.csv`, `test.csv` (or `.csv.gz`; also in a subfolder
            `empatheticdialogues`), or one such file, which is then read whatever `split` says.
        split: Which file of an archive or a folder to read.
        style: "true" follows `conv_id`. "released" pairs as the released code does: the history goes on when the next
            dialogue has the same prompt, and the last dialogue of the file is dropped.
        responder: "speaker" for the speaker's turns behind the first, each with everything said before it.

    Raises:
        DataError: the file or the split is missing, cannot be unpacked, or has a malformed row (named by line).
        ConfigError: `split`, `style` or `responder` is not one of the above.
    """
    for name, value, kind in (("split", split, Split), ("style", style, Style), ("responder", responder, Role)):
        allowed = get_args(kind)
        if value not in allowed:
            raise ConfigError(f"{name}={value!r}: one of {', '.join(allowed)} is allowed")
    content, where = _find(Path(path), split)
    key: Callable[[EdUtterance], str] = (lambda row: row.conv_id) if style == "true" else (lambda row: row.prompt)
    histories = [list(rows) for _, rows in groupby(_utterances(content, where), key)]
    return list(_pairs(histories if style == "true" else histories[:-1], remainder=0 if responder == "listener" else 1))


def _pairs(histories: Iterable[list[EdUtterance]], remainder: int) -> Iterator[Pair]:
    for rows in histories:
        texts = [row.text for row in rows]
        for position, row in enumerate(rows):
            if position > 0 and row.number % 2 == remainder:
                yield Pair(texts[:position], row.text, row.emotion, row.prompt, row.conv_id)


def _utterances(content: bytes, where: str) -> Iterator[EdUtterance]:
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()
    header = lines[0].decode(errors="replace").rstrip("\r").split(",") if lines else []
    if tuple(header[: len(COLUMNS)]) != COLUMNS:
        raise DataError(f"{where}, line 1: header {','.join(header)[:120]!r}; expected {','.join(COLUMNS)!r}")
    previous: EdUtterance | None = None
    for number, line in enumerate(lines[1:], start=2):
        previous = read_utterance(line, previous, f"{where}, line {number}")
        yield previous


def read_utterance(line: bytes, previous: EdUtterance | None, where: str) -> EdUtterance:
    """The row behind `previous`. Raises DataError: malformed, or not the number that comes next."""
    try:
        fields = line.decode().removesuffix("\r").split(",")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: invalid UTF-8 ({error.reason} at byte {error.start}); UTF-8 is expected") from None
    if len(fields) not in (len(COLUMNS), len(COLUMNS) + 1):
        raise DataError(f"{where}: {len(fields)} columns; 8 are expected, or 9 with retrieval candidates")
    conv_id, index, emotion, prompt, _, text = fields[:6]
    expected = previous.number + 1 if previous is not None and previous.conv_id == conv_id else 1
    if not (index.isascii() and index.isdigit()):
        raise DataError(f"{where}: utterance_idx {index!r} is not an integer; {expected} is expected")
    if int(index) != expected:
        raise DataError(f"{where}: utterance_idx {index} is out of order; {expected} is expected in {conv_id!r}")
    if emotion not in LABELS:
        raise DataError(f"{where}: unknown emotion {emotion!r}; one of {', '.join(LABELS)} is expected")
    return EdUtterance(conv_id, expected, emotion, prompt.replace("_comma_", ","), text.replace("_comma_", ","))


def _find(path: Path, split: str) -> tuple[bytes, str]:
    """The CSV's bytes and its name for messages. A file's kind is read from its content."""
    if path.is_dir():
        folders = (path, path / "empatheticdialogues")
        wanted = [folder / f"{split}.csv{suffix}" for folder in folders for suffix in ("", ".gz")]
        file = next((file for file in wanted if file.is_file()), None)
        if file is None:
            there = sorted(str(file.relative_to(path)) for folder in folders for file in folder.glob("*.csv*"))
            raise DataError(f"{path}: no {split}.csv or {split}.csv.gz; there is {', '.join(there) or 'no CSV file'}")
        return _read(file), str(file)
    content = _read(path)
    if content[_TAR_MAGIC_AT : _TAR_MAGIC_AT + len(_TAR_MAGIC)] == _TAR_MAGIC:
        return _member(content, split, path)
    return content, str(path)


def _read(path: Path) -> bytes:
    try:
        return _unpacked(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _unpacked(content: bytes, where: str) -> bytes:
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{where}: truncated or broken gzip file: {error}") from None


def _member(content: bytes, split: str, path: Path) -> tuple[bytes, str]:
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            members = {member.name: member for member in archive.getmembers() if member.isfile()}
            names = [name for name in members if PurePosixPath(name).name in (f"{split}.csv", f"{split}.csv.gz")]
            if len(names) != 1:
                there = ", ".join(sorted(members)) or "nothing"
                raise DataError(f"{path}: {len(names) or 'no'} files {split}.csv in the archive; there is {there}")
            stream = archive.extractfile(members[names[0]])
            body = b"" if stream is None else stream.read()
    except tarfile.TarError as error:
        raise DataError(f"{path}: truncated or broken tar archive: {error}") from None
    where = f"{path}:{names[0]}"
    return _unpacked(body, where), where
