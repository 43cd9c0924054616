"""Tables that people have: quotes that are none, long cells, delimiters, encodings, headers; no row is lost."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from mime_fast.data.reading.options import Columns
from mime_fast.data.reading.reader import Reader
from mime_fast.data.reading.rows import check
from mime_fast.data.reading.sources import find_sources
from mime_fast.errors import ConfigError, DataError
from tests.data.reading.conftest import rows_of


def table(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def texts(rows: list[Any]) -> list[Any]:
    return [row[-1] if len(row) == 3 else (row[3], row[4]) for row in rows]


STRAY = 'context\tresponse\na\tb\n"c said it\td\ne\tf\n"g\th\n'


def test_a_stray_quote_swallows_no_row(tmp_path: Path) -> None:
    file = table(tmp_path / "a.tsv", STRAY)
    with pytest.raises(DataError, match=r"a.tsv, line 3: a quote opens a cell .* line 5.*--quoting none"):
        rows_of(file)
    assert [row[3:5] for row in rows_of(file, quoting="none")] == [
        (["a"], "b"),
        (['"c said it'], "d"),
        (["e"], "f"),
        (['"g'], "h"),
    ]


def test_a_quote_that_is_never_closed_is_named_by_its_first_line(tmp_path: Path) -> None:
    for name, mark in (("a.csv", ","), ("a.tsv", "\t")):
        file = table(tmp_path / name, 'context,response\na,b\n"c,d\ne,f\ng,h\n'.replace(",", mark))
        with pytest.raises(DataError, match=r", line 3: a quote opens a cell that is not closed"):
            rows_of(file)


def test_a_quote_that_closes_in_a_later_row_is_an_error(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", 'context,response\na,b\n"c,d\ne,f"\ng,h\n')
    with pytest.raises(DataError, match=r"line 3: a cell in quotes goes on to line 4, and the row has 1 cells; 2"):
        rows_of(file)


def test_tabs_and_line_breaks_in_one_quoted_cell_are_doubtful_in_tsv(tmp_path: Path) -> None:
    file = table(tmp_path / "a.tsv", 'context\tresponse\n"a\tb\nc"\td\n')
    with pytest.raises(DataError, match=r"line 2: a cell in quotes goes on to line 3, .*look like rows.*--quoting csv"):
        rows_of(file)
    assert texts(rows_of(file, quoting="csv")) == [(["a\tb\nc"], "d")]
    spaced = table(tmp_path / "c.tsv", 'context\tresponse\n"hello there\t so what\nbye now"\t see you\n')
    with pytest.raises(DataError, match=r"line 2: a cell in quotes goes on to line 3, .*look like rows"):
        rows_of(spaced)  # as prose after a comma
    assert texts(rows_of(table(tmp_path / "b.tsv", 'context\tresponse\n"a\nc"\t"d\te"\n'))) == [(["a\nc"], "d\te")]


def test_two_stray_quotes_make_no_row_of_several(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", 'context,response\na,b\n"I lost it,oh no\nso sad,why ?\nis it",fine\ng,h\n')
    with pytest.raises(DataError, match=r"line 3: a cell in quotes goes on to line 5, and its lines look like rows"):
        rows_of(file)
    assert len(rows_of(file, quoting="none")) == 5
    assert texts(rows_of(file, quoting="csv"))[1] == (["I lost it,oh no\nso sad,why ?\nis it"], "fine")
    prose = table(tmp_path / "b.csv", 'context,response\n"Dear Sir, hi\nbye",fine\n"a,b,c\nd",e\n')
    assert texts(rows_of(prose)) == [(["Dear Sir, hi\nbye"], "fine"), (["a,b,c\nd"], "e")]


def test_quotes_within_one_line_cost_one_row(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", 'context,response\n"Well" she said,b\nsay "x" now,d\n"e ""f""",g\n')
    first, *others = rows_of(file)
    assert first[:2] == (2, 0)
    assert "quotes" in first[2] and "--quoting none" in first[2]
    assert texts(others) == [(['say "x" now'], "d"), (['e "f"'], "g")]


