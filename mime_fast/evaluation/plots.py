"""Two figures of a model: its emotion embeddings (the paper's Figure 3) and the confusion matrix of its classifier."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from mime_fast.emotions import INDEX, LABELS, polarity
from mime_fast.errors import BackendError, ConfigError, DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

SUFFIXES = (".png", ".svg", ".pdf")
WIDTH = 8.0  # inches; a power of two, so that a width in pixels survives the division
COLOURS = {"positive": "#0072B2", "negative": "#D55E00"}  # blue and vermilion of Okabe and Ito's palette
MARKERS = {"positive": "o", "negative": "^"}
LABEL_SIZE = 8  # points
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


def principal_components(vectors: Floats) -> tuple[Floats, Floats]:
    """Project n vectors [n, C], n and C at least 2, on their first two principal components.

    Returns:
        Coordinates [n, 2], the one farthest from 0 on each axis being positive, and the two components' shares of the
        variance [2], 0 where all vectors are the same.
    """
    left, singular, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    coordinates = left[:, :2] * singular[:2]
    farthest = np.take_along_axis(coordinates, np.abs(coordinates).argmax(axis=0)[None], axis=0)
    total = (singular**2).sum()
    shares = singular[:2] ** 2 / total if total > 0 else np.zeros(2)
    return np.where(farthest < 0, -coordinates, coordinates), shares


def read_confusion(path: str | os.PathLike[str]) -> Confusion:
    """The confusion matrix in a report of `mime-fast evaluate --json`.

    Raises:
        DataError: no such file, not a report, a report without likelihood figures, or a malformed matrix.
    """
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not readable as JSON ({error})") from None
    details = report.get("details") if isinstance(report, dict) else None
    if not isinstance(details, dict):
        raise DataError(f"{path}: no object 'details'; a report of mime-fast evaluate --json is expected")
    missing = [key for key in ("labels", "confusion") if key not in details]
    if missing:
        raise DataError(f"{path}: details has no {' and no '.join(missing)}; mime-fast evaluate --json writes both")
    if details["confusion"] is None:
        raise DataError(f"{path}: details.confusion is null; the report must be made with the metric 'likelihood'")
    return Confusion(_labels(details["labels"], path), _counts(details["confusion"], path))


def check_suffix(path: str | os.PathLike[str]) -> str:
    """The format that a figure's file name asks for: "png", "svg" or "pdf"; ConfigError for any other."""
    suffix = Path(path).suffix
    if suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: suffix {suffix!r}; {', '.join(SUFFIXES)} are allowed")
    return suffix.lower()[1:]


def check_matplotlib() -> None:
    """BackendError if matplotlib cannot be imported."""
    try:
        import matplotlib.figure  # noqa: F401 (asked for here, used by the drawing functions)
    except ImportError as error:
        raise BackendError(f"plots need matplotlib ({error}): pip install mime-fast[plots]") from None


