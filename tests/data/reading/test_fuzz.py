"""Files with random damage: rows, bad rows or one clear error; nothing else is raised, and numbers go up."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from mime_fast.data.empathetic_dialogues import read_pairs
from mime_fast.data.reading.options import Columns, Turns
from mime_fast.data.reading.rows import RawRow
from mime_fast.errors import MimeFastError
from tests.data.reading.conftest import rows_of

ROWS = [{"id": i, "context": ["a b", "c", f"d {i}"], "response": 'e "f", g'} for i in range(40)]
CHAT = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}] * 20
ED = "conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags\n" + "".join(
    f"c{i},{k},sad,p,{k},u_comma_ {i},5|5,\n" for i in range(10) for k in (1, 2, 3, 4)
)


def contents() -> dict[str, bytes]:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    table = "id,context,response\n" + "".join(f'{i},"a, b\nc __eou__ d __eou__ e","say ""f"""\n' for i in range(40))
    packed = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(ROWS), packed, row_group_size=10)
    return {
        "a.jsonl": lines,
        "chat.jsonl": "".join(json.dumps(row) + "\n" for row in CHAT).encode(),
        "a.json": json.dumps(ROWS, indent=1).encode(),
        "a.csv": table.encode(),
        "wide.csv": table.encode("utf-16"),
        "lists.csv": b"context,response\n" + b"\"['say \\\\ b', 'c', 'd']\",e\n" * 40,
        "a.tsv": "".join(f"{a}\t{b}\n" for a, b in [("context", "response"), *[("a", "b")] * 40]).encode(),
        "a.jsonl.gz": gzip.compress(lines),
        "a.jsonl.zst": pa.Codec("zstd").compress(lines, asbytes=True),
        "a.parquet": packed.getvalue(),
        "a.txt": b"a __eou__ b __eou__\n" * 40,
        "ed.csv": ED.encode(),
    }


CONTENTS = contents()
EDIT = st.tuples(
    st.integers(0, 10**6), st.integers(0, 30), st.binary(max_size=30) | st.sampled_from([b'"', b"\n", b",", b"\t"])
)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("name", CONTENTS)
@given(st.lists(EDIT, max_size=4), st.sampled_from([None, "last", "all"]))
@example([(0, 0, b"sep=\xa7\n")], None)
@example([(0, 0, b"sep=\0\n")], None)
@example([(26, 1, b"u")], None)
def test_damaged_files(name: str, edits: list[tuple[int, int, bytes]], turns: Turns | None) -> None:
    content = CONTENTS[name]
    for place, length, piece in edits:
        at = place % (len(content) + 1)
        content = content[:at] + piece + content[at + length :]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        try:
            found = rows_of(Path(folder) / name, Columns(turns=turns), max_row_bytes=2000)
        except MimeFastError as error:
            assert name in str(error) and "\n" not in str(error)
        else:
            assert [row[1] for row in found] == list(range(len(found)))
            assert [row[0] for row in found] == sorted(row[0] for row in found)
        try:
            read_pairs(Path(folder) / name, "valid")
        except MimeFastError as error:
            assert name in str(error)


def test_what_is_written_is_read_whole_without_damage(tmp_path: Path) -> None:
    counts = {}
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
        counts[name] = sum(len(row) > 3 for row in rows_of(tmp_path / name))
    assert counts == dict.fromkeys(CONTENTS, 40) | {"chat.jsonl": 20, "ed.csv": 20}


def test_raw_rows_say_what_they_were() -> None:
    assert RawRow("f", 1, 0, b"\xff{}\r\n").text() == "\udcff{}"
