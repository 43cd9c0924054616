"""Explanations: consistent with the engine, drawn as bars and as a picture."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from mime_fast.backends.select import Wanted, choose
from mime_fast.checkpoints.model_folder import ModelFolder, ModelWeights
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MimeConfig, ModelConfig, MultiTaskConfig
from mime_fast.emotions import LABELS, NEGATIVE, POSITIVE
from mime_fast.engine.engine import Engine
from mime_fast.engine.explanation import Explanation, explain
from mime_fast.errors import ConfigError, InputError
from mime_fast.evaluation.explanation.bars import format_explanation
from mime_fast.terminal import Look
from mime_fast.text.tokenizer import Tokenizer
from tests.mixtures import mixture_of
from tests.reference.tiny import tiny

DIALOGUE = ["my cat ran away", "oh no , when ?", "this morning , and it rains $ so much !"]
WORDS = sorted({word for turn in DIALOGUE for word in turn.split()} - {"rains"})


def make_engine(
    preset: str = "paper", precision: str = "float64", kind: type[ModelConfig] = MimeConfig, **changes: Any
) -> Engine:
    tokenizer = Tokenizer.from_words(WORDS)
    model = tiny(kind, preset, tokenizer.vocab_size, **changes)
    folder = ModelFolder(ModelWeights.of(model), tokenizer, GenerationConfig(max_new_tokens=6))
    return Engine(folder, "tiny", choose(folder.weights, Wanted(device="cpu", precision=precision, threads=1)))


@pytest.fixture(scope="module")
def found() -> Explanation:
    return explain(make_engine(), DIALOGUE, seed=3)


@pytest.mark.parametrize("preset", ["paper", "released"])
@pytest.mark.parametrize("options", [{}, {"stochastic": False}, {"emotion": "joyful"}, {"emotion": 5, "request_id": 9}])
def test_shares_are_those_of_the_reply(preset: str, options: dict[str, Any]) -> None:
    engine = make_engine(preset)
    one = explain(engine, DIALOGUE, seed=3, **options)
    assert [len(words) for words in one.words] == [len(shares) for shares in one.shares] == [4, 5, 10]
    flat = [share for turn in one.shares for share in turn]
    assert np.mean(flat) == pytest.approx(mixture_of(one.reply).mimic_share, abs=1e-12)
    assert np.std(flat) > 1e-4
    emotion, request = options.get("emotion"), options.get("request_id", 0)
    (reply,) = engine.generate(
        [DIALOGUE],
        seed=3,
        emotions=[emotion],
        stochastic=bool(options.get("stochastic", True)),
        request_ids=[request],
    )
    assert one.reply == reply
    assert one.mimicked == (LABELS[5] if emotion == 5 else emotion or reply.emotion)


def test_the_fast_back_end_agrees() -> None:
    one, other = (explain(make_engine(precision=precision), DIALOGUE, seed=1) for precision in ("float64", "float32"))
    flat = [share for turn in other.shares for share in turn]
    assert np.mean(flat) == pytest.approx(mixture_of(other.reply).mimic_share, abs=1e-4)
    assert flat == pytest.approx([share for turn in one.shares for share in turn], abs=1e-4)


def test_ablations_say_so() -> None:
    plain = explain(make_engine(emotion_mimicry=False), DIALOGUE)
    assert not plain.mimicry and plain.mixture.polarity is None and "mimics" not in repr(plain)
    text = format_explanation(plain, top=3, look=Look(80))
    assert "nothing (a model without mimicry); first side " in text and "(mimicked)" not in text
    one_group = explain(make_engine(emotion_mimicry=False, emotion_grouping=False), DIALOGUE)
    assert sum(weight for group in one_group.weights.values() for _, weight in group) == pytest.approx(1)


def test_json(found: Explanation) -> None:
    content = found.to_dict(4)
    assert next(iter(content["emotion_probs"])) == content["emotion"] and len(content["emotion_probs"]) == 4
    assert (tuple(content["mixture"]["positive"]), tuple(content["mixture"]["negative"])) == (POSITIVE, NEGATIVE)
    assert [word["who"] for word in content["words"]] == ["speaker"] * 4 + ["listener"] * 5 + ["speaker"] * 10
    assert content["text"] == found.reply.text


@pytest.mark.parametrize("width", [1, 40, 57, 80, 200])
@pytest.mark.parametrize("unicode", [True, False])
def test_bars_fit_the_width(found: Explanation, width: int, unicode: bool) -> None:
    plain = format_explanation(found, top=32, look=Look(width, False, unicode))
    assert max(map(len, plain.splitlines())) <= max(width, 40)
    assert plain.isascii() or unicode
    painted = format_explanation(found, top=32, look=Look(width, True, unicode))
    assert "\x1b[" in painted and re.sub(r"\x1b\[\d+m", "", painted) == plain


def test_bars_are_as_long_as_what_they_show(found: Explanation) -> None:
    lines = format_explanation(found, top=3, look=Look(100, unicode=False)).splitlines()
    weights = {
        line[:14].strip(): (line.count("#"), float(line.rstrip(" %").split()[-1]))
        for line in lines
        if " %" in line[-2:]
    }
    most = max(share for name, (_, share) in weights.items() if name in LABELS)
    space = 100 - 14 - 9 - 1
    for label in LABELS:
        marks, share = weights[label]
        assert abs(marks - share / most * space) <= 1
    assert all(f"{100 * share:6.1f} %" in "\n".join(lines) for turn in found.shares for share in turn)


def test_a_long_word_is_cut() -> None:
    engine = make_engine()
    text = format_explanation(explain(engine, ["a" * 60]), top=1, look=Look(60))
    assert f"{'a' * 13}…" in text and "a" * 15 not in text.partition("gate;")[2]


@pytest.mark.parametrize("file_format", ["png", "svg", "pdf"])
def test_the_picture(found: Explanation, file_format: str) -> None:
    pytest.importorskip("matplotlib")
    from mime_fast.evaluation.explanation.picture import draw_explanation
    from mime_fast.evaluation.pictures.figure import save_figure

    streams = [io.BytesIO(), io.BytesIO()]
    for stream in streams:
        save_figure(draw_explanation(found), stream, file_format, 400)
    assert streams[0].getvalue() == streams[1].getvalue() != b""


def test_what_no_svg_can_have_is_an_escape(found: Explanation) -> None:
    pytest.importorskip("matplotlib")
    from mime_fast.evaluation.explanation.picture import draw_explanation
    from mime_fast.evaluation.pictures.figure import save_figure

    odd = "\x1b[31mran\x07\uffff"
    reply = replace(found.reply, candidates=[replace(found.reply.candidates[0], text=odd)])
    stream = io.BytesIO()
    save_figure(draw_explanation(replace(found, reply=reply, words=[[odd]], shares=[[0.5]])), stream, "svg", 400)
    ElementTree.fromstring(stream.getvalue())
    assert stream.getvalue().count(rb"\x1b[31mran\x07\uffff") == 2  # Matplotlib's comments


def test_wide_letters_have_boxes_of_their_width(found: Explanation) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.patches import Rectangle

    from mime_fast.evaluation.explanation.picture import draw_explanation

    words = ["猫猫猫猫", "catscats", "猫" * 30, "c" * 60]
    wide = replace(found, words=[words], shares=[[0.5] * 4])
    dialogue = draw_explanation(wide).axes[2]
    boxes = [patch.get_width() for patch in dialogue.patches if isinstance(patch, Rectangle)]
    assert boxes[0] == boxes[1] and abs(boxes[2] - boxes[3]) <= 1
    assert {"猫" * 11 + "…", "c" * 23 + "…"} <= {text.get_text() for text in dialogue.texts}


def test_letters_without_a_glyph_are_one_warning(found: Explanation) -> None:
    pytest.importorskip("matplotlib")
    from mime_fast.evaluation.explanation.picture import draw_explanation
    from mime_fast.evaluation.pictures.figure import save_figure

    lacking = [chr(0x10FF00 + place) for place in range(25)]  # of private use
    with pytest.warns(UserWarning) as told:
        save_figure(draw_explanation(replace(found, words=[lacking], shares=[[0.5] * 25])), io.BytesIO(), "png", 400)
    (one,) = told
    assert f"drawn as boxes: {''.join(lacking[:20])} and 5 more (" in str(one.message)


def test_a_reply_is_no_formula(found: Explanation) -> None:
    pytest.importorskip("matplotlib")
    from mime_fast.evaluation.explanation.picture import draw_explanation

    odd = replace(found.reply.candidates[0], text="it was $^$")
    draw_explanation(replace(found, reply=replace(found.reply, candidates=[odd]))).draw_without_rendering()


def test_the_picture_has_every_weight_and_word(found: Explanation) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.text import Text

    from mime_fast.evaluation.explanation.picture import draw_explanation

    long = replace(found, words=[*found.words, ["x" * 99] * 70], shares=[*found.shares, [0.9] * 70])
    for one in (found, long):
        figure = draw_explanation(one)
        figure.draw_without_rendering()
        texts = [text.get_text() for text in figure.findobj(Text)]
        assert {*POSITIVE, *NEGATIVE} <= set(texts)
        assert all(word in texts for turn in found.words for word in turn)
        width, height = figure.get_size_inches() * figure.dpi
        ticks = {label for axes in figure.axes for label in axes.get_xticklabels()}  # some are not drawn
        for text in set(figure.findobj(Text)) - ticks:
            box = text.get_window_extent()
            assert not text.get_text() or (box.x0 > -1 and box.x1 < width + 1 and box.y0 > -1 and box.y1 < height + 1)


@pytest.mark.parametrize(
    ("shares", "ends"),
    [([[0.51, 0.52]], (25, 75)), ([[0.5], [0.26, 0.75]], (25, 75)), ([[0.5, 0.76]], (0, 100)), ([[0.0]], (0, 100))],
)
def test_the_scales_do_not_follow_the_dialogue(
    found: Explanation, shares: list[list[float]], ends: tuple[int, int]
) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    from mime_fast.evaluation.explanation.picture import draw_explanation

    words = [["word"] * len(turn) for turn in shares]
    figure = draw_explanation(replace(found, words=words, shares=shares))
    positive, negative, dialogue, key = figure.axes
    assert positive.get_xlim() == negative.get_xlim() and positive.get_xlim()[0] == 0
    assert positive.get_xlim()[1] > 100
    assert [label.get_text() for label in key.get_xticklabels()][::4] == [f"{end} %" for end in ends]
    assert key.get_xlabel() == "share of the mimicked side in the gate; 50 %: both sides weigh the same"
    low, high = (end / 100 for end in ends)
    boxes = [patch for patch in dialogue.patches if isinstance(patch, Rectangle)]
    for box, share in zip(boxes, [share for turn in shares for share in turn], strict=True):
        expected = colormaps["PuOr_r"]((share - low) / (high - low))
        assert box.get_facecolor() == pytest.approx(expected)


def test_what_cannot_be_explained() -> None:
    engine = make_engine()
    with pytest.raises(InputError, match="dialogue 0 has 2 turns"):
        explain(engine, DIALOGUE[:2])
    with pytest.raises(InputError, match="unknown emotion 'hungry'"):
        explain(engine, DIALOGUE, emotion="hungry")
    with pytest.raises(ConfigError, match="tiny: a model of type 'multi-tr' has no gate and no mixture"):
        explain(make_engine(kind=MultiTaskConfig), DIALOGUE)
