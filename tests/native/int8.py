"""The int8 of csrc/include/mime_fast/matrix.h: how large a step of a row of activations or of weights is on an
instruction set."""

from __future__ import annotations

from itertools import product
from typing import TypeVar

import numpy as np
import numpy.typing as npt

FloatT = TypeVar("FloatT", np.float32, np.float64)


def heaviest_eight(weight: npt.NDArray[FloatT]) -> npt.NDArray[FloatT]:
    """Of each row the largest sum of the positive, or of the negative ones among eight weights whose products some
    instruction sets add in 16 bits."""
    eights = np.pad(weight, ((0, 0), (0, -weight.shape[1] % 16))).reshape(len(weight), -1, 4, 2, 2)
    both = np.maximum(np.stack([eights, -eights]), 0)
    sums = np.zeros_like(both[:, :, :, 0, :, 0])
    for word, byte in product(range(4), range(2)):  # one by one, as pack() adds them: a last digit may move a rounding
        sums = sums + both[:, :, :, word, :, byte]
    heaviest: npt.NDArray[FloatT] = sums.max(axis=(0, 2, 3))[:, None]
    return heaviest


def has_full_range(isa: str) -> bool:
    """Whether activations have 127 steps on either side, not 96."""
    return isa in ("avx2_vnni", "avx512_vnni", "avx512_bf16", "neon_dotprod")


def activation_scale(x: npt.NDArray[FloatT], isa: str) -> npt.NDArray[FloatT]:
    """[M, 1]: the largest value is the last step."""
    scale: npt.NDArray[FloatT] = np.abs(x).max(axis=-1, keepdims=True) / x.dtype.type(
        127 if has_full_range(isa) else 96
    )
    return scale


def weight_scale(weight: npt.NDArray[FloatT], isa: str) -> npt.NDArray[FloatT]:
    """[N, 1]: the largest weight is the last step; in the narrow range a step is so large, besides, that eight products
    fit in 16 bits: 166 steps and what rounding adds, times 192."""
    largest: npt.NDArray[FloatT] = np.abs(weight).max(axis=-1, keepdims=True) / weight.dtype.type(127)
    return largest if has_full_range(isa) else np.maximum(largest, heaviest_eight(weight) / weight.dtype.type(166))


def in_steps(x: npt.NDArray[FloatT], scale: npt.NDArray[FloatT]) -> npt.NDArray[np.float64]:
    """Weights, rounded to whole steps."""
    steps = np.clip(np.rint(x / np.where(scale > 0, scale, 1)), -127, 127)
    rounded: npt.NDArray[np.float64] = steps.astype(float) * scale.astype(float)
    return rounded


def activations_in_steps(x: npt.NDArray[np.float32], isa: str) -> npt.NDArray[np.float64]:
    """Activations, rounded to whole steps as kernels do it: times the reciprocal, where a quotient may fall on the
    other side of a half. All but `generic` round the product only once, to whole steps."""
    scale = activation_scale(x, isa)
    factor = 1 / np.where(scale > 0, scale, np.float32(1))
    steps = np.rint(x * factor if isa == "generic" else x.astype(float) * factor.astype(float))
    rounded: npt.NDArray[np.float64] = steps.astype(float) * scale.astype(float)
    return rounded
