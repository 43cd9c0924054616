"""A pipe gives its bytes in pieces: rows and refusals are those of the same bytes in a file, however they come."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pytest

from mime_fast.data.reading import opening
from mime_fast.data.reading.options import Columns, Reading
from mime_fast.data.reading.reader import Reader
from mime_fast.data.reading.rows import RawRow
from mime_fast.data.reading.sources import find_sources
from mime_fast.errors import DataError

ED = "conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags\n"
SPREAD = '{ "context": ["a"],\n  "id": 1 }\n{ "context": ["b"],\n  "id": 2 }\n'
CONTENTS: dict[str, bytes] = {
    "list": b'[\n{"context": ["hello"]},\n{"context": ["you"]}\n]\n',
    "a list on a line": b'[{"context": ["hello"]}, {"context": ["you"]}]\n',
    "lists on lines": b'[{"context": ["hello"]}]\n[{"context": ["you"]}]\n',
    "object": b'{\n"context": ["hello"]\n}\n',
    "spread objects": SPREAD.encode(),
    "JSON lines": b'\n{"context": ["a"]}\n{"context": ["b"\n{"context": ["c"]}\n',
    "first line cut off": b'{"context": ["a"\n{"context": ["c"]}\n',
    "very long first line": b'{"context": ["' + b"a " * 150_000 + b'"]}\n\n{bad\n{"context": ["b"]}\n',
    "very long first line cut off": b'{"context": ["' + b"a " * 150_000 + b'\n{"context": ["b"]}\n',
    "delimiter named": b"sep=;\nid;context\n1;a b\n",
    "blank line": b"\nid,context\n1,a b\n",
    "mark": b"\xef\xbb\xbfid,context\n1,a b\n",
    "UTF-16": '{"context": ["a"]}\n'.encode("utf-16"),
    "UTF-32": '{"context": ["a"]}\n'.encode("utf-32"),
    "UTF-16 without a mark": '\n{"context": ["a"]}\n'.encode("utf-16-le"),
    "gzip": gzip.compress(b"id,context\n1,a b\n"),
    "text": b"hello there __eou__ hi\nyou __eou__ yes\n",
    "carriage returns": b"id,context\r1,a b\r2,c d\r",
    "no format": b"hello\nyou\n",
    "quotes": (ED + 'c1,1,sad,p,1,I cry,,\nc1,2,sad,p,2,"Oh ""no"" dear",,\n').encode(),
    "quotes as text": (ED + 'c1,1,sad,p,1,"I cry",,\nc1,2,sad,p,2,"Oh ""no"" dear",,\n').encode(),
}


class Pieces(io.RawIOBase):
    """A pipe whose writer waits, after so many bytes, until it is read from again."""

    def __init__(self, content: bytes, size: int) -> None:
        super().__init__()
        self.rest = [content[at : at + size] for at in range(0, len(content), size)]

    def read(self, size: int = -1) -> bytes:
        piece = self.rest.pop(0) if self.rest else b""
        if 0 <= size < len(piece):
            self.rest.insert(0, piece[size:])
            piece = piece[:size]
        return piece


def rows(content: bytes, size: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(opening, "open_stored", lambda _: Pieces(content, size))
    try:
        return list(Reader(find_sources("-"), Columns()))
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("name", CONTENTS)
def test_pieces_decide_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = CONTENTS[name]
    expected = rows(content, len(content), monkeypatch)
    for size in (1, 2, 3, 5, 11, 20) if len(content) < 1000 else (40_001,):
        assert rows(content, size, monkeypatch) == expected
    assert ("neither its name" in expected) if name == "no format" else len(expected) > 0
    if name.startswith("very long first line"):
        assert [row.row for row in expected] == ([1, 3, 4] if name.endswith("line") else [1, 2])


@pytest.mark.parametrize(
    "first",
    [
        '{"context": ["a"]}\n',
        '[{"context": ["a"]},\n',
        '[\n{"context": ["a"]},\n',
        "context\na\n",
        "a\n",
        ED + "c1,1,sad,p,1,I cry,,\nc1,2,sad,p,2,oh,,\n",
        SPREAD[: len(SPREAD) // 2],
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le"])
def test_a_program_that_waits_for_its_answer_gets_it(
    first: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Talking(Pieces):
        def read(self, size: int = -1) -> bytes:
            assert self.rest, "the reader waits for more"
            return super().read(size)

    monkeypatch.setattr(opening, "open_stored", lambda _: Talking(first.encode(encoding), 1000))
    format = "text" if first == "a\n" else "auto"
    reading = Reading(format=format, encoding=encoding if encoding == "utf-16-le" else "utf-8")
    assert isinstance(next(iter(Reader(find_sources("-", reading), Columns()))), RawRow)
