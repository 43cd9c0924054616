"""Filled sheets: good ones are read in full, and every bad or missing cell is named."""

from __future__ import annotations

import pytest

from mime_fast.evaluation.human.study import Study
from tests.evaluation.human.conftest import Desk, choose, fill


def told(desk: Desk) -> list[str]:
    return [str(fault).replace(f"{desk.folder}/", "") for fault in desk.collect().faults]


def test_full_sheets_have_no_fault(desk: Desk, study: Study) -> None:
    answers = desk.collect()
    assert (answers.faults, answers.notes) == ([], [])
    assert len(answers.ratings) == 3 * len(study.ratings) and len(answers.choices) == 3 * len(study.comparisons)
    for (annotator, item), given in answers.ratings.items():
        row = next(row for row in study.sheets["ratings", annotator] if row.item == item)
        assert list(given.values()) == list(desk.rate(annotator, row))
    assert set(answers.choices.values()) == {"win"}  # Alpha is the first of both pairs, whatever its side


@pytest.mark.parametrize(("model", "outcome"), [("Beta", "lose"), (None, "tie")])
def test_a_choice_is_unblinded(desk: Desk, study: Study, model: str | None, outcome: str) -> None:
    for annotator in (1, 2, 3):
        desk.sheets[f"ab-{annotator}.csv"] = fill(study, "ab", annotator, lambda _, row: [choose(study, model)(row)])
    for (_, item), found in desk.collect().choices.items():
        assert found == (outcome if study.comparisons[item].second == "Beta" or model is None else "tie")


@pytest.mark.parametrize("value", ["6", "0", "-1", "3.5", "3,5", "4.0", "five", "\u0663", "1 2", "=4"])
def test_a_rating_that_is_none(desk: Desk, value: str) -> None:
    desk.sheets["ratings-2.csv"][4]["relevance"] = value
    assert told(desk) == [f"ratings-2.csv, row 6, column relevance: {value!r} came; must be 1, 2, 3, 4 or 5"]


@pytest.mark.parametrize("value", ["C", "A B", "both", "1"])
def test_a_choice_that_is_none(desk: Desk, value: str) -> None:
    desk.sheets["ab-3.csv"][0]["choice"] = value
    assert told(desk) == [f"ab-3.csv, row 2, column choice: {value!r} came; must be A, B or tie"]


def test_empty_cells_of_a_row_are_one_fault(desk: Desk) -> None:
    desk.sheets["ratings-1.csv"][1] |= {"empathy": "", "fluency": " "}
    desk.sheets["ab-1.csv"][2]["choice"] = ""
    assert told(desk) == [
        "ratings-1.csv, row 3, column empathy, fluency: empty; 1, 2, 3, 4 or 5 is expected",
        "ab-1.csv, row 4, column choice: empty; A, B or tie is expected",
    ]
    answers = desk.collect()
    assert sum(len(given) for given in answers.ratings.values()) == 3 * 3 * len(desk.study.ratings) - 2


def test_rows_and_sheets_that_did_not_come(desk: Desk) -> None:
    gone = desk.sheets["ratings-1.csv"].pop(3)
    count = len(desk.sheets["ab-2.csv"])
    desk.sheets["ab-2.csv"] = []
    assert told(desk) == [
        f"annotator 1, ratings, column item: no row {gone['item']}; every row of the sheet is expected",
        f"annotator 2, comparisons, column all: no row came; the sheet with its {count} items is expected",
    ]


def test_two_answers_to_one_question(desk: Desk) -> None:
    row = desk.sheets["ratings-1.csv"][0]
    other = "1" if row["empathy"] != "1" else "2"
    desk.sheets["ratings-1-again.csv"] = [row | {"empathy": other}]
    answers = desk.collect()
    (fault,) = answers.faults
    assert (fault.row, fault.column, fault.came) == (2, "empathy", f"{other!r} came")
    assert (
        fault.allowed
        == f"{desk.folder / 'ratings-1.csv'}, row 2 has {row['empathy']!r} for the same item; there must be one answer"
    )
    item = desk.study.sheets["ratings", 1][0].item
    assert set(answers.ratings[1, item]) == {"relevance", "fluency"}  # neither of the two counts


def test_the_same_answers_twice_are_a_note(desk: Desk) -> None:
    desk.sheets["copy.csv"] = desk.sheets["ab-1.csv"]
    answers = desk.collect()
    assert answers.faults == []
    count = len(desk.sheets["ab-1.csv"])
    assert answers.notes == [
        f"{desk.folder / 'copy.csv'}: rows that came before with the same answers, counted once: {count}"
    ]


def test_two_halves_are_a_whole(desk: Desk) -> None:
    rows = desk.sheets["ratings-3.csv"]
    desk.sheets["ratings-3.csv"], desk.sheets["rest.csv"] = rows[:5], rows[5:]
    desk.sheets["empty first.csv"] = [row | {"empathy": "", "relevance": "", "fluency": ""} for row in rows]
    assert desk.collect().faults == []


def test_items_of_another_study_or_kind(desk: Desk) -> None:
    desk.sheets["ratings-1.csv"][0]["item"] = "abcdef-r1-001"
    desk.sheets["ratings-1.csv"][1]["item"] = desk.sheets["ab-1.csv"][0]["item"]
    faults = told(desk)
    assert len(faults) == 4  # two rows that belong nowhere, and two that are missing
    assert faults[0].startswith(
        "ratings-1.csv, row 2, column item: 'abcdef-r1-001' came; must be an item of this study's ratings"
    )
    assert faults[1].startswith("ratings-1.csv, row 3, column item: ")
    assert all(": no row " in fault for fault in faults[2:])


def test_a_column_that_was_sorted_alone(desk: Desk) -> None:
    """The worst accident of a spreadsheet: answers beside other replies than they were given to."""
    rows = desk.sheets["ratings-1.csv"]
    shown = [row["reply"] for row in rows]
    for row, reply in zip(rows, sorted(shown), strict=True):
        row["reply"] = reply
    moved = sum(one != other for one, other in zip(shown, sorted(shown), strict=True))
    answers = desk.collect()
    assert moved > 10 and len(answers.faults) == moved
    assert all(fault.column == "reply" and " shows 'Listener: answer" in fault.allowed for fault in answers.faults)
    assert len(answers.ratings) == 3 * len(rows) - moved


def test_rows_that_were_sorted_together_are_fine(desk: Desk) -> None:
    for rows in desk.sheets.values():
        rows.sort(key=lambda row: row["context"])
    assert desk.collect().faults == []


def test_a_column_that_is_not_read_is_a_note(desk: Desk) -> None:
    desk.sheets["ab-1.csv"] = [row | {"why": ""} for row in desk.sheets["ab-1.csv"]]
    desk.sheets["ab-1.csv"][3]["why"] = "kinder"
    answers = desk.collect()
    assert answers.faults == []
    assert answers.notes == [f"{desk.folder / 'ab-1.csv'}: not read: column 'why'"]


def test_the_sheet_of_one_more_annotator_may_be_short(desk: Desk, study: Study) -> None:
    desk.sheets["ab-4.csv"] = fill(study, "ab", 4, lambda _, row: [choose(study, "Beta")(row)])[:2]
    assert desk.collect().faults == []
    desk.sheets["ab-4.csv"][1]["choice"] = ""
    assert told(desk) == ["ab-4.csv, row 3, column choice: empty; A, B or tie is expected"]


def test_no_sheet_at_all(desk: Desk) -> None:
    desk.sheets.clear()
    assert len(told(desk)) == 6
