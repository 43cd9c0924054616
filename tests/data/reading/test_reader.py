"""Every kind of input, and what people's files have in them."""

from __future__ import annotations

import gzip
import io
import json
import os
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from mime_fast.data.dialogues import Row
from mime_fast.data.reading.options import Columns, Reading
from mime_fast.data.reading.reader import Reader
from mime_fast.data.reading.rows import BadRow, check
from mime_fast.data.reading.sources import find_sources
from mime_fast.errors import ConfigError, DataError
from tests.data.reading.conftest import rows_of

ROWS: list[dict[str, Any]] = [
    {"id": "a", "context": ["hello there", "hi", "so sad"], "response": "why ?", "seed": 7},
    {"id": "b", "context": ["one"], "response": 'two, "three"\nfour', "seed": None},
]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
ED = "conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags\n"


def read(inputs: Any, columns: Columns | None = None, **options: Any) -> list[Row | BadRow]:
    columns = columns or Columns()
    reader = Reader(find_sources(inputs if isinstance(inputs, list) else str(inputs), Reading(**options)), columns)
    return [check(raw, columns, need_response=True, strict_turns=True) for raw in reader]


def plain(rows: list[Row | BadRow]) -> list[Any]:
    return [row.reason if isinstance(row, BadRow) else (row.id, row.context, row.response, row.seed) for row in rows]


EXPECTED = [(row["id"], row["context"], row["response"], row["seed"]) for row in ROWS]


def write(path: Path, kind: str) -> Path:
    if kind == "jsonl":
        path.write_bytes(LINES)
    elif kind == "gz":
        path.write_bytes(gzip.compress(LINES))
    elif kind == "zst":
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(LINES)
    elif kind == "parquet":
        parquet.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        mark = "\t" if kind == "tsv" else ","
        table = [
            "id,context,response,seed",
            "a,hello there __eou__ hi__eou__so sad,why ?,7",
            'b,one,"two, ""three""\nfour",',
        ]
        path.write_text("\n".join(table).replace(",", mark).replace(f"two{mark}", "two,") + "\n")
    return path


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.gz", "r.jsonl.zst", "r.parquet", "r.csv", "r.tsv", "r.txt"])
def test_every_format(tmp_path: Path, name: str) -> None:
    kind = name.rpartition(".")[2]
    found = read(write(tmp_path / name, "jsonl" if kind == "txt" else kind))
    assert plain(found) == EXPECTED


