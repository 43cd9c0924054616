"""The JSON-lines reader: good lines come through, bad ones say why, and the rest goes on."""

from __future__ import annotations

import json
import tempfile

import pytest

from mime_fast.data.dialogue_checks import check_dialogue
from mime_fast.data.dialogues import Row
from mime_fast.data.reading.options import Columns
from mime_fast.data.reading.reader import Reader
from mime_fast.data.reading.rows import BadRow, check
from mime_fast.data.reading.sources import find_sources
from mime_fast.errors import InputError


def read(content: bytes, *, need_response: bool = False, strict_turns: bool = True) -> list[Row | BadRow]:
    columns = Columns(emotion="emotion" if b'"emotion"' in content else None)
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.write(content)
        file.flush()
        raws = Reader(find_sources(file.name), columns)
        return [check(raw, columns, need_response=need_response, strict_turns=strict_turns) for raw in raws]


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
    places = [row.row if isinstance(row, BadRow) else row.line for row in rows]
    assert [(place, row.index, row.id, type(row)) for place, row in zip(places, rows, strict=True)] == [
        (1, 0, 0, Row),
        (2, 1, 1, BadRow),
        (3, 2, 9, BadRow),
        (4, 3, 3, BadRow),
        (5, 4, 4, Row),
    ]
    assert isinstance(rows[1], BadRow)
    assert rows[1].raw == "not json"


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
        (b'{"context": null}', "context is None; must be a list of utterances"),
        (b'{"context": 5}', "context is of type int; must be a list of utterances"),
        (b'{"context": []}', "context is an empty list"),
        (b'{"context": ["a", "b"]}', "context has 2 turns, so the agent spoke last"),
        (b'{"context": [""]}', "context, utterance 0 is empty"),
        (b'{"context": ["a", "b", " \\t\\n"]}', "context, utterance 2 is blank"),
        (b'{"context": [5]}', "context, utterance 0 is of type int; must be text or a list of tokens"),
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


def test_check_dialogue_copies_and_names_the_place() -> None:
    turns = (("hi", "."), "Yes?", "No.")
    assert check_dialogue(turns, strict_turns=True, where="dialogue 0") == [["hi", "."], "Yes?", "No."]
    with pytest.raises(InputError, match=r"^dialogue 3 has 2 turns"):
        check_dialogue(["a", "b"], strict_turns=True, where="dialogue 3")
    with pytest.raises(InputError, match=r"^dialogue 3 is of type bytes"):
        check_dialogue(b"a", strict_turns=False, where="dialogue 3")
