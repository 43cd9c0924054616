"""An explanation as a picture: the weights of both groups, and the dialogue with every word's mimic share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mime_fast.emotions import INDEX, polarity
from mime_fast.engine.explanation import SPEAKERS, Explanation
from mime_fast.evaluation.pictures.figure import COLOURS, LABEL_SIZE, WIDTH
from mime_fast.terminal import Look, columns, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

SPANS = ((0.25, 0.75), (0.0, 1.0))  # of the colours: the first, unless a word's share is beyond it
ROOM = 1.12  # right of a bar of 100 %, for its label
LINE = 0.42  # inches a line of words
COLUMN = 0.074  # inches a column of a word; wide letters take two
PLOT_HEIGHT = 3.6  # inches of the weights
MARGIN = 1.5  # inches of the words' title, key and reply
LONGEST = 24  # columns of a word that are shown
NAME_COLUMN = 10  # columns before an utterance

Place = tuple[int, float, float, str, float]  # line, left edge and width in columns, word, share


def draw_explanation(found: Explanation) -> Figure:
    """The 13 + 19 weights (eq. 9) as bars; below, the words in colours of their mimic share (eq. 25), and the key.

    Bars go from 0 to 100 %, colours from 25 to 75 %, or from 0 to 100 % where a word is beyond that.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    space = int((WIDTH - 0.5) / COLUMN)
    places, names, lines = _lay_out(found, space)
    words = lines * LINE + MARGIN
    figure = Figure((WIDTH, PLOT_HEIGHT + words), layout="constrained")
    weights, text = figure.subfigures(2, 1, squeeze=False, height_ratios=[PLOT_HEIGHT, words])[:, 0]
    group = polarity(INDEX[found.mimicked])
    emotion, share = found.emotions[0], found.mixture.mimic_share
    side = f"mimics {group} emotions" if found.mimicry else "no mimicry"
    weights.suptitle(f"recognised {emotion[0]} ({emotion[1]:.0%}); {side}, {share:.0%} of the gate", fontsize=11)
    for axes, name in zip(weights.subplots(1, 2, sharex=True), found.weights, strict=True):
        _draw_weights(axes, found, name)
    scale = ScalarMappable(Normalize(*_span(found.shares)), colormaps["PuOr_r"])
    axes = text.subplots()
    _draw_words(axes, places, names, lines, space, scale)
    axes.set_title("the dialogue, each word with its share", fontsize=9)
    _draw_key(axes, scale, "share of the mimicked side in the gate" if found.mimicry else "share of the first side")
    axes.set_xlabel(_shown(f"reply: {found.reply.text}", 110), fontsize=9, parse_math=False)
    return figure


def _draw_weights(axes: Axes, found: Explanation, group: str) -> None:
    names, values = zip(*found.weights[group], strict=True)  # type: ignore[index]
    bars = axes.barh(names, [100 * value for value in values], color=COLOURS[group], height=0.75)
    axes.bar_label(bars, labels=[f"{100 * value:.1f}" for value in values], padding=2, fontsize=6.5)
    axes.set_ylim(max(map(len, found.weights.values())) - 0.4, -0.6)  # rows of both groups are of one height
    axes.set_xlim(0, 100 * ROOM)
    axes.set_xticks(range(0, 101, 20))
    axes.tick_params(axis="y", length=0, labelsize=LABEL_SIZE)
    axes.tick_params(axis="x", labelsize=LABEL_SIZE)
    axes.set_title(f"{len(names)} {group} emotions, weight (%)", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_words(
    axes: Axes,
    places: list[Place],
    names: list[tuple[int, str]],
    lines: int,
    space: int,
    scale: ScalarMappable,
) -> None:
    """Words as boxes in their reading order, each with its share in percent below it."""
    from matplotlib.patches import Rectangle

    axes.set(xlim=(0, space), ylim=(lines, 0), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    for line, name in names:
        axes.text(0, line + 0.38, name, fontsize=LABEL_SIZE, va="center", color="0.35")
    for line, left, width, word, share in places:
        colour = tuple(scale.to_rgba(np.array(share)))
        axes.add_patch(Rectangle((left, line + 0.08), width, 0.84, facecolor=colour, linewidth=0))
        light = np.dot(colour[:3], (0.299, 0.587, 0.114)) > 0.55
        tone = "black" if light else "white"
        middle = left + width / 2
        axes.text(
            middle, line + 0.36, word, fontsize=LABEL_SIZE, ha="center", va="center", color=tone, parse_math=False
        )
        axes.text(middle, line + 0.73, f"{100 * share:.0f}", fontsize=5.5, ha="center", va="center", color=tone)


def _span(shares: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The shares at both ends of the colours, not stretched to the words: a colour means the same in two pictures."""
    return next(span for span in SPANS if all(span[0] <= share <= span[1] for turn in shares for share in turn))


def _draw_key(axes: Axes, scale: ScalarMappable, title: str) -> None:
    low, high = scale.get_clim()
    ticks = np.linspace(low, high, 5).tolist()
    key = axes.figure.colorbar(scale, ax=axes, location="bottom", fraction=0.05, aspect=60, shrink=0.6, pad=0.02)
    key.set_ticks(ticks, labels=[f"{100 * tick:g} %" for tick in ticks], fontsize=LABEL_SIZE)
    key.set_label(f"{title}; 50 %: both sides weigh the same", fontsize=LABEL_SIZE)
    key.outline.set_visible(False)


def _lay_out(found: Explanation, space: int) -> tuple[list[Place], list[tuple[int, str]], int]:
    """Places of all words in lines of `space` columns, who speaks from which line on, and the number of lines."""
    places: list[Place] = []
    names = []
    line = 0
    for turn, (words, shares) in enumerate(zip(found.words, found.shares, strict=True)):
        names.append((line, SPEAKERS[turn % 2]))
        left = float(NAME_COLUMN)
        for word, share in zip(words, shares, strict=True):
            shown = _shown(word, LONGEST)
            width = max(columns(shown), 2) + 1.2
            if left + width > space:
                line, left = line + 1, float(NAME_COLUMN)
            places.append((line, left, width, shown, share))
            left += width + 0.4
        line += 1
    return places, names, line


def _shown(text: str, longest: int) -> str:
    """The text as escapes where it is none, which an SVG cannot have, cut to `longest` columns."""
    return Look().clipped(printable(text), longest)
