"""tools/compare_precisions.py: what it counts, and that it asks every engine the same."""

from __future__ import annotations

from pathlib import Path

import pytest

import mime_fast
from mime_fast.data.empathetic_dialogues import Pair
from tools.compare_precisions import SCORE, SEARCHES, Found, beside, compare

PAIRS = [Pair([f"we won race {i} !"], "that is great .", "joyful", "", str(i)) for i in range(70)]


def test_what_is_counted() -> None:
    exact = Found(2.0, [([[5, 6], [7]], [-1.0, -2.0]), ([[8]], [-3.0]), ([[9]], [-4.0])])
    found = Found(0.5, [([[5, 6], [8]], [-1.0, -2.5]), ([[8]], [-3.25]), ([[1]], [-9.0])])
    row = beside("beams", "int8", found, exact)
    assert [row.contexts, row.best_equal, row.all_equal] == pytest.approx([3, 2 / 3, 1 / 3])
    assert (row.mean_apart, row.largest_apart) == (0.25, 0.25)  # of equal replies only
    assert str(row).split("\t")[-2:] == ["0.50", "4.00"]


def test_every_search_of_a_model(model_folder: Path) -> None:
    engines = {
        name: mime_fast.load(model_folder, device="cpu", precision=precision, threads=1)
        for name, precision in (("float32", "float32"), ("again", "float32"), ("int8", "int8"))
    }
    rows = list(compare(engines, PAIRS, [*SEARCHES, SCORE], {"max_new_tokens": 4}))
    assert [(row.search, row.precision) for row in rows] == [
        (search, name) for search in (*SEARCHES, SCORE) for name in ("again", "int8")
    ]
    (row,) = compare({"float32": engines["float32"], "again": engines["again"]}, PAIRS[:2], ["beams"], {"num_beams": 6})
    assert row.all_equal == 1.0  # an option takes the place of the search's own
    again = [row for row in rows if row.precision == "again"]
    assert all((row.contexts, row.all_equal, row.largest_apart) == (len(PAIRS), 1.0, 0.0) for row in again)
    assert max(row.largest_apart for row in rows if row.precision == "int8") > 0
