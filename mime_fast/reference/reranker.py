"""The reranker of replies: a dual encoder on what the model's context encoder makes of contexts and of replies.

In NumPy, since it is as small as that; a back end may have a faster one. Dimensions: C hidden size, F and D the
reranker's own.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEAST_NORM = 1e-12

Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]


@dataclass(frozen=True)
class Tower:
    """Two layers with a ReLU between them: from 2 C numbers over F to a unit vector of D."""

    weight1: Floats  # [F, 2 C]
    bias1: Floats  # [F]
    weight2: Floats  # [D, F]
    bias2: Floats  # [D]

    def __call__(self, vectors: Floats, threads: int = 1, stop: npt.NDArray[np.uint8] | None = None) -> Floats:
        """Unit vectors [n, D] of `Backend.context_vectors` [n, 2 C], in their dtype.

        A row's bits depend neither on the other rows nor on the threads. `stop` is for a back end's own tower, which
        ends by a BackendError soon after it is set; this one does not read it.
        """
        if threads == 1 or len(vectors) < 2 * threads:
            return self._apply(vectors)
        with ThreadPoolExecutor(threads, thread_name_prefix="mime_fast reranker") as pool:
            return np.concatenate(list(pool.map(self._apply, np.array_split(vectors, threads))))

    def _apply(self, vectors: Floats) -> Floats:
        weight1, bias1, weight2, bias2 = (getattr(self, name).astype(vectors.dtype) for name in PARTS)
        return unit(_product(np.maximum(_product(vectors, weight1) + bias1, 0), weight2) + bias2)


PARTS = tuple(Tower.__dataclass_fields__)


@dataclass(frozen=True)
class Reranker:
    """Says how well a reply answers a context: the cosine of what is wanted and what is given."""

    wanted: Tower  # reads contexts
    given: Tower  # reads replies
    weight: float  # of a cosine beside a reply's log-prob, in nats


def unit(vectors: Floats) -> Floats:
    """The vectors [n, D] divided by their lengths."""
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    found: Floats = vectors / np.maximum(norms, LEAST_NORM)[:, None]
    return found


def cosines(wanted: Floats, given: Floats) -> Floats:
    """Of unit vectors, row by row: [n]."""
    found: Floats = np.einsum("nd,nd->n", wanted, given)
    return found


def _product(x: Floats, weight: Floats) -> Floats:
    """x [n, k] times weight [m, k]: [n, m]. Unlike `@` on the calling thread, and each sum in an order of its own."""
    found: Floats = np.einsum("nk,mk->nm", x, weight)
    return found
