"""Checkpoints of the authors' code: read without running code in them, with the tensors' names as they are there."""

from __future__ import annotations

import io
import os
import pickle
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mime_fast.needs_torch

import torch
from safetensors.torch import load_file
from torch import Tensor

from mime_fast.checkpoints.pickle_scan import check_pickle
from mime_fast.checkpoints.released import MIME, Layout
from mime_fast.checkpoints.released_baselines import BESIDE, DECODER, MODULES, MOEL, UNSAVED, baseline_of
from mime_fast.checkpoints.released_numbers import NUMPY
from mime_fast.errors import CheckpointError

ARCHIVE = b"PK\x03\x04"  # how the files of torch.save begin; the older ones are pickles, this many, before the numbers
OLD_PICKLES = 5
DIRECTORY = 0x10  # of an entry's attributes; torch.load then leaves its memory as it is, Python reads the entry

WRAPPERS = ("module", "model", "_orig_mod", "net", "network")  # names that a model has inside another module
MOST_WRAPPERS = 16  # of each name, one inside another


@dataclass(frozen=True)
class Weights:
    """The tensors of a checkpoint, and what is wrong with it already."""

    layout: Layout
    tensors: dict[str, Tensor]
    faults: tuple[str, ...]
    named: tuple[str, ...]  # how the names of tensors begin that are not there because of these faults


def read_checkpoint(path: str | os.PathLike[str]) -> Mapping[Any, Any]:
    """What `torch.save` wrote, or a safetensors file of its tensors, read without running code in it.

    Raises:
        CheckpointError: missing, truncated, not a checkpoint, or with anything in it besides tensors and plain values.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: not a file; a checkpoint of the released code is expected")
    if _is_safetensors(path):
        return _safetensors_checkpoint(path)
    try:
        _check_file(Path(path))
        with warnings.catch_warnings(), torch.serialization.safe_globals([*NUMPY]):
            warnings.simplefilter("ignore")  # about pickle protocols; what cannot be read raises
            saved = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except Exception as error:  # a broken file can raise anything
        raise CheckpointError(f"{path}: {_reason(error)}") from None
    if not isinstance(saved, Mapping):
        raise CheckpointError(
            f"{path}: contains {type(saved).__name__}; a dict with 'model', with MoEL's state dicts, or a state dict "
            "is expected"
        )
    return saved


def _check_file(path: Path) -> None:
    """What torch.load does not look at: checksums, sizes, and what a pickle costs.

    Raises:
        CheckpointError: damaged, or it would become far more than the file is.
        Exception: of any kind, where it is no readable archive.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        is_archive = file.read(len(ARCHIVE)) == ARCHIVE
        file.seek(0)
        for _ in range(0 if is_archive else OLD_PICKLES):
            try:
                check_pickle(file, size)
            except CheckpointError:
                raise
            except Exception:  # fewer, or broken: torch.load says so
                return
    if is_archive:
        _check_archive(path, size)


def _check_archive(path: Path, size: int) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if packed := [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]:
            raise CheckpointError(f"refused: {packed[0]} in it is compressed; torch.save only stores")
        if strange := [entry.filename for entry in entries if not _is_read_alike(entry)]:
            raise CheckpointError(
                f"damaged: {strange[0]} in it has content and is marked as a folder, or has two sizes"
            )
        if sum(entry.file_size for entry in entries) > size:
            raise CheckpointError("refused: what is in it is larger than the file")
        names = Counter(entry.filename.lower() for entry in entries)  # torch.load finds them in either case
        if len(names) < len(entries):
            raise CheckpointError(f"damaged: {names.most_common(1)[0][0]} is in it more than once")
        if not any(entry.CRC for entry in entries):  # torch.save can leave them out
            for entry in entries:
                del entry.CRC
        if broken := archive.testzip():
            raise CheckpointError(f"damaged: {broken} in it has another checksum than when it was saved")
        for entry in entries:
            if entry.filename.lower().endswith(".pkl"):
                check_pickle(io.BytesIO(archive.read(entry)), size)


def _is_read_alike(entry: zipfile.ZipInfo) -> bool:
    """Whether torch.load reads what zipfile reads: of a folder, or of what is stored in 0 bytes, it reads nothing."""
    folder = entry.filename.endswith("/") or entry.external_attr & DIRECTORY
    return entry.compress_size == entry.file_size and not (folder and entry.file_size)


def _is_safetensors(path: str | os.PathLike[str]) -> bool:
    """By its beginning, as all files are told apart: the header's length in 8 bytes, and JSON."""
    try:
        with open(path, "rb") as file:
            return file.read(9)[8:] == b"{"
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from None


