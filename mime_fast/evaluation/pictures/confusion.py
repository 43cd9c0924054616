"""The confusion matrix of a model's classifier, and its picture."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mime_fast.emotions import INDEX, LABELS, polarity
from mime_fast.errors import DataError
from mime_fast.evaluation.json_file import read_json
from mime_fast.evaluation.pictures.figure import COLOURS, LABEL_SIZE, WIDTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

SHOWN_SHARE = 0.05  # cells from here on have their share written into them

# Each group whole, and what people mix up side by side; the same for all models, so that pictures compare.
CONFUSION_ORDER: tuple[str, ...] = (
    *("surprised", "impressed", "proud", "excited", "joyful", "content", "grateful"),
    *("caring", "trusting", "faithful", "hopeful", "confident", "prepared"),
    *("anticipating", "nostalgic", "sentimental", "lonely", "sad", "devastated", "disappointed", "jealous"),
    *("annoyed", "angry", "furious", "disgusted"),
    *("embarrassed", "ashamed", "guilty", "afraid", "terrified", "apprehensive", "anxious"),
)


@dataclass(frozen=True)
class Confusion:
    """Counts [labelled, predicted] of a classifier's answers, both in the order of `labels`."""

    labels: tuple[str, ...]
    counts: npt.NDArray[np.int64]

    def ordered(self, labels: tuple[str, ...]) -> Confusion:
        """The same counts with rows and columns in another order of the same labels."""
        places = [self.labels.index(label) for label in labels]
        return Confusion(labels, self.counts[np.ix_(places, places)])

    def shares(self) -> Floats:
        """Counts over their row's sum; a row of zeros is NaN."""
        totals = self.counts.sum(axis=1, keepdims=True)
        shares = np.full(self.counts.shape, np.nan)
        np.divide(self.counts, totals, out=shares, where=totals > 0)
        return shares


def read_confusion(path: str | os.PathLike[str]) -> Confusion:
    """The confusion matrix in a report of `mime-fast evaluate --json`.

    Raises:
        DataError: no such file, not a report, a report without likelihood figures, or a malformed matrix.
    """
    report = read_json(path)
    details = report.get("details") if isinstance(report, dict) else None
    if isinstance(report, dict) and "models" in report:
        raise DataError(
            f"{path}: a report of several models; that of one is expected, of mime-fast evaluate without --models"
        )
    if not isinstance(details, dict):
        raise DataError(f"{path}: no object 'details'; a report of mime-fast evaluate --json is expected")
    missing = [key for key in ("labels", "confusion") if key not in details]
    if missing:
        raise DataError(f"{path}: details has no {' and no '.join(missing)}; mime-fast evaluate --json writes both")
    if details["confusion"] is None:
        raise DataError(f"{path}: details.confusion is null; the report must be made with the metric 'likelihood'")
    return Confusion(_labels(details["labels"], path), _counts(details["confusion"], path))


def draw_confusion(confusion: Confusion) -> Figure:
    """The 32 x 32 confusion matrix as shares of each labelled emotion, in the order of `CONFUSION_ORDER`."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    confusion = confusion.ordered(CONFUSION_ORDER)
    shares, sums, size = confusion.shares(), confusion.counts.sum(axis=1), len(CONFUSION_ORDER)
    figure = Figure((WIDTH, 0.875 * WIDTH), layout="constrained")
    axes = figure.add_subplot()
    colours = colormaps["Blues"].with_extremes(bad="0.85")
    top = float(np.nanmax(shares))
    image = axes.imshow(shares, cmap=colours, vmin=0, vmax=top)
    for row, column in np.argwhere(shares >= SHOWN_SHARE):
        share = shares[row, column]
        tone = "white" if share > 0.55 * top else "black"
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=5.5, color=tone)
    groups = [polarity(INDEX[label]) for label in CONFUSION_ORDER]
    border = groups.index("negative") - 0.5
    axes.axhline(border, color="black", linewidth=0.8)
    axes.axvline(border, color="black", linewidth=0.8)
    rows = [f"{label} ({total:,})" for label, total in zip(CONFUSION_ORDER, sums, strict=True)]
    axes.set_yticks(range(size), rows, fontsize=LABEL_SIZE)
    axes.set_xticks(range(size), CONFUSION_ORDER, fontsize=LABEL_SIZE, rotation=90)
    for ticks in (axes.get_yticklabels(), axes.get_xticklabels()):
        for tick, group in zip(ticks, groups, strict=True):
            tick.set_color(COLOURS[group])
    axes.tick_params(length=0)
    axes.set_xlabel("predicted emotion (blue: positive, vermilion: negative)")
    axes.set_ylabel("labelled emotion (pairs)")
    right = np.trace(confusion.counts) / sums.sum()
    axes.set_title(f"Predicted emotion of {sums.sum():,} pairs: {right:.1%} as labelled")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, format=PercentFormatter(1, decimals=0))
    bar.set_label(f"share of the row (numbers: %, from {SHOWN_SHARE:.0%})")
    return figure


def _labels(value: Any, path: str | os.PathLike[str]) -> tuple[str, ...]:
    if not isinstance(value, list) or sorted(map(repr, value)) != sorted(map(repr, LABELS)):
        raise DataError(f"{path}: details.labels is not a list of the {len(LABELS)} emotions: {str(value)[:80]}")
    return tuple(value)


def _counts(value: Any, path: str | os.PathLike[str]) -> npt.NDArray[np.int64]:
    size = len(LABELS)
    square = isinstance(value, list) and [len(row) if isinstance(row, list) else 0 for row in value] == [size] * size
    if not square or not all(type(count) is int and 0 <= count < 2**31 for row in value for count in row):
        raise DataError(f"{path}: details.confusion is not {size} lists of {size} counts, integers from 0")
    counts = np.array(value, dtype=np.int64)
    if not counts.any():
        raise DataError(f"{path}: details.confusion counts no pair; at least one is needed")
    return counts
