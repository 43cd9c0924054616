"""Where the replies of systems come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mime_fast.errors import DataError
from mime_fast.evaluation.human.replies import read_replies, replies_of
from mime_fast.evaluation.systems import System
from tests.evaluation.human.conftest import instances


def lines(*rows: object) -> bytes:
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


def test_replies_of_a_file_by_id(tmp_path: Path) -> None:
    wanted = instances(2)
    rows = [
        {"id": "other", "text": "?"},
        {"id": wanted[1].id, "text": " b \u2028", "x": 1},
        {"id": wanted[0].id, "text": ""},
    ]
    path = tmp_path / "said.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + lines(*rows, b"", rows[1]))
    assert read_replies(str(path), wanted) == ["", "b"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lines({"id": "talk:0/2", "text": "a"}), "no reply to 1 of 2 dialogues: talk:1/2; .*--dialogues"),
        (b"", "no reply to 2 of 2 dialogues: talk:0/2, talk:1/2;"),
        (lines({"id": "talk:0/2", "text": "a"}, {"id": "talk:0/2", "text": "b"}), "line 2: a second, different reply"),
        (lines(b"{"), "line 1: not JSON"),
        (lines({"id": "talk:0/2"}), "line 1: text=None"),
        (lines({"id": True, "text": "a"}), "line 1: id=True"),
        (lines({"id": "talk:0/2", "text": "\ud800x"}), "line 1: text has the lone surrogate"),
        (lines({"id": "talk:0/2\ud800", "text": "a"}), "line 1: id has the lone surrogate"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "said.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=told):
        read_replies(str(path), instances(2))
    with pytest.raises(DataError, match="cannot be read"):
        read_replies(str(tmp_path / "none"), instances(2))


def test_a_file_that_cannot_be_used_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "said.jsonl"
    path.write_bytes(b"{")
    told: list[str] = []
    with pytest.raises(DataError, match="line 1: not JSON"):
        systems = [System("first", "nowhere", {}), System("then", str(path), {})]
        replies_of(systems, instances(2), 0, tell=told.append)
    assert told == []
