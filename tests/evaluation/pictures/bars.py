"""What the tests of pictures with bars share."""

from __future__ import annotations

from typing import Any


def widths_of(axes: Any) -> list[float]:
    """Those of the bars of matplotlib's axes."""
    return [float(bar.get_width()) for bar in axes.patches]
