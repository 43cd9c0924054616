"""The JSON-lines reader: good lines come through, bad ones say why, and the rest goes on."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mime_fast.data.dialogue_checks import check_dialogue
from mime_fast.data.dialogues import BadRow, Row, read_dialogues
from mime_fast.errors import DataError, InputError


def read(content: bytes, *, need_response: bool = False, strict_turns: bool = True) -> list[Row | BadRow]:
    return list(read_dialogues(io.BytesIO(content), need_response=need_response, strict_turns=strict_turns))


def one(values: object, **options: bool) -> Row | BadRow:
    (row,) = read(json.dumps(values).encode(), **options)
    return row


def test_good_lines() -> None:
    content = (
        b'\xef\xbb\xbf{"id": "x", "context": ["Hi\xe2\x80\xa8there."], '
        b'"response": "Hello.", "seed": 5, "emotion": "proud"}\r\n'
        b"\n  \r\n"
        b'{"context": [["hi", "."], "Yes?", "No."], "response": ["oh", "."], "emotion": 3, "more": {}}'
    )
    assert read(content, need_response=True) == [
        Row(1, 0, "x", ["Hi\u2028there."], "Hello.", 5, "proud"),
        Row(4, 1, 1, [["hi", "."], "Yes?", "No."], ["oh", "."], None, 3),
    ]


def test_response_is_read_only_where_it_is_needed() -> None:
    assert one({"context": ["Hi."], "response": 7}) == Row(1, 0, 0, ["Hi."], None, None, None)


def test_rest_goes_on_after_bad_lines() -> None:
    rows = read(b'{"context": ["a"]}\nnot json\n{"id": 9, "context": []}\n\xff\xfe\n{"context": ["b"]}\n')
    assert [(row.line, row.index, row.id, type(row)) for row in rows] == [
        (1, 0, 0, Row),
        (2, 1, 1, BadRow),
        (3, 2, 9, BadRow),
        (4, 3, 3, BadRow),
        (5, 4, 4, Row),
    ]
    assert isinstance(rows[1], BadRow)
    assert rows[1].text == "not json"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b'{"id": "\x01"}', "not JSON (Invalid control character at column 9)"),
        (b'{"context": ["a"]} x', "not JSON"),
        (b'{"context": ["\xff"]}', "invalid UTF-8"),
        (b'["a"]', "JSON of type list; an object with 'context'"),
        (b"null", "JSON of type NoneType"),
        (b"[" * 200_000, "JSON that cannot be read"),
        (b'{"seed": ' + b"1" * 5000 + b"}", "JSON that cannot be read"),
        (b'{"text": "a"}', "no 'context'"),
        (b'{"context": null}', "context is None; a list of utterances"),
        (b'{"context": "hello"}', "context is of type str; a list of utterances"),
        (b'{"context": []}', "context is an empty list"),
        (b'{"context": ["a", "b"]}', "context has 2 turns, so the agent spoke last"),
        (b'{"context": [""]}', "context, utterance 0 is empty"),
        (b'{"context": ["a", "b", " \\t\\n"]}', "context, utterance 2 is blank"),
        (b'{"context": [5]}', "context, utterance 0 is of type int; text or a list of tokens"),
        (b'{"context": [[]]}', "context, utterance 0 is an empty list"),
        (b'{"context": [["a", ""]]}', "context, utterance 0, token 1 is ''"),
        (b'{"context": [["a", null]]}', "context, utterance 0, token 1 is None"),
        (b'{"context": ["a \\ud800"]}', "context, utterance 0 has the lone surrogate '\\ud800'"),
        (b'{"id": "\\udfff", "context": ["a"]}', "id has the lone surrogate"),
        (b'{"id": 1.5, "context": ["a"]}', "id=1.5: must be text or an integer"),
        (b'{"id": true, "context": ["a"]}', "id=True"),
        (b'{"context": ["a"], "seed": -1}', "seed=-1: must be an integer from 0 to 2^64 - 1"),
        (b'{"context": ["a"], "seed": 18446744073709551616}', "seed=18446744073709551616"),
        (b'{"context": ["a"], "seed": true}', "seed=True"),
        (b'{"context": ["a"], "emotion": "gleeful"}', "unknown emotion 'gleeful'"),
        (b'{"context": ["a"], "emotion": 32}', "unknown emotion 32"),
    ],
)
def test_bad_line_says_why(line: bytes, reason: str) -> None:
    bad, good = read(line + b'\n{"context": ["a"]}\n')
    assert isinstance(bad, BadRow)
    assert reason in bad.reason
    assert len(bad.text) <= 200
    assert isinstance(good, Row)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (None, "no 'response'"),
        ("", "response is empty"),
        (3, "response is of type int"),
        ([], "response is an empty list"),
    ],
)
def test_bad_response(response: object, reason: str) -> None:
    bad = one({"context": ["a"], "response": response}, need_response=True)
    assert isinstance(bad, BadRow)
    assert reason in bad.reason


def test_missing_response() -> None:
    bad = one({"context": ["a"]}, need_response=True)
    assert isinstance(bad, BadRow)
    assert "no 'response'" in bad.reason


def test_even_turns_are_allowed_on_request() -> None:
    assert one({"context": ["a", "b"]}, strict_turns=False) == Row(1, 0, 0, ["a", "b"], None, None, None)


def test_path_and_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b'{"context": ["a"]}\n'
    file = tmp_path / "in.jsonl"
    file.write_bytes(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    expected = read(content)
    for source in (file, str(file), "-"):
        assert list(read_dialogues(source, need_response=False)) == expected


def test_a_file_that_cannot_be_opened_is_refused_at_once(tmp_path: Path) -> None:
    for source in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            read_dialogues(source, need_response=False)


def test_lines_are_streamed() -> None:
    served: list[int] = []

    def lines() -> Iterator[bytes]:
        for number in range(3):
            served.append(number)
            yield b'{"context": ["a"]}\n'

    rows = read_dialogues(lines(), need_response=False)  # type: ignore[arg-type]
    next(rows)
    assert served == [0]


def test_a_failing_stream_names_the_line() -> None:
    def lines() -> Iterator[bytes]:
        yield b'{"context": ["a"]}\n'
        raise OSError(5, "Input/output error")

    rows = read_dialogues(lines(), need_response=False)  # type: ignore[arg-type]
    next(rows)
    with pytest.raises(DataError, match="line 2: cannot be read: Input/output error"):
        next(rows)


def test_check_dialogue_copies_and_names_the_place() -> None:
    turns = (("hi", "."), "Yes?", "No.")
    assert check_dialogue(turns, strict_turns=True, where="dialogue 0") == [["hi", "."], "Yes?", "No."]
    with pytest.raises(InputError, match=r"^dialogue 3 has 2 turns"):
        check_dialogue(["a", "b"], strict_turns=True, where="dialogue 3")
    with pytest.raises(InputError, match=r"^dialogue 3 is of type bytes"):
        check_dialogue(b"a", strict_turns=False, where="dialogue 3")