def test_folders_globs_and_lists(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.parquet", "c.jsonl.gz", "_manifest.json", ".hidden.jsonl", "notes.txt"):
        write(tmp_path / name, "gz" if name.endswith("gz") else name.rpartition(".")[2].replace("txt", "jsonl"))
    whole = Reader(find_sources(str(tmp_path)), Columns())
    seen = [(Path(raw.file).name, raw.row, raw.index) for raw in whole]
    assert seen == [
        (name, row, 2 * i + row - 1) for i, name in enumerate(("a.parquet", "b.jsonl", "c.jsonl.gz")) for row in (1, 2)
    ]
    assert whole.fraction() == 1.0
    assert whole.estimated_rows() == whole.read == 6
    assert plain(read(f"{tmp_path}/*.jsonl")) == EXPECTED
    assert plain(read([f"{tmp_path}/b.jsonl", f"{tmp_path}/b.jsonl"])) == EXPECTED * 2
    for missing in ("none.jsonl", "*.none"):
        with pytest.raises(DataError, match="none"):
            read(tmp_path / missing)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no file of a corpus"):
        read(tmp_path / "empty")


def test_standard_input_may_be_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (LINES, gzip.compress(LINES)):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert plain(read("-")) == EXPECTED
    with pytest.raises(ConfigError, match="standard input cannot be Parquet"):
        read("-", format="parquet")


def test_standard_input_that_does_not_block_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with os.fdopen(reading) as stdin, os.fdopen(writing, "wb") as pipe:
        monkeypatch.setattr("sys.stdin", stdin)

        def feed() -> None:
            pipe.write(LINES)
            pipe.close()

        writer = threading.Timer(0.2, feed)
        writer.start()
        assert plain(read("-")) == EXPECTED
        writer.join()


def test_columns_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("n,talk,answer\n1,a | b | c,d\n")
    columns = Columns("talk", "answer", "n", separator="|")
    assert plain(read(tmp_path / "t.csv", columns)) == [("1", ["a", "b", "c"], "d", None)]
    with pytest.raises(DataError, match=r"t.csv: no column 'context'; there is 'n', 'talk', 'answer'"):
        read(tmp_path / "t.csv")


def test_empathetic_dialogues(tmp_path: Path) -> None:
    lines = ["c:1,1,sad,p,1,i lost_comma_ it,5|5,", "c:1,2,sad,p,2,oh no,5|5,", "c:1,3,sad,p,1,yes,5|5,"]
    lines += ["c:1,4,sad,p,2,sorry,5|5,", "c:2,2,sad,p,2,early,5|5,", "c:3,1,sad,p,1,new,5|5,", "c:3,2,sad,p,2,ok,5|5,"]
    (tmp_path / "test.csv").write_text(ED + "\n".join(lines) + "\n")
    found = plain(read(tmp_path / "test.csv"))
    assert found[0] == ("c:1:2", ["i lost, it"], "oh no", None)
    assert found[1] == ("c:1:4", ["i lost, it", "oh no", "yes"], "sorry", None)
    assert "out of order" in found[2]
    assert found[3] == ("c:3:2", ["new"], "ok", None)


def test_hostile_lines(tmp_path: Path) -> None:
    good = LINES.splitlines()[0]
    hostile = [b"\xef\xbb\xbf" + good + b"\r", b"", good.replace(b"why", b"w\x00hy"), b'{"context": ["\xff"]}']
    hostile += [b'{"context": ["' + b"a " * 5_000_000 + b'"', b'{"context": {"a": [1]}, "response": "x"}']
    hostile += [
        b"[" * 100_000,
        b'{"context": [[["a"]]], "response": "x"}',
        b'{"context": ["\\ud800"], "response": "x"}',
    ]
    (tmp_path / "h.jsonl").write_bytes(b"\n".join(hostile))
    found = read(tmp_path / "h.jsonl")
    bad = {row.row: row.reason for row in found if isinstance(row, BadRow)}
    assert sorted(bad) == [3, 4, 5, 6, 7, 8, 9]
    assert "not JSON" in bad[3] and "invalid UTF-8" in bad[4] and "not JSON" in bad[5]
    assert "of type dict" in bad[6] and "recursion" in bad[7].lower() and "lone surrogate" in bad[9]
    for row in found:
        if isinstance(row, BadRow):
            values = json.loads(row.json_line())
            assert values["raw"].encode(errors="surrogateescape").rstrip(b"\r") == hostile[row.row - 1]


def test_hostile_tables(tmp_path: Path) -> None:
    table = b"\xef\xbb\xbfcontext,response\r\na,b\r\n\xff,b\r\nonly\r\n\r\na\x00b,c\r\n" + b"x" * 200_000 + b",y\r\nz,w"
    (tmp_path / "h.csv").write_bytes(table)
    found = plain(read(tmp_path / "h.csv"))
    assert found[0] == (0, ["a"], "b", None)
    assert "invalid UTF-8" in found[1] and "1 cells; 2 are expected" in found[2]
    assert found[4] == (4, ["x" * 200_000], "y", None)
    assert found[5] == (5, ["z"], "w", None)


@pytest.mark.parametrize(
    ("column", "values", "shown"),
    [
        ("response", pa.array([b"ok", b"caf\xe9"]).view(pa.string()), "caf\udce9"),
        (
            "context",
            pa.ListArray.from_arrays([0, 1, 3], pa.array([b"a", b"b", b"\xff"]).view(pa.string())),
            ["b", "\udcff"],
        ),
        ("emotion", pa.array([0, 10**9], pa.date32()), "<value out of range: 1000000000>"),
    ],
)
def test_a_parquet_row_that_cannot_be_read_is_shown(tmp_path: Path, column: str, values: Any, shown: Any) -> None:
    """With its id; bytes that are not UTF-8 as lone surrogates, a date that Python lacks as Arrow writes it."""
    table = {"id": ["first", "second"], "context": ["a", "b"], "response": ["c", "d"], column: values}
    parquet.write_table(pa.table(table), tmp_path / "a.parquet")
    _, bad = read(tmp_path, Columns(emotion=column if column == "emotion" else None))
    assert isinstance(bad, BadRow) and bad.id == "second"
    raw = json.loads(bad.raw)
    assert raw["id"] == "second"
    assert raw[column] == shown


def test_hostile_packed_and_parquet_files(tmp_path: Path) -> None:
    many = LINES * 5000
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(many)[:-2000])
    with pa.CompressedOutputStream(str(tmp_path / "b.jsonl.zst"), "zstd") as stream:
        stream.write(many)
    cut = (tmp_path / "b.jsonl.zst").read_bytes()[:-3]
    (tmp_path / "b.jsonl.zst").write_bytes(cut)
    (tmp_path / "c.parquet").write_bytes(b"")
    (tmp_path / "d.parquet").write_bytes(b"PAR1 and no more PAR1")
    (tmp_path / "e.jsonl").write_bytes(b"")
    parquet.write_table(pa.table({"context": [1, 2], "response": [0.5, None]}), tmp_path / "f.parquet")
    broken = pa.array([b"ok", b"\xff"]).cast(pa.binary()).view(pa.string())
    parquet.write_table(pa.table({"context": broken, "response": ["x", "y"]}), tmp_path / "g.parquet")
    found = read(tmp_path)
    by_file = {
        name: [row for row in found if isinstance(row, BadRow) and row.file.endswith(name)]
        for name in ("a.jsonl.gz", "b.jsonl.zst", "c.parquet", "d.parquet", "f.parquet", "g.parquet")
    }
    assert {name: len(rows) for name, rows in by_file.items()} == dict(zip(by_file, [1, 1, 1, 1, 2, 1], strict=True))
    assert "ends early" in by_file["a.jsonl.gz"][0].reason and "ends early" in by_file["b.jsonl.zst"][0].reason
    assert "of type int" in by_file["f.parquet"][0].reason
    assert "UTF-8" in by_file["g.parquet"][0].reason
    assert [row.index for row in found] == list(range(len(found)))
    assert isinstance(found[-2], Row)


@pytest.mark.parametrize("is_list", [False, True])
def test_a_name_that_comes_twice_in_an_object_is_not_read(tmp_path: Path, is_list: bool) -> None:
    rows = [
        '{"id": 1, "context": ["a"], "context": ["b"]}',
        '{"id": 2, "id": 3, "context": ["a"]}',
        '{"id": 4, "messages": [{"role": "user", "content": "a", "content": "b"}]}',
        json.dumps({"id": 5, "context": '[{"role": "user", "content": "a", "content": "b"}]'}),
        '{"id": 6, "context": ["a"], "response": "b", "response": "c"}',
        '{"id": 7, "context": ["a"], "other": 1, "other": 2}',
    ]
    (tmp_path / "a.json").write_text("[" + ",\n".join(rows) + "]" if is_list else "\n".join(rows))
    *bad, without_response, good = rows_of(tmp_path / "a.json", need_response=False)
    assert all("2 values of one name" in row[-1] for row in bad)
    assert (without_response[2:5], good[2:5]) == ((6, ["a"], None), (7, ["a"], None))
    assert "response is 2 values of one name ('b', 'c')" in rows_of(tmp_path / "a.json")[4][-1]
