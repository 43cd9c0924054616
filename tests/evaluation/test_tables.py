"""The tables of made-up figures, cell by cell, and their picture."""

from __future__ import annotations

import io

import pytest

from mime_fast.evaluation.comparison import Comparison, MeasuredModel, Spread
from mime_fast.evaluation.metrics.metric import KEYS
from mime_fast.evaluation.pictures.figure import save_figure
from mime_fast.evaluation.pictures.tables import draw_tables
from mime_fast.evaluation.tables import format_tables
from tests.evaluation.pictures.bars import widths_of
from tests.evaluation.pictures.test_confusion import png_size

ALL: dict[str, float] = dict.fromkeys(KEYS, 3.0) | {
    **{"ppl": 34.4, "top1": 0.4, "top2": 0.56, "top5": 0.74, "bleu_greedy": 2.71, "bleu_beam": 2.82, "bleu_long": 3.34},
    **{"distinct1": 0.012, "distinct2": 0.061, "greedy_dist1": 0.0027, "greedy_dist2": 0.0099},
    **{"distinct_replies": 0.075, "mean_length": 11.5},
}


def model(name: str, *, noise: bool, spread: tuple[float, float | None], **changes: float | None) -> MeasuredModel:
    """One entry of `compare`; every figure of the positive group is half, of the negative one twice that of all."""
    figures: dict[str, float | None] = {**ALL, **changes}
    mean, deviation = spread
    return MeasuredModel(
        name=name,
        source="runs/x_1",
        options={} if noise else {"stochastic": False},
        parameters=12_269_401,
        vocab_size=16_007,
        emotion_mimicry=True if noise else None,
        emotion_grouping=True if noise else None,
        noise=noise,
        seeds=[7, 8] if noise else [7],
        figures={
            "all": {"n": 30} | figures,
            "positive": {"n": 10} | {key: value and value / 2 for key, value in figures.items()},
            "negative": {"n": 20} | {key: value and value * 2 for key, value in figures.items()},
        },
        over_seeds={"bleu_beam": Spread(mean, deviation, [mean]), "ppl": None},
        searches={},
        seconds=1.0,
    )


def found(*models: MeasuredModel) -> Comparison:
    options = {"seed": 7, "noise_seeds": 2, "polarity": "gold", "metrics": [], "batch_size": 64}
    return Comparison(3000, {"positive": 1000, "negative": 2000}, list(models), options, "valid")


@pytest.fixture
def two() -> Comparison:
    return found(
        model("MIME|x", noise=True, spread=(2.816, 0.0149)),
        model("Multi-TR", noise=False, spread=(2.5, None), ppl=40.0, bleu_beam=2.5, top1=0.41, bleu_greedy=None),
    )


def row(text: str, start: str, place: int = 0) -> list[str]:
    lines = [line for line in text.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip() for cell in lines[place].strip("|").replace("\\|", "/").split("|")]


def test_what_is_said_of_the_pairs_and_models(two: Comparison) -> None:
    text = format_tables(two)
    assert "3,000 pairs of the valid split: 1,000 with a positive, 2,000 with a negative emotion" in text
    assert "- MIME\\|x: runs/x\\_1; vocabulary of 16,007 words" in text
    assert "- Multi-TR: runs/x\\_1, stochastic=False; vocabulary" in text


def test_table_2(two: Comparison) -> None:
    text = format_tables(two)
    mime = [
        "MIME/x",
        "12.27M",
        "**2.82**",
        "2.71",
        "3.34",
        "**34.40**",
        "40.0 %",
        "56.0 %",
        "74.0 %",
        "1.2 %",
        "6.1 %",
        "0.27 %",
        "0.99 %",
        "7.5 %",
    ]
    assert row(text, "MIME\\|x") == [*mime, "11.50"]
    other = ["Multi-TR", "12.27M", "2.50", "-", "3.34", "40.00", "**41.0 %**", "56.0 %", "74.0 %", "1.2 %", "6.1 %"]
    other += ["0.27 %", "0.99 %", "7.5 %"]
    assert row(text, "Multi-TR") == [*other, "11.50"]
    paper = ["*paper: MoEL*", "23.10M", "2.90", "-", "-", "-", "38.0 %", "63.0 %", "74.0 %", *"------"]
    assert row(text, "*paper: MoEL*") == paper
    assert row(text, "*paper: MIME*")[2] == "2.98"


