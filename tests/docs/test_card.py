"""The shipped card's samples are what the shipped weights say to the fixed dialogues, all of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mime_fast.engine.load import PRETRAINED
from tools.card_samples import BEGIN, DIALOGUES, END, main, samples, with_samples

FOLDER = PRETRAINED / "mime-ed"


def test_the_samples_are_drawn_and_not_picked() -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert with_samples(card, samples(str(FOLDER))) == card


def test_all_dialogues_are_there() -> None:
    rows = [json.loads(line) for line in DIALOGUES.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 20
    table = samples(str(FOLDER)).splitlines()
    assert len(table) == 2 + 20
    for row, line in zip(rows, table[2:], strict=True):
        assert all(turn in line for turn in row["context"])


def test_a_card_gets_its_table(tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text(f"# A model\n\n{BEGIN}\nold\n{END}\n\nLimits\n", encoding="utf-8")
    main([str(FOLDER), str(card)])
    content = card.read_text(encoding="utf-8")
    assert content == f"# A model\n\n{BEGIN}\n{samples(str(FOLDER))}\n{END}\n\nLimits\n"


@pytest.mark.parametrize("card", ["", BEGIN, f"{END} {BEGIN}", f"{BEGIN} {END} {BEGIN} {END}"])
def test_a_card_without_its_marks(card: str) -> None:
    with pytest.raises(ValueError, match="each once"):
        with_samples(card, "table")