def _safetensors_checkpoint(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Names have no levels in such a file: a baseline's begin with the state dict that they would be in, and a dot."""
    try:
        tensors = load_file(path)
    except Exception as error:  # a broken file can raise anything
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from None
    saved: dict[str, Any] = {}
    for name, value in tensors.items():
        part, _, inner = name.partition(".")
        if part in (*MODULES, UNSAVED):
            saved.setdefault(part, {})[inner] = value
        else:
            saved[name] = value
    return saved


def find_weights(saved: Mapping[Any, Any], *, where: str) -> Weights:
    """MIME's tensors, under `model`, `state_dict` or beside them; or a baseline's, in state dicts of its parts.

    Raises:
        CheckpointError: there are none.
    """
    if any(name in saved for name in (*MODULES, UNSAVED)):
        return _in_parts(saved)
    state = saved.get("model", saved.get("state_dict", saved))
    if not isinstance(state, Mapping) or not any(isinstance(value, Tensor) for value in state.values()):
        keys = ", ".join(sorted(map(repr, saved))[:8]) or "none"
        raise CheckpointError(f"{where}: no tensors under 'model', beside it or in MoEL's state dicts; keys: {keys}")
    tensors, faults, named = _plain_tensors(without_wrapper(state))
    return Weights(MIME, tensors, tuple(faults), tuple(named))


def without_wrapper(state: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """A state dict without what DataParallel, torch.compile and trainers put before names, such as `module.`.

    It is taken from the names that have it, if most have; others stay, and are faults.
    """
    for wrapper in WRAPPERS * MOST_WRAPPERS:
        wrapped = [name for name in state if isinstance(name, str) and name.startswith(f"{wrapper}.")]
        if 2 * len(wrapped) > len(state):
            inner = {name: name.removeprefix(f"{wrapper}.") for name in wrapped}
            if len({inner.get(name, name) for name in state}) == len(state):
                state = {inner.get(name, name): value for name, value in state.items()}
    return state


def _in_parts(saved: Mapping[Any, Any]) -> Weights:
    layout = baseline_of(saved.get(DECODER))
    parts = (*MODULES, UNSAVED) if layout is MOEL else MODULES
    missing = [name for name in MODULES if name not in saved]
    faults = [f"missing {name}" for name in missing]
    faults += [f"unexpected {name!r} beside the state dicts" for name in saved if name not in (*parts, *BESIDE)]
    tensors: dict[str, Tensor] = {}
    named = [f"{name}." for name in missing]
    for part in (name for name in parts if name in saved):
        state = saved[part]
        if not isinstance(state, Mapping):
            faults.append(f"{part} is {type(state).__name__}, expected a state dict")
            named.append(f"{part}.")
            continue
        found, wrong, absent = _plain_tensors(without_wrapper(state), f"{part}.")
        tensors |= found
        faults += wrong
        named += absent
    return Weights(layout, tensors, tuple(faults), tuple(named))


def _plain_tensors(state: Mapping[Any, Any], prefix: str = "") -> tuple[dict[str, Tensor], list[str], list[str]]:
    """The plain tensors of a state dict under their names after `prefix`, all faults, and the names they are of."""
    tensors: dict[str, Tensor] = {}
    faults, named = [], []
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            faults.append(f"{prefix}{name!r} is {type(value).__name__}, expected a tensor under a name")
        elif not _is_plain(value):
            faults.append(f"{prefix}{name} is no plain tensor in memory")
        else:
            tensors[prefix + name] = value
            continue
        named.append(f"{prefix}{name}")
    return tensors, faults, named


def _is_plain(value: Tensor) -> bool:
    """Whether all its values are in memory; a small file can claim a huge tensor that repeats one value."""
    if type(value) not in (Tensor, torch.nn.Parameter) or value.layout != torch.strided or value.device.type != "cpu":
        return False
    return value.untyped_storage().nbytes() >= value.numel() * value.element_size()


def _reason(error: Exception) -> str:
    """What is wrong with the file, without torch's advice to switch the protection off."""
    text = str(error)
    named = re.search(r"GLOBAL (\S+)", text) or re.search(r"unrecognized function (.+)", text)
    if named:
        return f"refused: it names {named[1]}, which a checkpoint does not need and might run code"
    if isinstance(error, pickle.UnpicklingError):
        return "refused: it is not written by torch.save, or contains something besides tensors and plain values"
    written = "truncated, or written by neither torch.save nor safetensors"
    return f"not a readable checkpoint: {written} ({type(error).__name__})"
