"""From a name or a path to a ready engine."""

from __future__ import annotations

import dataclasses
import os
from functools import partial
from pathlib import Path
from typing import TypedDict

from mime_fast.backends.select import Wanted, choose
from mime_fast.checkpoints.model_folder import load_model_folder
from mime_fast.engine.ending import ended_with_process
from mime_fast.engine.engine import Engine
from mime_fast.errors import CheckpointError, ConfigError

PRETRAINED = Path(__file__).resolve().parent.parent / "pretrained"
DEFAULT_MODEL = "mime-ed"


class LoadOptions(TypedDict, total=False):
    """The options of `load` besides the model, for those who pass them on."""

    device: str
    precision: str
    threads: int | None
    batch_size: int | None
    backend: str
    isa: str
    cuda_graphs: bool
    exact_logprobs: bool


def load(
    path: str | os.PathLike[str] | None = None,
    device: str = "auto",
    precision: str = "float32",
    threads: int | None = None,
    *,
    batch_size: int | None = None,
    backend: str = "auto",
    isa: str = "auto",
    cuda_graphs: bool = True,
    exact_logprobs: bool = False,
) -> Engine:
    """Load a model.

    Args:
        path: a model folder, or the name of one that ships with the package; None: the default one.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "float32"; "screened" or "int8" (only native), "bfloat16" (native or cuda), "float16" (only cuda), or
            "float64" (only reference).
        threads: CPU threads that calls use; None: OMP_NUM_THREADS, or all cores that this process may use.
        batch_size: dialogues that one thread or GPU decodes together; for speed and memory only. None: 64, or 1,024 on
            a GPU.
        backend: "native" (C++ on the CPU), "cuda" (a GPU), "reference" (PyTorch), or "auto": the fastest that can run.
        isa: the instruction set of the native back end (`mime-fast info` lists them), or "auto": the best one here.
        cuda_graphs: False: the cuda back end launches every kernel by itself, which is slower, to find faults; others
            do not look at it.
        exact_logprobs: with "screened", log-probs of replies and of given responses are float32's. Each reply that is
            returned is scored once more for it; for several of a dialogue "float32" is faster. Other precisions have
            theirs anyway.

    Raises:
        CheckpointError: no such model, or a broken one.
        ConfigError: an argument is not allowed.
        BackendError: what was asked for by name cannot run here; the message says why.
    """
    if path is not None and not isinstance(path, str | os.PathLike):
        raise ConfigError(f"path={path!r}: must be None, a model folder or the name of a shipped model")
    wanted = Wanted(device, precision, threads, batch_size, backend, isa, cuda_graphs, exact_logprobs)
    found = find_model(path)
    name = found.name if found.parent == PRETRAINED else str(found)
    reload = partial(load, os.path.abspath(found), **dataclasses.asdict(wanted))
    with ended_with_process():
        folder = load_model_folder(found)
        return Engine(folder, name, choose(folder.weights, wanted), reload)


def find_model(path: str | os.PathLike[str] | None) -> Path:
    """The folder that `load` would read.

    Raises:
        CheckpointError: neither a folder nor the name of a shipped model.
    """
    wanted = Path(DEFAULT_MODEL if path is None else path)
    is_empty = path is not None and not os.fspath(path)  # which Path takes for the current folder
    if path is not None and not is_empty and os.path.isdir(wanted):  # False, too, for a name that is too long
        return wanted
    shipped = PRETRAINED / wanted
    if len(wanted.parts) == 1 and os.path.isdir(shipped):
        return shipped
    names = sorted(entry.name for entry in PRETRAINED.glob("*") if entry.is_dir())
    raise CheckpointError(
        f"no model at {'' if is_empty else str(wanted)!r}; give a model folder or the name of a shipped model "
        f"({', '.join(names) or 'none here'})"
    )
