"""The confusion matrix, worked out by hand, and whether pictures come out at the size that was asked for."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mime_fast.emotions import INDEX, LABELS, NEGATIVE, POSITIVE
from mime_fast.errors import BackendError, ConfigError, DataError
from mime_fast.evaluation.pictures.confusion import CONFUSION_ORDER, Confusion, draw_confusion, read_confusion
from mime_fast.evaluation.pictures.figure import check_matplotlib, check_suffix, save_figure

SIZE = len(LABELS)


def random_counts() -> np.ndarray[Any, np.dtype[np.int64]]:
    """A made-up matrix with a heavy diagonal and no pair labelled "proud"."""
    counts = np.random.default_rng(3).integers(0, 9, (SIZE, SIZE)) + 40 * np.eye(SIZE, dtype=np.int64)
    counts[INDEX["proud"]] = 0
    return counts


def write_report(path: Path, **details: Any) -> Path:
    good = {"labels": list(LABELS), "confusion": random_counts().tolist()}
    path.write_text(json.dumps({"n": 1, "details": good | details}))
    return path


def png_size(content: bytes) -> tuple[int, int]:
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])


def test_ordered_confusion_by_hand() -> None:
    confusion = Confusion(("a", "b", "c"), np.array([[1, 2, 5], [0, 0, 0], [3, 4, 9]]))
    ordered = confusion.ordered(("c", "a", "b"))
    assert ordered.labels == ("c", "a", "b")
    assert ordered.counts.tolist() == [[9, 3, 4], [5, 1, 2], [0, 0, 0]]
    shares = ordered.shares()
    np.testing.assert_allclose(shares[:2], [[9 / 16, 3 / 16, 4 / 16], [5 / 8, 1 / 8, 2 / 8]])
    assert np.isnan(shares[2]).all()


def test_the_order_keeps_the_groups_together() -> None:
    assert sorted(CONFUSION_ORDER[: len(POSITIVE)]) == sorted(POSITIVE)
    assert sorted(CONFUSION_ORDER[len(POSITIVE) :]) == sorted(NEGATIVE)


def test_report_round_trip(tmp_path: Path) -> None:
    labels = list(reversed(LABELS))
    confusion = read_confusion(write_report(tmp_path / "r.json", labels=labels))
    assert confusion.labels == tuple(labels)
    assert (confusion.counts == random_counts()).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        ("{", "not readable as JSON"),
        ("\xff", "not readable as JSON"),
        ("[1]", "no object 'details'"),
        ('{"models": []}', "a report of several models; that of one is expected"),
        ('{"ppl": 30}', "no object 'details'"),
        ('{"details": []}', "no object 'details'"),
        ('{"details": {}}', "has no labels and no confusion"),
        ('{"details": {"labels": []}}', "has no confusion"),
    ],
)
def test_what_is_not_a_report(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "r.json"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=rf"r\.json: .*{message}"):
        read_confusion(path)


@pytest.mark.parametrize(
    ("details", "message"),
    [
        ({"confusion": None}, "details.confusion is null; .* 'likelihood'"),
        ({"labels": LABELS[:31]}, "details.labels is not a list of the 32 emotions"),
        ({"labels": [*LABELS[:31], LABELS[0]]}, "details.labels"),
        ({"labels": [*LABELS[:31], 3]}, "details.labels"),
        ({"labels": "sad"}, "details.labels"),
        ({"confusion": [[1] * SIZE] * 31}, "details.confusion is not 32 lists of 32"),
        ({"confusion": [[1] * SIZE] * 31 + [[1] * 31]}, "details.confusion is not"),
        ({"confusion": [[1] * SIZE] * 31 + [7]}, "details.confusion is not"),
        ({"confusion": [[0.5] * SIZE] * SIZE}, "details.confusion is not"),
        ({"confusion": [[-1] * SIZE] * SIZE}, "details.confusion is not"),
        ({"confusion": [[True] * SIZE] * SIZE}, "details.confusion is not"),
        ({"confusion": [[2**70] * SIZE] * SIZE}, "details.confusion is not"),
        ({"confusion": [[0] * SIZE] * SIZE}, "counts no pair"),
    ],
)
def test_malformed_reports(tmp_path: Path, details: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_confusion(write_report(tmp_path / "r.json", **details))


@pytest.mark.parametrize(("name", "expected"), [("a.png", "png"), ("b/c.d.SVG", "svg"), ("e.pdf", "pdf")])
def test_suffixes(name: str, expected: str) -> None:
    assert check_suffix(name) == expected


@pytest.mark.parametrize("name", ["a.jpg", "png", "a.png.gz", "-", ".png"])
def test_other_suffixes(name: str) -> None:
    with pytest.raises(ConfigError, match=r"must be one of \.png, \.svg, \.pdf"):
        check_suffix(name)


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    with pytest.raises(BackendError, match=r"pip install 'mime-fast\[plots\]'"):
        check_matplotlib()


def test_confusion_is_drawn() -> None:
    pytest.importorskip("matplotlib")
    counts = random_counts()
    figure = draw_confusion(Confusion(LABELS, counts))
    axes = figure.axes[0]
    shares = axes.images[0].get_array()
    row, column = CONFUSION_ORDER.index("sad"), CONFUSION_ORDER.index("joyful")
    expected = counts[INDEX["sad"], INDEX["joyful"]] / counts[INDEX["sad"]].sum()
    assert shares is not None and shares[row, column] == pytest.approx(expected)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == list(CONFUSION_ORDER)
    assert axes.get_yticklabels()[row].get_text() == f"sad ({counts[INDEX['sad']].sum()})"
    assert f"{np.trace(counts) / counts.sum():.1%} as labelled" in axes.get_title()
    stream = io.BytesIO()
    save_figure(figure, stream, "png", 512)
    assert png_size(stream.getvalue()) == (512, 448)


@pytest.mark.parametrize(("file_format", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_vector_pictures_repeat(file_format: str, start: bytes) -> None:
    pytest.importorskip("matplotlib")
    made = []
    for _ in range(2):
        stream = io.BytesIO()
        save_figure(draw_confusion(Confusion(LABELS, random_counts())), stream, file_format, 1600)
        made.append(stream.getvalue())
    assert made[0].startswith(start)
    assert made[0] == made[1]
