"""A reranker of replies: a dual encoder on what the model's own context encoder makes of contexts and of replies.

It is a file of its own beside a model's weights; a model without it is complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from mime_fast.checkpoints.shapes import Shape, check_tensors
from mime_fast.checkpoints.tensor_file import TensorFile
from mime_fast.errors import CheckpointError
from mime_fast.files import write_bytes

RERANKER = "reranker.safetensors"
DECIMALS = 6  # of a cosine: what others in the same call may change lies far behind them
LEAST_NORM = 1e-12
WEIGHT = "weight"

Vectors = npt.NDArray[np.float64]
AnyFloats = npt.NDArray[np.float32] | npt.NDArray[np.float64]


@dataclass(frozen=True)
class Tower:
    """Two layers with a ReLU between them: from 2 C numbers over F to a unit vector of D."""

    weight1: AnyFloats  # [F, 2 C]
    bias1: AnyFloats  # [F]
    weight2: AnyFloats  # [D, F]
    bias2: AnyFloats  # [D]

    def __call__(self, vectors: AnyFloats) -> Vectors:
        """Unit vectors, [n, D], of `Backend.context_vectors` [n, 2 C]."""
        hidden = np.maximum(vectors.astype(np.float64) @ self.weight1.T + self.bias1, 0.0)
        out: Vectors = (hidden @ self.weight2.T + self.bias2).astype(np.float64)
        out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), LEAST_NORM)
        return out


PARTS = tuple(Tower.__dataclass_fields__)


@dataclass(frozen=True)
class Reranker:
    """Says how well a reply answers a context: the cosine of what is wanted and what is given."""

    wanted: Tower  # reads contexts
    given: Tower  # reads replies
    weight: float  # of a cosine beside a reply's log-prob, in nats

    def cosines(self, wanted: Vectors, given: Vectors) -> Vectors:
        """Of the vectors of both towers, row by row: [n]."""
        found: Vectors = np.einsum("nd,nd->n", wanted, given)
        return np.round(found, DECIMALS)


def load_reranker(folder: Path, hidden_size: int) -> Reranker | None:
    """The one in a model folder, None where it has none.

    Raises:
        CheckpointError: the file is broken, or does not fit a model of this hidden size (all faults in one message).
    """
    path = folder / RERANKER
    if not path.exists():
        return None
    tensors = TensorFile(path)
    found = tensors.found()
    sizes = {name: found[name].shape for name in ("wanted.bias1", "wanted.bias2") if name in found}
    if any(len(shape) != 1 for shape in sizes.values()):
        raise CheckpointError(f"{path}: wanted.bias1 and wanted.bias2 must have one axis, got {sizes}")
    hidden, width = (sizes.get(name, (0,))[0] for name in ("wanted.bias1", "wanted.bias2"))
    check_tensors(found, _shapes(2 * hidden_size, hidden, width), where=str(path))
    wanted, given = (Tower(*(tensors[f"{tower}.{part}"] for part in PARTS)) for tower in ("wanted", "given"))
    return Reranker(wanted, given, float(tensors[WEIGHT][0]))


def save_reranker(folder: Path, reranker: Reranker, dtype: str = "float32") -> None:
    """Write it into a model folder; the file appears whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    towers = {"wanted": reranker.wanted, "given": reranker.given}
    tensors = {f"{name}.{part}": getattr(tower, part) for name, tower in towers.items() for part in PARTS}
    tensors[WEIGHT] = np.array([reranker.weight])
    write_bytes(folder / RERANKER, save({name: np.ascontiguousarray(each, dtype) for name, each in tensors.items()}))


def _shapes(inputs: int, hidden: int, width: int) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {WEIGHT: (1,)}
    for tower in ("wanted", "given"):
        parts: tuple[Shape, ...] = (hidden, inputs), (hidden,), (width, hidden), (width,)
        shapes |= {f"{tower}.{part}": shape for part, shape in zip(PARTS, parts, strict=True)}
    return shapes
