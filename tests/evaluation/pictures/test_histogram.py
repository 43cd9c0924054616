"""The picture of a corpus' emotions, and the summaries it is made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mime_fast.errors import DataError
from mime_fast.evaluation.pictures.histogram import draw_emotions, read_emotions
from tests.evaluation.pictures.bars import widths_of

COUNTS = {"sad": 3, "proud": 5, "joyful": 0, "afraid": 3}


def test_reads_summaries_and_manifests(tmp_path: Path) -> None:
    for value in ({"emotions": COUNTS}, {"finished": {"summary": {"emotions": COUNTS}}}):
        (tmp_path / "file.json").write_text(json.dumps(value))
        assert read_emotions(tmp_path / "file.json") == COUNTS


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "no object 'emotions'"),
        ({"emotions": [1]}, "no object 'emotions'"),
        ({"finished": None}, "no object 'emotions'"),
        ({"emotions": {"bored": 1}}, "'bored': 1"),
        ({"emotions": {"sad": -1}}, "'sad': -1"),
        ({"emotions": {"sad": True}}, "'sad': True"),
        ({"emotions": {"sad": 0}}, "counts no row"),
        ({"emotions": {}}, "counts no row"),
    ],
)
def test_what_is_no_summary(tmp_path: Path, value: Any, reason: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps(value))
    with pytest.raises(DataError, match=reason) as caught:
        read_emotions(path)
    assert str(path) in str(caught.value)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_emotions(tmp_path / "none.json")
    (tmp_path / "half.json").write_text("{")
    with pytest.raises(DataError, match="not readable as JSON"):
        read_emotions(tmp_path / "half.json")


def test_bars_are_shares_in_the_colours_of_the_polarities() -> None:
    pytest.importorskip("matplotlib")
    figure = draw_emotions(COUNTS)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["proud", "afraid", "sad"]
    assert widths_of(axes) == pytest.approx([500 / 11, 300 / 11, 300 / 11])
    colours = [bar.get_facecolor() for bar in axes.patches]
    assert colours[0] != colours[1] == colours[2]
    assert axes.get_title() == "Emotions recognised in 11 rows"
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["positive (45 %)", "negative (55 %)"]
