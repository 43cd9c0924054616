"""What all pictures share: their size and colours, and how they are written."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mime_fast.errors import ConfigError, MissingPackage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
WIDTH = 8.0  # inches; a power of two, so that a width in pixels survives the division
COLOURS = {"positive": "#0072B2", "negative": "#D55E00"}  # blue and vermilion of Okabe and Ito's palette
LABEL_SIZE = 8  # points
_SHOWN = 20  # characters without a glyph that a warning names
_missing_glyph = re.compile(r"Glyph (\d+) .*missing from", re.DOTALL).match


def check_suffix(path: str | os.PathLike[str]) -> str:
    """The format that a figure's file name asks for: "png", "svg" or "pdf"; ConfigError for any other."""
    suffix = Path(path).suffix
    if suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: suffix {suffix!r}; must be one of {', '.join(SUFFIXES)}")
    return suffix.lower()[1:]


def check_matplotlib() -> None:
    """MissingPackage if Matplotlib cannot be imported."""
    try:
        import matplotlib.figure  # noqa: F401 (asked for here, used by the drawing functions)
    except ImportError as error:
        raise MissingPackage(f"plots need Matplotlib ({error}): pip install 'mime-fast[plots]'") from None


def save_figure(figure: Figure, stream: BinaryIO, file_format: str, width: int, creator: str = "mime-fast") -> None:
    """Write a figure: a PNG `width` pixels wide, or an SVG or PDF in its own inches; the same bytes every time.

    `creator` is named in the file's metadata.
    """
    from matplotlib import rc_context

    metadata: dict[str, dict[str, Any]] = {
        "png": {"Software": creator},
        "svg": {"Creator": creator, "Date": None},
        "pdf": {"Creator": creator, "CreationDate": None},
    }
    with rc_context({"svg.hashsalt": "mime_fast", "savefig.bbox": None}), _missing_glyphs_at_once():
        figure.savefig(stream, format=file_format, dpi=width / figure.get_figwidth(), metadata=metadata[file_format])


@contextmanager
def _missing_glyphs_at_once() -> Iterator[None]:
    """One warning that the font lacks characters, in place of Matplotlib's, one for each of them."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield
    lacking: dict[str, None] = {}
    for one in told:
        if missing := _missing_glyph(str(one.message)):
            lacking[chr(int(missing[1]))] = None
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if lacking:
        named = "".join(list(lacking)[:_SHOWN]) + (f" and {more} more" if (more := len(lacking) - _SHOWN) > 0 else "")
        warnings.warn(
            f"the picture's font lacks these characters, which are drawn as boxes: {named} "
            "(font.family in a matplotlibrc names other fonts)",
            stacklevel=3,
        )