def save_figure(figure: Figure, stream: BinaryIO, file_format: str, width: int) -> None:
    """Write a figure: a PNG `width` pixels wide, or an SVG or PDF of `WIDTH` inches; the same bytes every time."""
    from matplotlib import rc_context

    dates: dict[str, dict[str, Any]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with rc_context({"svg.hashsalt": "mime_fast", "savefig.bbox": None}):
        figure.savefig(stream, format=file_format, dpi=width / WIDTH, metadata=dates[file_format])


def draw_embeddings(embeddings: Floats, name: str) -> Figure:
    """Emotion embeddings E_E [32, C] (eq. 4 and 10), in the order of `LABELS`, in two principal components."""
    from matplotlib.figure import Figure

    coordinates, shares = principal_components(embeddings)
    groups = np.array([polarity(i) for i in range(len(LABELS))])
    figure = Figure((WIDTH, 0.8 * WIDTH), layout="constrained")
    axes = figure.add_subplot()
    for group, colour in COLOURS.items():
        x, y = coordinates[groups == group].T
        axes.scatter(x, y, s=26, c=colour, marker=MARKERS[group], linewidths=0, label=f"{group} ({len(x)})", zorder=2)
    axes.margins(0.09)
    axes.set_xlabel(f"first principal component ({shares[0]:.1%} of the variance)")
    axes.set_ylabel(f"second principal component ({shares[1]:.1%} of the variance)")
    axes.set_title(f"Emotion embeddings of {name}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, title="polarity of the emotion")
    _label_points(figure, axes, coordinates, [COLOURS[group] for group in groups])
    return figure


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


def place_labels(points: Floats, sizes: Floats, frame: Floats, gap: float) -> Floats:
    """Where labels go beside their points so that they cover little of each other, of points and of what is outside.

    Each label in turn takes the cheapest of 48 places around its point, nearest ones first, until none moves.

    Args:
        points: [n, 2]; sizes: width and height of the labels, [n, 2]; frame: width and height of the picture, [2],
            whose corner is (0, 0); gap: free space around a point. All in one unit.

    Returns:
        The labels' centres, [n, 2].
    """
    angles = np.arange(16) * (np.pi / 8)
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1)  # [16, 2], the place to the right first
    near = np.clip(around * np.sqrt(2), -1, 1)  # along a box around the point, not a circle
    steps = np.array([1.0, 2.5, 4.5])
    places = (near * sizes[:, None] / 2)[:, None] + (steps[:, None, None] * gap * around)  # [n, 3, 16, 2]
    places = (points[:, None, None] + places).reshape(len(points), -1, 2)
    distance = np.repeat(steps - 1, len(angles)) * gap**2
    marks = np.full_like(points, gap)
    chosen: Floats = places[:, 0].copy()
    fixed = [
        distance
        + 10 * _overlap(spots, size, points, marks).sum(axis=1)
        + 10 * (size.prod() - _overlap(spots, size, frame[None] / 2, frame[None])[:, 0])
        for spots, size in zip(places, sizes, strict=True)
    ]
    for _ in range(20):
        before = chosen.copy()
        for i, spots in enumerate(places):
            covered = _overlap(spots, sizes[i], chosen, sizes)
            covered[:, i] = 0
            chosen[i] = spots[np.argmin(fixed[i] + 10 * covered.sum(axis=1))]
        if np.array_equal(before, chosen):
            break
    return chosen


def _overlap(centres: Floats, size: Floats, others: Floats, other_sizes: Floats) -> Floats:
    """Common areas [k, n] of boxes of one size at k centres with n other boxes."""
    sides = (size + other_sizes) / 2 - np.abs(centres[:, None] - others)
    areas: Floats = np.clip(np.minimum(sides, np.minimum(size, other_sizes)), 0, None).prod(axis=2)
    return areas


def _label_points(figure: Figure, axes: Axes, coordinates: Floats, colours: list[str]) -> None:
    """Name the 32 points, in the order of `LABELS`; a thin line leads to a label that had to move away."""
    labels = [
        axes.annotate(text, xy=(x, y), xytext=(0, 0), textcoords="offset points", fontsize=LABEL_SIZE, color=colour)
        for text, (x, y), colour in zip(LABELS, coordinates, colours, strict=True)
    ]
    for label in labels:
        label.set(ha="center", va="center", in_layout=False)
    figure.draw_without_rendering()  # fixes the axes' place
    unit = 72 / figure.dpi  # points a pixel
    sizes = np.array([label.get_window_extent().size for label in labels]) * unit + (3, 0)
    points = (axes.transData.transform(coordinates) - axes.bbox.p0) * unit
    centres = place_labels(points, sizes, np.array(axes.bbox.size) * unit, gap=5.0)
    for label, point, centre, size in zip(labels, points, centres, sizes, strict=True):
        label.set_position(tuple(centre - point))
        edge = np.clip(point, centre - size / 2, centre + size / 2)  # of the label, nearest to the point
        if np.hypot(*(edge - point)) > 8:
            ends = axes.transData.inverted().transform(np.stack([point, edge]) / unit + axes.bbox.p0)
            axes.plot(*ends.T, color="0.6", linewidth=0.6, zorder=1)


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
