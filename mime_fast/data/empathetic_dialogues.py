"""EmpatheticDialogues (Rashkin et al. 2019), as officially distributed or as other programs have saved it again.

The official files have a row for each utterance and no quotes: `_comma_` stands for a comma (and `_pipe_` for `|` in
the retrieval candidates of the optional ninth column, which are not read).
"""

from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count, groupby
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, get_args

from mime_fast.data.reading.empathetic import EdUtterance, utterance
from mime_fast.data.reading.formats import format_of_name
from mime_fast.data.reading.opening import PARQUET, open_file
from mime_fast.data.reading.options import Reading, UtteranceColumns
from mime_fast.data.reading.reader import raw_rows
from mime_fast.data.reading.source import Source
from mime_fast.errors import ConfigError, DataError, InputError

Split = Literal["train", "valid", "test"]
Style = Literal["true", "released"]
Role = Literal["listener", "speaker"]

_NAMES: dict[Split, str] = {"train": "train", "valid": "valid|validation|dev", "test": "test"}
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


def read_pairs(
    path: str | os.PathLike[str],
    split: Split,
    style: Style = "true",
    responder: Role = "listener",
    *,
    reading: Reading | None = None,
) -> list[Pair]:
    """All (context, response) pairs of one split, in the order of the file.

    Every utterance with an even `utterance_idx` is a response; its context is all utterances before it.

    Args:
        path: The official tar.gz, a folder with `train.csv`, `valid.csv`, `test.csv` (or `.csv.gz`, or files of another
            format whose names begin with the split's; also in a subfolder `empatheticdialogues`), or one such file,
            which is then read whatever `split` says.
        split: Which file of an archive or a folder to read.
        style: "true" follows `conv_id`. "released" pairs as the released code does: the history goes on when the next
            dialogue has the same prompt, and the last dialogue of the file is dropped.
        responder: "speaker" for the speaker's turns after the first, each with everything said before it.
        reading: How the file is written, where it is not as distributed; its format is found by name and content.

    Raises:
        DataError: the file or the split is missing, cannot be unpacked, or has a malformed row (named by line); two
            files of a folder have the same conversation.
        ConfigError: `split`, `style` or `responder` is not one of the above.
    """
    for name, value, kind in (("split", split, Split), ("style", style, Style), ("responder", responder, Role)):
        allowed = get_args(kind)
        if value not in allowed:
            raise ConfigError(f"{name}={value!r}: must be one of {', '.join(allowed)}")
    if not os.fspath(path):
        raise DataError("'' names no data; must be a tar.gz, a folder or a file")
    rows = _rows(_find(Path(path), split, reading or Reading()))
    key: Callable[[EdUtterance], str] = (lambda row: row.conv_id) if style == "true" else (lambda row: row.prompt)
    histories = [list(group) for _, group in groupby(rows, key)]
    return list(_pairs(histories if style == "true" else histories[:-1], remainder=0 if responder == "listener" else 1))


def _pairs(histories: Iterable[list[EdUtterance]], remainder: int) -> Iterator[Pair]:
    for rows in histories:
        texts = [row.text for row in rows]
        for position, row in enumerate(rows):
            if position > 0 and row.number % 2 == remainder:
                yield Pair(texts[:position], row.text, row.emotion, row.prompt, row.conv_id)


def _rows(files: Iterable[tuple[Source, BinaryIO | None]]) -> list[EdUtterance]:
    """The utterances of all files. DataError: two files have one conversation."""
    rows: list[EdUtterance] = []
    found_in: dict[str, str] = {}
    for source, stored in files:
        found = list(_utterances(source, stored))
        for conv_id in dict.fromkeys(row.conv_id for row in found):
            if (other := found_in.setdefault(conv_id, source.name)) != source.name:
                raise DataError(f"{source.name}: conv_id {conv_id!r:.60} is in {other}, too; give one of these files")
        rows += found
    return rows


def _utterances(source: Source, stored: BinaryIO | None) -> Iterator[EdUtterance]:
    previous: EdUtterance | None = None
    with open_file(source, stored) as file:
        for raw in raw_rows(file, UtteranceColumns(), count()):
            try:
                previous = utterance(raw.values(), previous)
            except InputError as error:
                raise DataError(f"{source.name}, line {raw.row}: {error}") from None
            yield previous


def _find(path: Path, split: Split, reading: Reading) -> list[tuple[Source, BinaryIO | None]]:
    """The files of the split, and their bytes where they are in an archive. A file's kind is read from its content."""
    if path.is_dir():
        return [_opened(file, reading) for file in _of_folder(path, split)]
    content = _read(path)
    if content[_TAR_MAGIC_AT : _TAR_MAGIC_AT + len(_TAR_MAGIC)] == _TAR_MAGIC:
        body, where = _member(content, split, path)
        return [(Source(where, replace(reading, format="csv")), io.BytesIO(body))]
    return [_opened(path, reading, content)]


def _opened(path: Path, reading: Reading, content: bytes | None = None) -> tuple[Source, BinaryIO | None]:
    content = _read(path) if content is None else content
    format = "parquet" if content.startswith(PARQUET) else format_of_name(path.name) or "csv"
    return Source(str(path), replace(reading, format=format), len(content)), io.BytesIO(content)


def _of_folder(path: Path, split: Split) -> list[Path]:
    """`train.csv` and the like; else the files of any format whose names begin with the split's."""
    folders = (path, path / "empatheticdialogues")
    wanted = [folder / f"{split}.csv{suffix}" for folder in folders for suffix in ("", ".gz")]
    if official := next((file for file in wanted if file.is_file()), None):
        return [official]
    there = sorted(file for folder in folders for file in folder.glob("*") if format_of_name(file.name))
    if found := [file for file in there if re.match(rf"(?:{_NAMES[split]})(?![a-z])", file.name.lower())]:
        return found
    names = ", ".join(str(file.relative_to(path)) for file in there)
    raise DataError(f"{path}: no {split}.csv or {split}.csv.gz; there is {names or 'no CSV file'}")


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