def test_table_4(two: Comparison) -> None:
    text = format_tables(two)
    assert row(text, "MIME\\|x", 1) == [
        *("MIME/x", "**17.20**", "**68.80**", "**1.41**", "**5.64**", "20.0 %", "80.0 %", "3.8 %", "15.0 %")
    ]
    assert row(text, "Multi-TR", 1)[1:5] == ["20.00", "80.00", "1.25", "5.00"]


def test_table_5(two: Comparison) -> None:
    text = format_tables(two)
    assert "over 2 noise seeds from 7 on" in text
    assert row(text, "MIME\\|x", 2) == ["MIME/x", "yes", "yes", "2 seeds", "2.82 ± 0.01", "-"]
    assert row(text, "Multi-TR", 2) == ["Multi-TR", "-", "-", "none: one value", "2.50", "-"]
    assert row(text, "*paper*", 0) == ["*paper*", "no", "no", "not said", "2.45 ± 0.01", "-"]
    assert row(text, "*paper*", 2) == ["*paper*", "yes", "yes", "not said", "2.98 ± 0.01", "-"]


def test_nothing_is_best_where_all_are_equal() -> None:
    text = format_tables(found(*(model(name, noise=True, spread=(2.8, 0.1)) for name in "ab")))
    assert "**" not in text
    assert "**" not in format_tables(found(model("a", noise=True, spread=(2.8, 0.1))))


def test_the_picture_has_a_panel_for_each_figure(two: Comparison) -> None:
    pytest.importorskip("matplotlib")
    figure = draw_tables(two)
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_visible()}
    assert len(panels) == 11  # no PPL over seeds
    bleu = panels["BLEU, beam 5 (± over 2 seeds)"]
    assert [text.get_text() for text in bleu.texts] == ["2.82 ± 0.01", "2.50", "2.92", "2.90", "2.98"]
    names = ["MIME|x", "Multi-TR", "paper: Multi-TR", "paper: MoEL", "paper: MIME"]
    assert [tick.get_text() for tick in bleu.get_yticklabels()] == names
    assert [tick.get_text() for tick in panels["BLEU, greedy"].get_yticklabels()] == ["MIME|x"]
    by_emotion = panels["PPL, by emotion"]
    widths = sorted(widths_of(by_emotion))
    assert widths == pytest.approx([17.2, 20, 68.8, 80])
    made = []
    for _ in range(2):
        stream = io.BytesIO()
        save_figure(draw_tables(two), stream, "png", 800)
        made.append(stream.getvalue())
    assert made[0] == made[1]
    assert png_size(made[0])[0] == 800


def test_the_picture_of_what_was_asked_for_alone(two: Comparison) -> None:
    pytest.importorskip("matplotlib")
    for one in two.models:
        for figures in one.figures.values():
            figures |= {key: None for key in KEYS if not key.startswith("top")}
        one.over_seeds["bleu_beam"] = None
    titles = {axes.get_title() for axes in draw_tables(two).axes if axes.get_visible()}
    assert titles == {"emotion accuracy (%)", "parameters (millions)", "top-1 (%), by emotion"}


@pytest.mark.filterwarnings("error")
def test_a_figure_that_is_0_for_all() -> None:
    pytest.importorskip("matplotlib")
    zero = model("a", noise=True, spread=(0.0, 0.0), bleu_beam=0.0)
    titles = [axes.get_title() for axes in draw_tables(found(zero)).axes]
    assert "BLEU, beam 5, by emotion" in titles