def test_long_cells_with_line_breaks_are_one_row(tmp_path: Path) -> None:
    cell = "\n".join(["word " * 50] * 600)  # 150,000 characters
    file = tmp_path / "a.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([["context", "response"], ["a", "b"], [cell, "c"], ["d", "e"]])
    found = rows_of(file)
    assert texts(found) == [(["a"], "b"), ([cell.strip()], "c"), (["d"], "e")]
    assert [row[:2] for row in found] == [(2, 0), (3, 1), (603, 2)]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_line_over_the_limit_is_one_bad_row(tmp_path: Path, name: str) -> None:
    lines = ["context,response", "a,b", "x" * 500 + ",c", "d,e"]
    if name == "a.jsonl":
        lines = [f'{{"context": ["{line.split(",")[0]}"], "response": "r"}}' for line in lines[1:]]
    found = rows_of(table(tmp_path / name, "\n".join(lines)), max_row_bytes=200)
    assert [row[1] for row in found] == [0, 1, 2]
    assert found[1][2] == "longer than 200 bytes (--max-row-bytes)"
    assert [len(row) for row in found] == [6, 3, 6]


def test_a_line_of_just_the_limit_is_good(tmp_path: Path) -> None:
    """Its line feed is not counted."""
    lines = [f'{{"context": ["{"x" * count}"], "response": "r"}}' for count in (100, 101, 100)]
    found = rows_of(table(tmp_path / "a.jsonl", "\n".join(lines)), max_row_bytes=len(lines[0]))
    assert [len(row) for row in found] == [6, 3, 6]


