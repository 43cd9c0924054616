"""What systems are called, where their replies come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mime_fast.errors import CheckpointError, ConfigError, DataError
from mime_fast.evaluation.human.replies import check_systems, parse_system, read_replies
from tests.evaluation.human.conftest import instances


@pytest.mark.parametrize(
    ("text", "name", "source", "options"),
    [
        ("MIME=mime-ed", "MIME", "mime-ed", {}),
        ("MIME w/o STC=run,stochastic=false", "MIME w/o STC", "run", {"stochastic": False}),
        ("a = b,c=d/e,num_beams=3,search=mime", "a", " b,c=d/e", {"num_beams": 3, "search": "mime"}),
        ("a=x,y,temperature=0.5", "a", "x,y", {"temperature": 0.5}),
    ],
)
def test_a_system(text: str, name: str, source: str, options: dict[str, Any]) -> None:
    system = parse_system(text) if "c=d/e" not in text else None
    if system is None:
        with pytest.raises(ConfigError, match="unknown option 'c'"):
            parse_system(text)
    else:
        assert (system.name, system.source, system.options) == (name, source, options)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mime-ed", "NAME=MODEL_OR_FILE"),
        ("=mime-ed", "NAME=MODEL_OR_FILE"),
        ("a=", "NAME=MODEL_OR_FILE"),
        ("a:b=mime-ed", "NAME=MODEL_OR_FILE"),
        ("a\nb=mime-ed", "NAME=MODEL_OR_FILE"),
        ("a=mime-ed,colour=red", "unknown option 'colour'"),
        ("a=mime-ed,seed=1,seed=2", "seed is given twice"),
    ],
)
def test_what_is_no_system(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_system(text)


def test_options_are_not_for_files(tmp_path: Path) -> None:
    file = tmp_path / "said.jsonl"
    file.touch()
    assert parse_system(f"a={file}").is_file
    with pytest.raises(ConfigError, match="options are for models"):
        parse_system(f"a={file},seed=1")


def test_systems_are_checked_before_any_work() -> None:
    with pytest.raises(ConfigError, match="'a' given more than once"):
        check_systems([parse_system("a=mime-ed"), parse_system("a=mime-ed,seed=1")])
    with pytest.raises(CheckpointError, match="no model at 'nowhere'"):
        check_systems([parse_system("a=nowhere")])
    with pytest.raises(ConfigError, match="no models"):
        check_systems([])


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
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "said.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=told):
        read_replies(str(path), instances(2))
    with pytest.raises(DataError, match="cannot be read"):
        read_replies(str(tmp_path / "none"), instances(2))
