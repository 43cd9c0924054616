"""How people write dialogues: lists as text, chat messages, whole dialogues, nested names, gaps as NaN."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from mime_fast.data.reading.dialogue_shapes import list_in_text
from mime_fast.data.reading.options import Columns, UtteranceColumns
from mime_fast.errors import ConfigError, DataError, InputError
from tests.data.reading.conftest import rows_of

TURNS = ["I lost my dog.", "Oh no! When?", 'On "Monday", it\'s sad.', "I am sorry."]


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def dialogues(path: Path, columns: Columns | None = None, **options: Any) -> list[Any]:
    return [row[-1] if len(row) == 3 else (row[3], row[4]) for row in rows_of(path, columns, **options)]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(TURNS),
        json.dumps(TURNS, indent=1),
        repr(TURNS),
        repr(tuple(TURNS)),
        str(np.array(TURNS, dtype=object)),
        str(np.array(TURNS)),
        repr(np.array(TURNS, dtype=object)),
        repr(np.array(TURNS)),
        str(list(np.array(TURNS))),
    ],
)
def test_lists_written_as_text(text: str) -> None:
    assert list_in_text(text) == TURNS
    assert list_in_text(f" {text}\n") == TURNS


@pytest.mark.parametrize(
    "text", ["hello", "[sighs] I lost it [again]", "(smiles)", "[)", "[1]", "[sad]", 'I said ["a"]', "('a' 'b')", ""]
)
def test_text_that_is_no_list(text: str) -> None:
    assert list_in_text(text) is None


@pytest.mark.parametrize("text", ["[]", "[ ]", "()", "array([], dtype=object)", "array([])"])
def test_an_empty_list_is_no_utterance(tmp_path: Path, text: str) -> None:
    assert list_in_text(text) == []
    of_list, of_text = dialogues(lines(tmp_path / "a.jsonl", {"context": []}, {"context": text}), need_response=False)
    (tmp_path / "a.csv").write_text(f'context,id\n"{text}",1\n')
    (tmp_path / "a.txt").write_text(f"a __eou__ b\n{text}\n")
    of_cell, of_line = dialogues(tmp_path / "a.csv", need_response=False), dialogues(tmp_path / "a.txt")[1]
    assert of_list == of_text == of_cell[0] == of_line


@pytest.mark.parametrize(
    "text",
    [
        "['a', b']",
        '["a", b"]',
        "['a' 'b' ... 'y' 'z']",
        "[{'role': 'user'}\n {'role': 'x'}]",
        r"['my path is C:\users\me']",
        r"['\x', 'b']",
        r"[{'role': '\N'}]",
        "['a\nb' 'c']",
    ],
)
def test_broken_lists_are_no_utterances(text: str) -> None:
    with pytest.raises(InputError, match="a list written as text cannot be read"):
        list_in_text(text)


def test_a_backslash_that_begins_no_escape_is_text() -> None:
    assert list_in_text(r"['a \d b', '\\d \n']") == [r"a \d b", "\\d \n"]
    assert list_in_text(r"[['a \d b'], 'c']") == [[r"a \d b"], "c"]


def test_a_list_as_text_in_a_cell(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"context": [TURNS[:3], TURNS[:1]], "response": ["r", "s"]})
    frame.to_csv(tmp_path / "a.csv")
    frame["context"] = [np.array(one, dtype=object) for one in frame["context"]]
    frame.to_csv(tmp_path / "b.csv", index=False)
    for name in ("a.csv", "b.csv"):
        assert dialogues(tmp_path / name) == [(TURNS[:3], "r"), (TURNS[:1], "s")]


def test_sentences_are_no_tokens(tmp_path: Path) -> None:
    file = lines(
        tmp_path / "a.jsonl",
        {"context": ["a"], "response": ["I am sorry.", "Oh no."]},
        {"context": [["a b", "c"]], "response": "r"},
        {"context": ["a"], "response": "['I am sorry.', 'Oh no.']"},
        {"context": ["a"], "response": [" i"]},
        {"context": ["a"], "response": ["i", "am"]},
    )
    *bad, good = dialogues(file)
    assert all("a token has no white space" in reason for reason in bad)
    assert bad[0].startswith("response, token 0 is 'I am sorry.'")
    assert good == (["a"], ["i", "am"])


Two = tuple[str, str]


def chat(*turns: str, names: Two = ("user", "assistant"), keys: Two = ("role", "content")) -> Any:
    return [{keys[0]: names[i % 2], keys[1]: turn} for i, turn in enumerate(turns)]


@pytest.mark.parametrize(
    ("name", "messages"),
    [("messages", chat(*TURNS)), ("conversations", chat(*TURNS, names=("human", "gpt"), keys=("from", "value")))],
)
@pytest.mark.parametrize("ending", ["jsonl", "parquet", "csv"])
def test_chat_messages(tmp_path: Path, name: str, messages: list[Any], ending: str) -> None:
    rows = [{"id": "x", name: messages}, {"id": "y", name: messages[:3]}]
    file = tmp_path / f"a.{ending}"
    if ending == "jsonl":
        lines(file, *rows)
    elif ending == "parquet":
        parquet.write_table(pa.Table.from_pylist(rows), file)
    else:
        pd = pytest.importorskip("pandas")
        pd.DataFrame(rows).to_csv(file)
    whole, ends_with_user = dialogues(file)
    assert whole == (TURNS[:3], TURNS[3])
    assert "ends with the user's turn" in ends_with_user
    assert dialogues(file, need_response=False) == [(TURNS[:3], None), (TURNS[:3], None)]
    rows_all = rows_of(file, Columns(turns="all"))
    assert [row[2:5] for row in rows_all] == [
        ("x:2", TURNS[:1], TURNS[1]),
        ("x:4", TURNS[:3], TURNS[3]),
        ("y:2", TURNS[:1], TURNS[1]),
    ]
    assert [row[1] for row in rows_all] == [0, 1, 2]
    assert rows_all[0][0] == rows_all[1][0]


def test_chat_messages_that_are_none_of_two_speakers(tmp_path: Path) -> None:
    system = {"role": "system", "content": "You are kind."}
    parts = {"role": "user", "content": [{"type": "text", "text": "a"}]}
    image = {"role": "user", "content": [{"type": "image", "url": "u"}]}
    user, agent = chat("a", "b")
    tool = {"role": "tool", "content": "x"}
    cases = (
        [system, user, agent],
        [parts, agent],
        [user, user, agent],
        [agent, user],
        [user, tool],
        [image, agent],
        [system],
    )
    found = dialogues(lines(tmp_path / "a.jsonl", *({"messages": one} for one in cases)))
    assert found[:2] == [(["a"], "b")] * 2
    wanted = ("turns must alternate", "the user must speak first", "role 'tool'", "that are not text", "no message of")
    assert all(part in reason for part, reason in zip(wanted, found[2:], strict=True))


def test_whole_dialogues_in_a_list(tmp_path: Path) -> None:
    file = lines(tmp_path / "a.jsonl", {"id": 5, "dialog": TURNS, "seed": 3}, {"dialog": TURNS[:1]})
    columns = Columns(context="dialog", turns="all")
    found = rows_of(file, columns)
    assert [row[2:] for row in found[:2]] == [("5:2", TURNS[:1], TURNS[1], 3), ("5:4", TURNS[:3], TURNS[3], 3)]
    assert found[2] == (2, 2, "a dialogue of 1 turns has no turn of the listener")
    assert dialogues(file, Columns(context="dialog", turns="last"))[0] == (TURNS[:3], TURNS[3])
    with pytest.raises(ConfigError, match="turns='first': must be one of last, all"):
        Columns(turns="first")  # type: ignore[arg-type]


def test_daily_dialog(tmp_path: Path) -> None:
    text = "".join(f" {turn} __eou__" for turn in TURNS) + "\n\n" + "Hi ! __eou__ Hello . __eou__\n"
    (tmp_path / "dialogues_text.txt").write_text(text)
    file = tmp_path / "dialogues_text.txt"
    assert dialogues(file) == [(TURNS[:3], TURNS[3]), (["Hi !"], "Hello .")]
    assert [row[:2] for row in rows_of(file)] == [(1, 0), (3, 1)]
    assert dialogues(file, Columns(turns="all"))[:2] == [(TURNS[:1], TURNS[1]), (TURNS[:3], TURNS[3])]
    (tmp_path / "b.txt").write_text("Hi ! <eou> Hello .\n")
    assert dialogues(tmp_path / "b.txt", Columns(separator="<eou>")) == [(["Hi !"], "Hello .")]
    with pytest.raises(DataError, match="neither its name nor its first line"):
        rows_of(tmp_path / "b.txt")
    with pytest.raises(DataError, match="has no columns"):
        rows_of(file, Columns(context="talk"))


@pytest.mark.parametrize("ending", ["json", "jsonl"])
@pytest.mark.parametrize("indent", [None, 1])
def test_one_list_of_objects(tmp_path: Path, ending: str, indent: int | None) -> None:
    rows: list[Any] = [{"id": i, "context": [f"a {i} " + "x" * (i % 97)], "response": "}], [{"} for i in range(3000)]
    (tmp_path / f"a.{ending}").write_text(json.dumps(rows, indent=indent))
    found = rows_of(tmp_path / f"a.{ending}")
    assert [row[:3] for row in found] == [(i + 1, i, i) for i in range(3000)]
    assert found[-1][3:5] == (rows[-1]["context"], "}], [{")


def test_objects_over_several_lines(tmp_path: Path) -> None:
    rows = [{"context": ["a"], "response": "b"}, {"context": ["c"], "response": "d"}]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row, indent=2) for row in rows))
    assert dialogues(tmp_path / "a.jsonl") == [(["a"], "b"), (["c"], "d")]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ('{ "context": ["a"],\n  "id": 1 }\n{ "context": ["b"],\n  "id": 2 }\n', 2),
        ('{"context": [\n"a"]}\r\n\r\n{"context": [\n"b"]}', 2),
        ('{"seed": 1' + "0" * 5000 + ',\n"context": ["a"]}', 1),
        ('[{"context": [\n"a"]},\n{"context":["b"]}]', 2),
        ('[{"context": ["a"]}\n,{"context": ["b"]}\n]', 2),
        ('{"context": ["' + "a " * 100_000 + '",\n"b",\n"c"]}', 1),
        ('{"context": ["' + "a " * 200_000 + '",\n"b",\n"c"]}', 3),  # so long a line is one of many
        ("[\n\n]", 0),
        ('{"context": ["a",\n{"context": ["b"]}\n{"context": ["c"]}\n', 3),
        ('{"context": [\n{"context": ["b"]}', 2),
        ('{"context": ["a"\n', 1),
        ('[{"context": ["a"]}\n{"context": ["b"]}\n', 2),
        ('[{"context": ["a"]}]\n[{"context": ["b"]}]\n', 2),
    ],
)
def test_values_over_lines_and_lines_that_break_off(tmp_path: Path, text: str, count: int) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    assert len(rows_of(tmp_path / "a.jsonl", need_response=False)) == count


def test_lists_of_objects_that_break_off(tmp_path: Path) -> None:
    text = json.dumps([{"context": ["a"], "response": "b"}] * 3)
    cases = (
        (text[:-1], "the list is not closed"),
        (text[:-5], "not JSON"),
        (text + "{}", "follows the list"),
        (text[:-1] + ",3]", "int"),
    )
    for number, (content, reason) in enumerate(cases):
        (tmp_path / f"{number}.json").write_text(content)
        found = dialogues(tmp_path / f"{number}.json")
        assert len(found) == (3 if number == 1 else 4)
        assert reason in found[-1]
    (tmp_path / "whole.json").write_text(json.dumps({"version": 1, "data": [{"context": ["a"]}]}, indent=1))
    with pytest.raises(DataError, match=r"the rows are in 'data' of one object; .*jq -c '.data\[\]'"):
        dialogues(tmp_path / "whole.json")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_nested_names(tmp_path: Path, ending: str) -> None:
    rows = [{"meta": {"id": "x", "n": 1}, "data": {"context": TURNS[:1], "reply": TURNS[1]}}]
    file = tmp_path / f"a.{ending}"
    lines(file, *rows) if ending == "jsonl" else parquet.write_table(pa.Table.from_pylist(rows), file)
    columns = Columns("data.context", "data.reply", "meta.id")
    assert rows_of(file, columns) == [(1, 0, "x", TURNS[:1], TURNS[1], None)]


def test_a_column_of_json_text(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    row = {"context": TURNS[:1], "reply": TURNS[1]}
    pd.DataFrame({"id": ["x"], "data": [json.dumps(row)]}).to_csv(tmp_path / "a.csv")
    columns = Columns("data.context", "data.reply")
    assert rows_of(tmp_path / "a.csv", columns) == [(2, 0, "x", TURNS[:1], TURNS[1], None)]


def test_gaps_are_nan_and_integers_are_floats(tmp_path: Path) -> None:
    table = pa.table(
        {"id": [1.0, float("nan"), 2.5], "context": ["a"] * 3, "response": ["b"] * 3, "seed": [float("nan"), 7.0, None]}
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    first, second, third = rows_of(tmp_path / "a.parquet")
    assert (first[2], first[5], second[2], second[5]) == (1, None, 1, 7)
    assert third[2] == "id=2.5: must be text or an integer"
    (tmp_path / "b.jsonl").write_text('{"context": NaN, "response": "b"}\n{"context": ["a"], "response": NaN}\n')
    without_context, without_response = rows_of(tmp_path / "b.jsonl")
    assert "context is of type float" in without_context[-1]
    assert "no 'response'" in without_response[-1]


def test_seeds_and_emotions_that_some_rows_have(tmp_path: Path) -> None:
    file = lines(tmp_path / "a.jsonl", {"context": ["a"], "response": "b"}, {"context": ["a"], "response": "b", "s": 3})
    assert [row[-1] for row in rows_of(file, Columns(seed="s"))] == [None, 3]
    for columns in (Columns(seed="seeed"), Columns(emotion="emo")):
        with pytest.raises(DataError, match=r"a.jsonl: no '(seeed|emo)' in any of the first 2 rows"):
            rows_of(file, columns)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "list", "spread", "ed"])
def test_a_number_of_more_digits_than_python_takes_is_one_bad_row(tmp_path: Path, kind: str) -> None:
    seeds = ["1", "9" * 5000, "3"]
    header, row, ending = "context,seed", "a,{}", "\n"
    if kind == "ed":
        header = "conv_id,utterance_idx,context,prompt,speaker_idx,utterance"
        row = "c{0:.4},1,sad,p,{0},a\nc{0:.4},2,sad,p,2,b"
    elif kind not in ("csv", "tsv"):
        header, row = "[" if kind == "list" else "", '{{"context": ["a"], "seed": {}}}'
        row, ending = row.replace(", ", ",\n") if kind == "spread" else row, ",\n" if kind == "list" else "\n"
    mark = "\t" if kind == "tsv" else ","
    path = tmp_path / f"a.{'json' if kind in ('list', 'spread') else kind.replace('ed', 'csv')}"
    text = ending.join(row.format(seed) for seed in seeds) + ("]" if kind == "list" else "")
    path.write_text(f"{header}\n{text}".replace(",", mark).lstrip())
    first, *bad, last = rows_of(path, need_response=False)
    assert len(first) == len(last) == 6
    assert all(len(row) == 3 for row in bad) and len(bad) == 1 + (kind == "ed")


def test_a_date_that_python_has_not_is_one_bad_row(tmp_path: Path) -> None:
    for number, far in enumerate((10**12, 10**15)):
        table = pa.table({"context": ["a", "b"], "id": pa.array([far, None], pa.timestamp("s"))})
        parquet.write_table(table, tmp_path / f"{number}.parquet")
        bad, good = rows_of(tmp_path / f"{number}.parquet", need_response=False)
        assert "a value that cannot be read" in bad[-1] and good[3] == ["b"]


NOT_IDS = (2.5, 2.0**53, 1e300, True, ["a"])


def ids_of(path: Path, columns: Columns | None = None) -> list[Any]:
    return [row[2] for row in rows_of(path, columns, need_response=False)]


@pytest.mark.parametrize("kind", ["jsonl", "list", "parquet"])
@pytest.mark.parametrize("turns", [None, "all"])
def test_ids_follow_one_rule_in_every_format(tmp_path: Path, kind: str, turns: Any) -> None:
    """A float that is an integer is that one, a gap is none; what may be another id costs its row only."""
    good = [1.0, float("nan"), None, 3.0, 2.0**53 - 1]
    expected = ["1:2", 1, 2, "3:2", "9007199254740991:2"] if turns else [1, 1, 2, 3, 2**53 - 1]
    bad = [value for value in NOT_IDS if kind != "parquet" or isinstance(value, float)]
    rows = [{"id": value, "context": ["a", "b"] if turns else ["a"]} for value in [*good, *bad, 7]]
    path = tmp_path / f"a.{'json' if kind == 'list' else kind}"
    if kind == "parquet":
        parquet.write_table(pa.table({name: [row[name] for row in rows] for name in ("id", "context")}), path)
    else:
        text = [json.dumps(row) for row in rows]
        path.write_text("[" + ",\n".join(text) + "]" if kind == "list" else "\n".join(text))
    found = ids_of(path, Columns(turns=turns))
    assert found[: len(good)] == expected and found[-1] == ("7:2" if turns else 7)
    told = found[len(good) : -1]
    assert len(told) == len(bad) and all("must be text or an integer" in reason for reason in told)
    assert "from 2^53 on, floats are not exact" in told[1]


def test_a_conversation_without_an_id_is_named(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"conv_id": None, "utterance_idx": 1, "context": "sad", "prompt": "p", "utterance": "a"}
    ]
    rows += [
        {**rows[0], "conv_id": float("nan")},
        {**rows[0], "conv_id": 4.0},
        {**rows[0], "conv_id": 4, "utterance_idx": 2},
    ]
    path = lines(tmp_path / "a.jsonl", *rows)
    assert ids_of(path) == ["no conv_id; the conversation's is expected"] * 2 + ["4:2"]


@pytest.mark.parametrize("columns", [Columns(), UtteranceColumns()])
@pytest.mark.parametrize("orient", ["columns", "split", "index"])
def test_tables_of_pandas_that_are_no_rows_are_named(tmp_path: Path, orient: Any, columns: Columns) -> None:
    """As pandas' to_json writes them by default."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"context": ["a", "b"] * 40, "response": ["c", "d"] * 40})
    for number, indent in enumerate((None, 2)):
        path = tmp_path / f"{number}.json"
        frame.to_json(path, orient=orient, indent=indent)
        with pytest.raises(DataError, match=rf"{number}.json: is one object, .*; to_json\(\.\.\., orient='records'"):
            rows_of(path, columns)
