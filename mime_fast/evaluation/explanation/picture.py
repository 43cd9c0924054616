"""An explanation as a picture: the weights of both groups, and the dialogue with every word's mimic share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mime_fast.emotions import INDEX, polarity
from mime_fast.evaluation.explanation.bars import LEAST_REACH
from mime_fast.evaluation.explanation.explain import SPEAKERS, Explanation
from mime_fast.evaluation.pictures.confusion import COLOURS, LABEL_SIZE, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

LINE = 0.42  # inches a line of words
COLUMN = 0.074  # inches a letter of a word
PLOT_HEIGHT = 3.6  # inches of the weights
MARGIN = 1.0  # inches of the words' title and bar
LONGEST = 24  # letters of a word that are shown
NAME_COLUMN = 10  # letters before an utterance

Place = tuple[int, float, float, str, float]  # line, left edge and width in letters, word, share


def draw_explanation(found: Explanation) -> Figure:
    """The 13 + 19 weights (eq. 9) as bars, and below them the words in colours of their mimic share (eq. 25)."""
    from matplotlib import colormaps
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.figure import Figure

    letters = int((WIDTH - 0.5) / COLUMN)
    places, names, lines = _lay_out(found, letters)
    words = lines * LINE + MARGIN
    figure = Figure((WIDTH, PLOT_HEIGHT + words), layout="constrained")
    weights, text = figure.subfigures(2, 1, squeeze=False, height_ratios=[PLOT_HEIGHT, words])[:, 0]
    group = polarity(INDEX[found.mimicked])
    heard, share = found.heard[0], found.mixture.mimic_share
    side = f"mimics {group} emotions" if found.mimicry else "no mimicry"
    weights.suptitle(f"heard {heard[0]} ({heard[1]:.0%}); {side}, {share:.0%} of the gate", fontsize=11)
    for axes, name in zip(weights.subplots(1, 2, sharex=True), found.weights, strict=True):
        _draw_weights(axes, found, name)
    flat = [share for turn in found.shares for share in turn]
    reach = max(LEAST_REACH, *(abs(share - 0.5) for share in flat))
    norm = TwoSlopeNorm(0.5, 0.5 - reach, 0.5 + reach)
    colours = colormaps["PuOr_r"]
    axes = text.subplots()
    _draw_words(axes, places, names, lines, letters, colours, norm)
    axes.set_title(
        "share of the mimicked side in the gate (%)" if found.mimicry else "share of the first side (%)", fontsize=9
    )
    axes.set_xlabel(_shortened(f"reply: {found.reply.text}", 110), fontsize=9)
    return figure


def _draw_weights(axes: Axes, found: Explanation, group: str) -> None:
    names, values = zip(*found.weights[group], strict=True)  # type: ignore[index]
    bars = axes.barh(names, [100 * value for value in values], color=COLOURS[group], height=0.75)
    axes.bar_label(bars, labels=[f"{100 * value:.1f}" for value in values], padding=2, fontsize=6.5)
    axes.set_ylim(max(map(len, found.weights.values())) - 0.4, -0.6)  # rows of both groups are of one height
    axes.margins(x=0.12)
    axes.tick_params(axis="y", length=0, labelsize=LABEL_SIZE)
    axes.tick_params(axis="x", labelsize=LABEL_SIZE)
    axes.set_title(f"{len(names)} {group} emotions, weight (%)", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_words(
    axes: Axes,
    places: list[Place],
    names: list[tuple[int, str]],
    lines: int,
    letters: int,
    colours: Colormap,
    norm: Normalize,
) -> None:
    """Words as boxes in their reading order, each with its share in percent below it."""
    from matplotlib.patches import Rectangle

    axes.set(xlim=(0, letters), ylim=(lines, 0), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    for line, name in names:
        axes.text(0, line + 0.38, name, fontsize=LABEL_SIZE, va="center", color="0.35")
    for line, left, width, word, share in places:
        colour = colours(norm(share))
        axes.add_patch(Rectangle((left, line + 0.08), width, 0.84, facecolor=colour, linewidth=0))
        light = np.dot(colour[:3], (0.299, 0.587, 0.114)) > 0.55
        tone = "black" if light else "white"
        middle = left + width / 2
        axes.text(
            middle, line + 0.36, word, fontsize=LABEL_SIZE, ha="center", va="center", color=tone, parse_math=False
        )
        axes.text(middle, line + 0.73, f"{100 * share:.0f}", fontsize=5.5, ha="center", va="center", color=tone)


def _lay_out(found: Explanation, letters: int) -> tuple[list[Place], list[tuple[int, str]], int]:
    """Places of all words in lines of `letters`, who speaks from which line on, and the number of lines."""
    places: list[Place] = []
    names = []
    line = 0
    for turn, (words, shares) in enumerate(zip(found.words, found.shares, strict=True)):
        names.append((line, SPEAKERS[turn % 2]))
        left = float(NAME_COLUMN)
        for word, share in zip(words, shares, strict=True):
            shown = _shortened(word, LONGEST)
            width = max(len(shown), 2) + 1.2
            if left + width > letters:
                line, left = line + 1, float(NAME_COLUMN)
            places.append((line, left, width, shown, share))
            left += width + 0.4
        line += 1
    return places, names, line


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
