"""Emotion embeddings in two principal components (the paper's Figure 3), and how well they part the two groups."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mime_fast.emotions import LABELS, POSITIVE_IDS, Polarity, polarity
from mime_fast.evaluation.pictures.confusion import Floats
from mime_fast.evaluation.pictures.figure import COLOURS, LABEL_SIZE, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = {"positive": "o", "negative": "^"}
ACROSS = 2  # panels in a line


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


def silhouette(vectors: Floats, first: npt.NDArray[np.bool_]) -> float:
    """How well two groups of vectors [n, C] are parted, -1 to 1: the mean silhouette (Rousseeuw 1987).

    A vector's is (b - a) / max(a, b) with its mean Euclidean distances a to the others of its group and b to the other
    group; 0 where both are 0.

    Args:
        first: which vectors are of the first group, [n]; each group has two or more.
    """
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    same = first[:, None] == first[None]
    own = (distances * same).sum(axis=1) / (same.sum(axis=1) - 1)
    other = (distances * ~same).sum(axis=1) / (~same).sum(axis=1)
    widest = np.maximum(own, other)
    parted = np.divide(other - own, widest, out=np.zeros_like(widest), where=widest > 0)
    return float(parted.mean())


def separation(embeddings: Floats) -> dict[str, float]:
    """`silhouette` of the positive and the negative emotions' embeddings [32, C]: in all dimensions, and in the two
    that are drawn."""
    positive = np.isin(np.arange(len(LABELS)), POSITIVE_IDS)
    drawn, _ = principal_components(embeddings)
    return {"all": silhouette(embeddings, positive), "drawn": silhouette(drawn, positive)}


def describe_separation(embeddings: Floats) -> str:
    """The two numbers in words."""
    found = separation(embeddings)
    return f"silhouette of the groups {found['all']:.3f} in all dimensions, {found['drawn']:.3f} in the two drawn"


def draw_embeddings(models: Mapping[str, Floats]) -> Figure:
    """A panel a model, by its name: the emotion embeddings E_E [32, C] (eq. 4 and 10), in the order of `LABELS`.

    Each panel has its own components and scale.
    """
    from matplotlib.figure import Figure

    across = min(len(models), ACROSS)
    lines = -(-len(models) // ACROSS)
    figure = Figure((across * WIDTH, lines * 0.8 * WIDTH), layout="constrained")
    panels = figure.subplots(lines, across, squeeze=False).ravel()
    drawn = [_draw_panel(axes, *model) for axes, model in zip(panels, models.items(), strict=False)]
    for axes in panels[len(models) :]:
        axes.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, title="polarity of the emotion")
    for axes, coordinates in zip(panels, drawn, strict=False):
        _label_points(figure, axes, coordinates)
    return figure


def _draw_panel(axes: Axes, name: str, embeddings: Floats) -> Floats:
    """The points of one model; returns their coordinates [32, 2]."""
    coordinates, shares = principal_components(embeddings)
    groups = np.array(_groups())
    for group, colour in COLOURS.items():
        x, y = coordinates[groups == group].T
        axes.scatter(x, y, s=26, c=colour, marker=MARKERS[group], linewidths=0, label=f"{group} ({len(x)})", zorder=2)
    axes.margins(0.09)
    axes.set_xlabel(f"first principal component ({shares[0]:.1%} of the variance)")
    axes.set_ylabel(f"second principal component ({shares[1]:.1%} of the variance)")
    axes.set_title(f"Emotion embeddings of {name}\n{describe_separation(embeddings)}", fontsize=11, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    return coordinates


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


def _label_points(figure: Figure, axes: Axes, coordinates: Floats) -> None:
    """Name the 32 points, in the order of `LABELS`; a thin line leads to a label that had to move away."""
    colours = [COLOURS[group] for group in _groups()]
    labels = [
        axes.annotate(text, xy=(x, y), xytext=(0, 0), textcoords="offset points", fontsize=LABEL_SIZE, color=colour)
        for text, (x, y), colour in zip(LABELS, coordinates, colours, strict=True)
    ]
    for label in labels:
        label.set(ha="center", va="center", in_layout=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph ")  # saving says it
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


def _groups() -> list[Polarity]:
    return [polarity(i) for i in range(len(LABELS))]
