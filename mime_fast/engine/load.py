"""From a name or a path to a ready engine."""

from __future__ import annotations

import os
from numbers import Integral
from pathlib import Path

from mime_fast.engine.device import place
from mime_fast.engine.engine import Engine
from mime_fast.engine.model_folder import load_model_folder
from mime_fast.errors import CheckpointError, ConfigError

PRETRAINED = Path(__file__).resolve().parent.parent / "pretrained"
DEFAULT_MODEL = "mime-ed"


def load(
    path: str | os.PathLike[str] | None = None,
    device: str = "auto",
    precision: str = "float32",
    threads: int | None = None,
) -> Engine:
    """Load a model.

    Args:
        path: a model folder, or the name of one that ships with the package; None: the default one.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "float32" or "float64".
        threads: CPU threads that calls use; None: PyTorch's own number; 1 starts no thread.

    Raises:
        CheckpointError: no such model, or a broken one; ConfigError, BackendError: an argument is not allowed here.
    """
    if threads is not None and (not isinstance(threads, Integral) or isinstance(threads, bool) or threads < 1):
        raise ConfigError(f"threads={threads!r}: None or an integer of 1 or more is allowed")
    if path is not None and not isinstance(path, str | os.PathLike):
        raise ConfigError(f"path={path!r}: None, a model folder or the name of a shipped model is allowed")
    placement = place(device, precision)
    folder = find_model(path)
    return Engine(load_model_folder(folder), str(folder if path is not None else DEFAULT_MODEL), placement, threads)


def find_model(path: str | os.PathLike[str] | None) -> Path:
    """The folder that `load` would read.

    Raises:
        CheckpointError: neither a folder nor the name of a shipped model.
    """
    wanted = Path(DEFAULT_MODEL if path is None else path)
    if path is not None and wanted.is_dir():
        return wanted
    shipped = PRETRAINED / wanted
    if len(wanted.parts) == 1 and shipped.is_dir():
        return shipped
    names = sorted(entry.name for entry in PRETRAINED.glob("*") if entry.is_dir())
    raise CheckpointError(
        f"no model at {str(wanted)!r}; give a model folder or the name of a shipped model "
        f"({', '.join(names) or 'none here'})"
    )
