"""Sheets as spreadsheets save them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mime_fast.errors import DataError
from mime_fast.evaluation.human.sheets import bare, read_sheet, write_sheet
from mime_fast.evaluation.human.study import Study
from tests.evaluation.human.conftest import Quoting, csv_of, rows_of


def test_a_sheet(study: Study) -> None:
    rows = study.sheets["ratings", 2]
    content = write_sheet(study, "ratings", rows)
    assert content.startswith(b'\xef\xbb\xbf"item","context","reply","empathy","relevance","fluency"\r\n')
    first = rows_of(content)[0]
    rated = study.ratings[rows[0].item]
    assert first["item"] == rows[0].id
    assert first["context"] == f"Speaker: {study.instances[rated.instance].context[0]}"
    assert first["reply"] == f"Listener: {study.reply(rated.models[0], rated.instance)}"
    assert [first[name] for name in ("empathy", "relevance", "fluency")] == ["", "", ""]


def test_sides_are_as_planned(study: Study) -> None:
    rows = study.sheets["ab", 1]
    assert {row.swapped for row in rows} == {True, False}
    for row, cells in zip(rows, rows_of(write_sheet(study, "ab", rows)), strict=True):
        compared = study.comparisons[row.item]
        sides = (compared.second, compared.first) if row.swapped else (compared.first, compared.second)
        assert [cells["A"], cells["B"]] == [f"Listener: {study.reply(model, compared.instance)}" for model in sides]


def test_no_cell_is_a_formula(study: Study) -> None:
    study.instances[0].context[0] = "=HYPERLINK(1)"
    for model in study.replies:
        study.replies[model][0] = "+1"
    for kind in ("ratings", "ab"):
        for row in rows_of(write_sheet(study, kind, study.sheets[kind, 1])):
            assert not any(cell[:1] in tuple("=+-@\t") for cell in row.values() if cell)


def test_a_reply_without_words_is_named(study: Study) -> None:
    study.replies["Beta"][1] = ""
    shown = {row["reply"] for row in rows_of(write_sheet(study, "ratings", study.sheets["ratings", 1]))}
    assert "Listener: (no words)" in shown


SAVED: dict[str, tuple[str, str, Quoting, str]] = {
    "as written": (",", "\r\n", csv.QUOTE_ALL, "utf-8-sig"),
    "semicolons": (";", "\r\n", csv.QUOTE_MINIMAL, "utf-8-sig"),
    "plain": (",", "\n", csv.QUOTE_MINIMAL, "utf-8"),
    "tabs": ("\t", "\r\n", csv.QUOTE_MINIMAL, "utf-16"),
    "old": (",", "\r", csv.QUOTE_MINIMAL, "utf-8"),
    "western": (";", "\r\n", csv.QUOTE_MINIMAL, "cp1252"),
}


@pytest.mark.parametrize("saved", SAVED)
def test_what_programs_save(study: Study, tmp_path: Path, saved: str) -> None:
    delimiter, end, quoting, encoding = SAVED[saved]
    rows = rows_of(write_sheet(study, "ab", study.sheets["ab", 1]))
    for number, row in enumerate(rows):
        row["choice"] = ["A", " b ", "TIE"][number % 3]
    path = tmp_path / "sheet.csv"
    path.write_bytes(csv_of(rows, delimiter, end, quoting).encode(encoding, errors="replace"))
    sheet = read_sheet(path)
    assert (sheet.kind, sheet.unread) == ("ab", ())
    assert [record.row for record in sheet.records] == list(range(2, len(rows) + 2))
    for record, row in zip(sheet.records, rows, strict=True):
        assert record.cells["item"] == row["item"]
        assert record.cells["choice"] == row["choice"].strip()
        assert bare(record.cells["context"]) == bare(row["context"])


def test_columns_in_any_order_blank_rows_and_more_columns(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text(
        "Fluency,EMPATHY,relevance,item,reply,context,notes,,\n,,,,,,,,\n5,4,3,x-r1-001,r,c,odd,,\n,,,y,,,,,z\n"
    )
    sheet = read_sheet(path)
    assert [(record.row, record.cells["item"], record.cells["fluency"]) for record in sheet.records] == [
        (3, "x-r1-001", "5"),
        (4, "y", ""),
    ]
    assert sheet.unread == ("notes", "number 9")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "row 1: the columns are none; item, context, reply, empathy.* or item, context, A, B, choice"),
        (b"item,context\n", "row 1: the columns are 'item, context';"),
        (b"item,context,A,B,choice,choice\n", "once each"),
        (b'item,context,A,B,choice\n"x,', "not readable as CSV"),
        (b'item,context,A,B,choice\n"x"y,,,,\n', "not readable as CSV"),
        (b"\x00\xff\x00", "row 1"),
    ],
)
def test_what_is_no_sheet(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "sheet.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=told):
        read_sheet(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_sheet(tmp_path)