def test_a_quoted_cell_over_the_limit_stops_and_is_named(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", 'context,response\n"' + "x\n" * 500 + '",c\n')
    with pytest.raises(DataError, match=r"line 2: a quote opens a cell .* longer than 200 bytes \(--max-row-bytes\)"):
        rows_of(file, max_row_bytes=200)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_delimiter_is_that_of_the_header(tmp_path: Path, mark: str) -> None:
    text = f"id{mark}context{mark}response\nx{mark}a b{mark}c d\n"
    for name in ("a.csv", "a.tsv", "A.CSV"):
        assert rows_of(table(tmp_path / name, text)) == [(2, 0, "x", ["a b"], "c d", None)]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_cells_of_the_header_may_have_line_breaks(tmp_path: Path, mark: str) -> None:
    text = f'"some\n\nnote"{mark}context{mark}"the\nanswer"\nx{mark}a{mark}b\n'
    columns = Columns(response="the\nanswer")
    assert rows_of(table(tmp_path / "a.csv", text), columns) == [(5, 0, 0, ["a"], "b", None)]
    rest = f"x{mark}a{mark}b\n" * 20_000
    with pytest.raises(DataError, match=r"no column 'context'; there is 'some'$"):
        rows_of(table(tmp_path / "b.csv", f'"some\nnote{mark}context\n{rest}'))
    with pytest.raises(DataError, match=r"b.csv, line 1: a quote opens a cell that is not closed"):
        rows_of(table(tmp_path / "b.csv", f'context{mark}response{mark}"note\n{rest}'))


def test_delimiters_that_are_said(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", "sep=;\r\ncontext;response\r\na,b;c\r\n")
    assert rows_of(file) == [(3, 0, 0, ["a,b"], "c", None)]
    assert rows_of(table(tmp_path / "b.csv", "context:response\na:b\n"), delimiter=":") == [(2, 0, 0, ["a"], "b", None)]
    with pytest.raises(DataError, match="no column 'context'; there is 'context:response'"):
        rows_of(tmp_path / "b.csv")
    for wrong in (";;", "", '"', "\n"):
        with pytest.raises(ConfigError, match="delimiter"):
            rows_of(file, delimiter=wrong)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_byte_order_marks_are_obeyed(tmp_path: Path, encoding: str, name: str) -> None:
    text = 'context,response\n"caf\u00e9",\u201cd\u201d\n'
    if name == "a.jsonl":
        text = '{"context": ["caf\u00e9"], "response": "\u201cd\u201d"}\n'
    assert texts(rows_of(table(tmp_path / name, text, encoding))) == [(["caf\u00e9"], "\u201cd\u201d")]


def test_other_encodings_are_named_in_the_message_and_read(tmp_path: Path) -> None:
    text = "context,response\na \u2019 b,c\nd,e\n"
    for name, encoding in (("a.csv", "utf-16-le"), ("b.csv", "utf-16-be"), ("c.csv", "utf-32-le")):
        file = table(tmp_path / name, text, encoding)
        with pytest.raises(DataError, match=f"looks like {encoding}; --encoding {encoding} reads it"):
            rows_of(file)
        assert texts(rows_of(file, encoding=encoding)) == [(["a \u2019 b"], "c"), (["d"], "e")]
    with pytest.raises(ConfigError, match="encoding='klingon': must be one that Python knows"):
        rows_of(file, encoding="klingon")
    with pytest.raises(ConfigError, match="encoding"):
        rows_of(file, encoding="base64")


@pytest.mark.parametrize("content", ["utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a"])
def test_wide_encodings_need_a_mark_or_an_order_of_bytes(tmp_path: Path, name: str, content: str) -> None:
    text = '{"context": ["a"]}\n' * 20_000 if name == "a.jsonl" else "context,response\n" + "a,b\n" * 100_000
    file = table(tmp_path / name, text, content)
    for encoding in ("utf-16", "utf-32"):
        with pytest.raises(
            DataError, match=f"{name}: does not begin with a byte order mark.*{encoding}-le or {encoding}-be"
        ):
            rows_of(file, encoding=encoding)
    with pytest.raises(DataError, match=f"{name}: cannot be read as idna "):
        rows_of(file, encoding="idna")
    assert rows_of(table(tmp_path / "empty.csv", ""), encoding="utf-16") == []


IN_EVERY_FORMAT = {
    "a.csv": "context,response\na \u2019 b,c\nd,e\n",
    "quoted.csv": 'context,response\n"a \u2019 b",c\nd,e\n',
    "a.tsv": "context\tresponse\na \u2019 b\tc\nd\te\n",
    "a.jsonl": '{"context": ["a \u2019 b"], "response": "c"}\n{"context": ["d"], "response": "e"}\n',
    "list.json": '[{"context": ["a \u2019 b"], "response": "c"},\n{"context": ["d"], "response": "e"}]',
    "a.txt": "a \u2019 b __eou__ c __eou__\nd __eou__ e __eou__\n",
    "ed.csv": "conv_id,utterance_idx,context,prompt,utterance\n"
    "1,1,sad,p,a \u2019 b\n1,2,sad,p,c\n2,1,sad,p,d\n2,2,sad,p,e\n",
}


@pytest.mark.parametrize("name", IN_EVERY_FORMAT)
def test_another_encoding_is_named_in_every_format_and_read(tmp_path: Path, name: str) -> None:
    file = table(tmp_path / name, IN_EVERY_FORMAT[name], "cp1252")
    bad, *others, good = texts(rows_of(file))
    assert "invalid UTF-8" in bad and "what --encoding names: cp1252 would read '\u2019'" in bad
    assert good == (["d"], "e") and len(others) == (name == "ed.csv")
    assert texts(rows_of(file, encoding="cp1252")) == [(["a \u2019 b"], "c"), (["d"], "e")]


def test_a_byte_that_the_encoding_has_not_is_one_bad_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"context,response\na\x81,b\n\xe9,d\n")
    bad, good = texts(rows_of(tmp_path / "a.csv", encoding="cp1252"))
    assert "invalid" in bad
    assert good == (["\u00e9"], "d")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_carriage_returns_end_lines_where_there_are_no_line_feeds(tmp_path: Path, name: str) -> None:
    text = "context,response\ra,b\rc,d\r"
    if name == "a.jsonl":
        text = '{"context": ["a"], "response": "b"}\r{"context": ["c"], "response": "d"}'
    assert texts(rows_of(table(tmp_path / name, text))) == [(["a"], "b"), (["c"], "d")]


def test_blank_rows_of_commas_do_not_count(tmp_path: Path) -> None:
    found = rows_of(table(tmp_path / "a.csv", "id,context,response\n,,\nx,a,b\n\n,,,,\n,,\ny,c,d\n"))
    assert [(row[0], row[1], row[2]) for row in found] == [(3, 0, "x"), (7, 1, "y")]


def test_columns_asked_for_must_be_there(tmp_path: Path) -> None:
    csv_file = table(tmp_path / "a.csv", "id,context,response\nx,a,b\n")
    for columns in (Columns(id="ident"), Columns(seed="ident"), Columns(response="ident"), Columns(emotion="ident")):
        with pytest.raises(DataError, match="no column 'ident'; there is 'id', 'context', 'response'"):
            rows_of(csv_file, columns)
    lines = table(tmp_path / "a.jsonl", '{"id": "x", "context": ["a"], "response": "b"}\n')
    for columns in (Columns(id="ident"), Columns(context="ident"), Columns(seed="ident")):
        with pytest.raises(DataError, match=r"a\.jsonl: no 'ident' in any of the first 1 rows"):
            rows_of(lines, columns)
    lines.write_text('{"context": ["a"], "response": "b"}\n{"n": 1, "context": ["a"], "response": "b"}\n')
    first, second = rows_of(lines, Columns(id="n"))
    assert (first[-1], second[2]) == ("no 'n'; every row must have it, since it was asked for by name", 1)


def test_a_wanted_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the header has 'response' twice; must have it once"):
        rows_of(table(tmp_path / "a.csv", "context,response,response\na,b,c\n"))
    assert texts(rows_of(table(tmp_path / "b.csv", "context,response,x,x\na,b,c,d\n"))) == [(["a"], "b")]


def test_all_headers_are_looked_at_before_the_first_row(tmp_path: Path) -> None:
    table(tmp_path / "a.csv", "context,response\na,b\n")
    table(tmp_path / "b.csv", "talk,answer\nc,d\n")
    with pytest.raises(DataError, match=r"b.csv: no column 'context'; there is 'talk', 'answer'"):
        next(iter(Reader(find_sources(tmp_path), Columns())))


def test_a_separator_that_never_comes_is_refused(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", "context,response\na || b || c,d\n")
    assert texts(rows_of(file, Columns(separator="||"))) == [(["a", "b", "c"], "d")]
    with pytest.raises(DataError, match=r"the separator '<eou>' is in none of the first 1 contexts"):
        rows_of(file, Columns(separator="<eou>"))
    with pytest.raises(ConfigError, match="separator is empty"):
        Columns(separator="")


@pytest.mark.parametrize("columns", [Columns(id="key"), Columns(separator="||")])
def test_a_thousand_rows_are_looked_at(tmp_path: Path, columns: Columns) -> None:
    """For what is in only one row; those of several files count together."""

    def first_row(*files: int, place: int) -> object:
        rows = ['{"context": "a"}\n'] * sum(files)
        rows[place - 1] = '{"context": "a || b || c", "key": "x"}\n'
        for number, count in enumerate(files):
            before = sum(files[:number])
            (tmp_path / f"{number}.jsonl").write_text("".join(rows[before : before + count]))
        return next(iter(Reader(find_sources(tmp_path), columns)))

    for files in ((1001,), (600, 401)):
        assert first_row(*files, place=1000)
        with pytest.raises(DataError, match=r"first 1000 (rows|contexts)"):
            first_row(*files, place=1001)


def test_emotions_are_read_only_where_they_are_asked_for(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", "context,response,emotion\na,b,3\nc,d,sad\n")
    for columns, expected in ((Columns(), [None, None]), (Columns(emotion="emotion"), [3, "sad"])):
        rows = [
            check(raw, columns, need_response=True, strict_turns=True) for raw in Reader(find_sources(file), columns)
        ]
        assert [row.emotion for row in rows] == expected  # type: ignore[union-attr]


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_emotions_that_are_not_read_are_told(tmp_path: Path, ending: str) -> None:
    text = "context,emotion\na,3\n" if ending == "csv" else '{"context": ["a"], "emotion": 3}\n'
    file = table(tmp_path / f"a.{ending}", text)
    for columns, count in ((Columns(), 1), (Columns(emotion="emotion"), 0)):
        told: list[str] = []
        assert len(list(Reader(find_sources(file), columns, tell=told.append))) == 1
        assert len(told) == count
        assert all("'emotion' is not read; --emotion-column emotion" in line for line in told)


def test_seeds_of_tables(tmp_path: Path) -> None:
    found = rows_of(table(tmp_path / "a.csv", "context,response,seed\na,b,7\na,b,7.0\na,b,\na,b,NaN\na,b,7.5\na,b,x\n"))
    assert [row[-1] for row in found[:4]] == [7, 7, None, None]
    assert [row[-1] for row in found[4:]] == [
        f"seed={seed!r}: must be an integer from 0 to 2^64 - 1" for seed in ("7.5", "x")
    ]
