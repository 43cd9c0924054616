"""How often each emotion was recognised in a corpus, as a picture."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mime_fast.emotions import INDEX, emotion_index, polarity
from mime_fast.errors import DataError
from mime_fast.evaluation.json_file import read_json
from mime_fast.evaluation.pictures.figure import COLOURS, LABEL_SIZE, WIDTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def read_emotions(path: str | os.PathLike[str]) -> dict[str, int]:
    """The emotions that the summary of a corpus job counts: `--summary`'s file, or a manifest of a finished job.

    Raises:
        DataError: no such file, not a summary, or one that counts nothing.
    """
    found = read_json(path)
    if isinstance(found, dict) and isinstance(found.get("finished"), dict):
        found = found["finished"].get("summary")
    counts = found.get("emotions") if isinstance(found, dict) else None
    if not isinstance(counts, dict):
        raise DataError(
            f"{path}: no object 'emotions'; a summary of generate, score or classify, or a job's manifest, is expected"
        )
    for name, count in counts.items():
        if name not in INDEX or type(count) is not int or count < 0:
            raise DataError(f"{path}: emotions has {name!r}: {count!r}; an emotion and an integer from 0 are expected")
    if not any(counts.values()):
        raise DataError(f"{path}: emotions counts no row; at least one is needed")
    return counts


def draw_emotions(counts: Mapping[str, int]) -> Figure:
    """A bar for each emotion that was recognised, the most frequent on top, in the colour of its polarity."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    names = sorted((name for name in counts if counts[name]), key=lambda name: (-counts[name], name))
    groups = {name: polarity(emotion_index(name)) for name in names}
    total = sum(counts.values())
    figure = Figure((WIDTH, 0.8 + 0.21 * max(6, len(names))), layout="constrained")
    axes = figure.add_subplot()
    shares = [100 * counts[name] / total for name in names]
    bars = axes.barh(names, shares, color=[COLOURS[groups[name]] for name in names], height=0.75)
    axes.bar_label(bars, labels=[f"{counts[name]:,}" for name in names], padding=3, fontsize=LABEL_SIZE)
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.01)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("share of the rows (%)")
    axes.set_title(f"Emotions recognised in {total:,} {'row' if total == 1 else 'rows'}")
    axes.spines[["top", "right"]].set_visible(False)
    sums = {group: sum(counts[name] for name in names if groups[name] == group) for group in COLOURS}
    handles = [Patch(color=COLOURS[group], label=f"{group} ({100 * sums[group] / total:.0f} %)") for group in COLOURS]
    axes.legend(handles=handles, loc="lower right", frameon=False, title="polarity")
    return figure
