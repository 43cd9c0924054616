"""Random tables, written by the csv module, pandas and pyarrow in many dialects, are read as the same rows."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from mime_fast.data.reading.options import Columns
from tests.data.reading.conftest import rows_of

# What a cell may have in it; every utterance has a word.
ALPHABET = "ab \u00e9\u2019\U0001f600,;|\t\"'\n\\#[]()__eou__"
TEXT = st.text(st.sampled_from(ALPHABET), max_size=12).map(lambda text: f"w{text}".strip())
ROW = st.tuples(st.lists(TEXT, min_size=1, max_size=3).filter(lambda turns: len(turns) % 2 == 1), TEXT)
TABLE = st.lists(ROW, min_size=1, max_size=8)
Row = tuple[list[str], str]
quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def check(rows: list[Row], name: str, write: Callable[[Path], None], **reading: Any) -> None:
    """Write the rows to a file of this name, and read them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path)
        found = rows_of(path, Columns(), **reading)
    assert [(row[3], row[4]) if len(row) > 3 else row for row in found] == [tuple(row) for row in rows]
    assert [row[1] for row in found] == list(range(len(rows)))


def joined(rows: list[Row], mark: str = " __eou__ ") -> list[Row]:
    return [(mark.join(turns), response) for turns, response in rows]  # type: ignore[misc]


def is_plain(rows: list[Row]) -> bool:
    return all("__eou__" not in text for turns, response in rows for text in (*turns, response))


@quick
@given(
    TABLE.filter(is_plain),
    st.sampled_from([",", ";", "|", "\t"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"]),
    st.booleans(),
)
def test_the_csv_module(rows: list[Row], delimiter: str, quoting: int, end: str, encoding: str, packed: bool) -> None:
    def write(path: Path) -> None:
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
        writer.writerows([("n", "response", "context"), *((i, one[1], one[0]) for i, one in enumerate(joined(rows)))])
        content = text.getvalue().encode(encoding)
        path.write_bytes(gzip.compress(content) if packed else content)

    given_encoding = encoding if encoding == "utf-16-le" else "utf-8"
    check(rows, "a.csv", write, encoding=given_encoding, quoting="csv")


@quick
@given(TABLE)
def test_json_lines_and_lists(rows: list[Row]) -> None:
    objects = [{"context": turns, "response": response} for turns, response in rows]
    for ensure_ascii in (False, True):
        lines = "".join(json.dumps(one, ensure_ascii=ensure_ascii) + "\n" for one in objects)
        check(rows, "a.jsonl", lambda path, lines=lines: path.write_text(lines, encoding="utf-8"))  # type: ignore[misc]
        for indent in (None, 1):
            text = json.dumps(objects, ensure_ascii=ensure_ascii, indent=indent)
            check(rows, "a.json", lambda path, text=text: path.write_text(text, encoding="utf-8"))  # type: ignore[misc]


@quick
@given(TABLE, st.sampled_from(["snappy", "zstd", "gzip", "none"]), st.integers(1, 3), st.booleans())
def test_parquet(rows: list[Row], compression: str, group: int, as_dictionary: bool) -> None:
    table = pa.table({"context": [turns for turns, _ in rows], "response": [response for _, response in rows]})
    if as_dictionary:
        table = table.set_column(1, "response", table["response"].dictionary_encode())
    check(rows, "a.pq", lambda path: parquet.write_table(table, path, compression=compression, row_group_size=group))


@quick
@given(TABLE.filter(is_plain), st.sampled_from([",", ";", "\t"]), st.sampled_from(["needed", "all_valid"]))
def test_pyarrow_csv(rows: list[Row], delimiter: str, quoting: str) -> None:
    table = pa.table({"context": [one[0] for one in joined(rows, "__eou__")], "response": [one[1] for one in rows]})
    options = arrow_csv.WriteOptions(delimiter=delimiter, quoting_style=quoting)
    check(rows, "a.csv", lambda path: arrow_csv.write_csv(table, path, options), quoting="csv")


@quick
@given(TABLE, st.sampled_from([",", ";", "\t", "|"]), st.sampled_from([0, 1, 2]), st.booleans())
def test_pandas_with_lists_in_cells(rows: list[Row], delimiter: str, quoting: int, index: bool) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"context": [turns for turns, _ in rows], "response": [response for _, response in rows]})
    check(rows, "a.csv", lambda path: frame.to_csv(path, sep=delimiter, quoting=quoting, index=index), quoting="csv")
    check(rows, "a.jsonl", lambda path: frame.to_json(path, orient="records", lines=True))
    check(rows, "a.json", lambda path: frame.to_json(path, orient="records", indent=2))
    check(rows, "a.parquet", frame.to_parquet)


@quick
@given(TABLE.filter(is_plain))
def test_without_quotes(rows: list[Row]) -> None:
    def one_line(text: str) -> str:
        return text.replace("\t", " ").replace("\n", " ").strip()

    flat = [([one_line(turn) for turn in turns], one_line(response)) for turns, response in rows]
    lines = [f"{' __eou__ '.join(turns)}\t{response}" for turns, response in flat]
    text = "\n".join(["context\tresponse", *lines])
    check(flat, "a.tsv", lambda path: path.write_text(text, encoding="utf-8"), quoting="none")  # type: ignore[arg-type]
