"""The file of a reranker, which lies beside a model's weights; a model without it is complete."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from mime_fast.checkpoints.shapes import Found, Shape, check_tensors
from mime_fast.checkpoints.tensor_file import TensorFile
from mime_fast.errors import CheckpointError, ConfigError
from mime_fast.files import hash_of, write_bytes
from mime_fast.reference.reranker import PARTS, Reranker, Tower

RERANKER, WEIGHTS = "reranker.safetensors", "model.safetensors"
WEIGHT = "weight"
Numbers = npt.NDArray[np.floating[Any]]
DTYPES = ("float16", "float32", "float64")  # NumPy has no bfloat16
READ_BY = "weights_sha256"  # of the weights whose context encoder the towers read by: they know no other


def load_reranker(folder: Path, hidden_size: int) -> Reranker | None:
    """The one in a model folder, None where it has none.

    Raises:
        CheckpointError: the file is broken, does not fit a model of this hidden size (all faults in one message), or is
            of other weights than those beside it. One without a hash of its weights is taken as it is.
    """
    path = folder / RERANKER
    if not path.exists():
        return None
    tensors = TensorFile(path)
    _check(tensors.found(), hidden_size, where=str(path))
    read_by, weights = tensors.metadata.get(READ_BY), folder / WEIGHTS
    if read_by is not None and weights.is_file() and read_by != hash_of(weights):
        raise CheckpointError(
            f"{path}: was trained for other weights than {WEIGHTS} beside it, and reads by their encoder; it must be "
            "the one of these weights (save_model_folder writes both), or not be there"
        )
    wanted, given = (Tower(*(tensors[f"{tower}.{part}"] for part in PARTS)) for tower in ("wanted", "given"))
    return Reranker(wanted, given, float(tensors[WEIGHT][0]))


def save_reranker(folder: Path, reranker: Reranker, dtype: str = "float32") -> None:
    """Write it into a model folder, beside the weights that it was trained for; the file appears whole or not at all.

    Args:
        dtype: float16, float32 or float64.

    Raises:
        ConfigError: what `load_reranker` would refuse, such as numbers that are infinite in this dtype.
        OutputError: it cannot be written.
    """
    inputs = (np.shape(reranker.wanted.weight1) or (0,))[-1]
    content = check_reranker(reranker, inputs // 2, dtype)
    weights = folder / WEIGHTS
    metadata = {READ_BY: hash_of(weights)} if weights.is_file() else {}
    write_bytes(folder / RERANKER, save(content, metadata))


def check_reranker(reranker: Reranker, hidden_size: int, dtype: str = "float32") -> dict[str, Numbers]:
    """What the file of a model of this hidden size contains; ConfigError for what `load_reranker` would refuse."""
    if dtype not in DTYPES:
        raise ConfigError(f"dtype={dtype!r}: must be one of {', '.join(DTYPES)}")
    towers = {"wanted": reranker.wanted, "given": reranker.given}
    tensors = {f"{name}.{part}": getattr(tower, part) for name, tower in towers.items() for part in PARTS}
    read = {np.shape(tower.weight1)[-1:] for tower in towers.values()}
    if read != {(2 * hidden_size,)}:
        sizes = " and ".join(str(size) for shape in sorted(read) for size in shape)
        raise ConfigError(f"reranker whose towers read {sizes} numbers: must be 2 * hidden_size={2 * hidden_size}")
    with np.errstate(over="ignore"):  # they are counted
        content = {name: np.array(each, dtype, order="C") for name, each in tensors.items()}
        content[WEIGHT] = np.array([reranker.weight], dtype)
    found = {name: Found(each.shape, dtype, True, partial(_count_unusable, each)) for name, each in content.items()}
    try:
        _check(found, hidden_size, where=f"reranker in {dtype}")
    except CheckpointError as error:
        raise ConfigError(str(error)) from None
    return content


def _check(found: Mapping[str, Found], hidden_size: int, *, where: str) -> None:
    """CheckpointError for tensors that are no reranker of a model of this hidden size, with all faults."""
    sizes = {name: found[name].shape for name in ("wanted.bias1", "wanted.bias2") if name in found}
    if any(len(shape) != 1 or 0 in shape for shape in sizes.values()):
        raise CheckpointError(f"{where}: wanted.bias1 and wanted.bias2 must have one axis, of 1 or more, got {sizes}")
    hidden, width = (sizes.get(name, (0,))[0] for name in ("wanted.bias1", "wanted.bias2"))
    check_tensors(found, _shapes(2 * hidden_size, hidden, width), where=where)


def _count_unusable(values: Numbers) -> int:
    with np.errstate(over="ignore"):
        return int(np.count_nonzero(~np.isfinite(values.astype(np.float32))))


def _shapes(inputs: int, hidden: int, width: int) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {WEIGHT: (1,)}
    for tower in ("wanted", "given"):
        parts: tuple[Shape, ...] = (hidden, inputs), (hidden,), (width, hidden), (width,)
        shapes |= {f"{tower}.{part}": shape for part, shape in zip(PARTS, parts, strict=True)}
    return shapes
