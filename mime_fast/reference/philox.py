"""Counter-based random numbers: Philox 4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011).

A number depends only on (seed, request id, purpose, step, sequence, position): never on the batch, the order of calls
or the process. docs/random.md states the scheme so that a twin in another language gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from numbers import Integral

import numpy as np
import numpy.typing as npt

from mime_fast.errors import InputError

Integers = int | Sequence[int] | npt.NDArray[np.integer]
Words = npt.NDArray[np.uint32]

ROUNDS = 10
BLOCK_BITS = 18
STEP_BITS = 14
PURPOSE_BITS = 8
SEQUENCE_BITS = 24
MAX_NUMBERS = 4 << BLOCK_BITS  # of one draw

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = np.array([0x9E3779B9, 0xBB67AE85], dtype=np.uint32)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


class Purpose(IntEnum):
    """What a draw is for; part of the counter."""

    PRIOR_POSITIVE = 0
    PRIOR_NEGATIVE = 1
    POSTERIOR_POSITIVE = 2
    POSTERIOR_NEGATIVE = 3
    TOKEN = 4


def philox4x32(counter: Words, key: Words) -> Words:
    """Ten rounds of Philox 4x32.

    Args:
        counter: [..., 4] uint32.
        key: [..., 2] uint32, broadcast against the counter.

    Returns:
        [..., 4] uint32.
    """
    x0, x1, x2, x3 = (counter[..., lane].astype(np.uint64) for lane in range(4))
    key = key.astype(np.uint32)
    for _ in range(ROUNDS):
        first, second = _MULTIPLIERS[0] * x0, _MULTIPLIERS[1] * x2
        x0, x1, x2, x3 = (
            (second >> _HALF) ^ x1 ^ key[..., 0],
            second & _LOW,
            (first >> _HALF) ^ x3 ^ key[..., 1],
            first & _LOW,
        )
        key = key + _WEYL
    return np.stack(np.broadcast_arrays(x0, x1, x2, x3), axis=-1).astype(np.uint32)


def standard_normal(
    seeds: Integers, request_ids: Integers, purpose: int, size: int, *, step: int = 0, sequence: int = 0
) -> npt.NDArray[np.float64]:
    """Standard normals by Box-Muller on the lane pairs (0, 1) and (2, 3) of each block.

    Args:
        seeds: One for all requests, or N; each from 0 to 2^64 - 1.
        request_ids: One or N; each from 0 to 2^64 - 1.
        purpose: A `Purpose`.
        size: Numbers a request, 1 to 2^20.
        step: Decoding step, below 2^14.
        sequence: Returned sequence, below 2^24.

    Returns:
        [N, size] float64.

    Raises:
        InputError: a value is out of its range, or the lengths of seeds and request ids differ.
    """
    size = int(_integers("size", size, 1, MAX_NUMBERS)[0])
    blocks = np.arange(-(-size // 4), dtype=np.uint64)[None, :]  # [1, blocks]
    uniforms = _uniforms(seeds, request_ids, purpose, step, sequence, blocks)  # [N, blocks, 4]
    radius = np.sqrt(-2.0 * np.log(uniforms[..., 0::2]))  # [N, blocks, 2]
    angle = 2.0 * np.pi * uniforms[..., 1::2]
    normals = np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=-1)  # [N, blocks, 2, 2]
    return normals.reshape(len(uniforms), blocks.size * 4)[:, :size]


def gumbel(
    seeds: Integers,
    request_ids: Integers,
    steps: Integers,
    sequences: Integers,
    token_ids: npt.NDArray[np.integer],
) -> npt.NDArray[np.float64]:
    """Standard Gumbel numbers of given tokens: the argmax of (log-prob + Gumbel) is a draw from the distribution.

    A token's number does not depend on which other tokens are asked for.

    Args:
        seeds, request_ids, steps, sequences: One for all rows, or N each; ranges as in `standard_normal`.
        token_ids: [N, k] integers from 0 to 2^20 - 1.

    Returns:
        [N, k] float64.

    Raises:
        InputError: a value is out of its range, or the shapes do not fit.
    """
    shape = np.shape(token_ids)
    if len(shape) != 2:
        raise InputError(f"token_ids of shape {shape}: must be [N, k]")
    tokens = _integers("token_ids", np.asarray(token_ids).reshape(-1), 0, MAX_NUMBERS - 1).reshape(shape)  # [N, k]
    uniforms = _uniforms(seeds, request_ids, Purpose.TOKEN, steps, sequences, tokens >> np.uint64(2))  # [N, k, 4]
    lanes = (tokens & np.uint64(3)).astype(np.int64)[..., None]
    picked: npt.NDArray[np.float64] = np.take_along_axis(uniforms, lanes, axis=-1)[..., 0]
    return -np.log(-np.log(picked))


def _uniforms(
    seeds: Integers,
    request_ids: Integers,
    purpose: int,
    steps: Integers,
    sequences: Integers,
    blocks: npt.NDArray[np.uint64],
) -> npt.NDArray[np.float64]:
    """Uniforms in (0, 1), exact in float32, of the given blocks [N or 1, b]: [N, b, 4]."""
    columns = {
        "seeds": _integers("seeds", seeds, 0, 2**64 - 1),
        "request_ids": _integers("request_ids", request_ids, 0, 2**64 - 1),
        "steps": _integers("step", steps, 0, (1 << STEP_BITS) - 1),
        "sequences": _integers("sequence", sequences, 0, (1 << SEQUENCE_BITS) - 1),
        "purpose": _integers("purpose", purpose, 0, max(Purpose)),
    }
    lengths = {name: len(column) for name, column in columns.items()} | {"token_ids": len(blocks)}
    try:
        (count,) = np.broadcast_shapes(*((length,) for length in lengths.values()))
    except ValueError:
        given = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"lengths differ: {given}; must be equal, or 1") from None
    seed, request, step, sequence, kind = (np.broadcast_to(column, count)[:, None] for column in columns.values())
    counter = np.stack(
        np.broadcast_arrays(
            (step << np.uint64(BLOCK_BITS)) | blocks,
            (sequence << np.uint64(PURPOSE_BITS)) | kind,
            request & _LOW,
            request >> _HALF,
        ),
        axis=-1,
    ).astype(np.uint32)
    key = np.stack((seed & _LOW, seed >> _HALF), axis=-1).astype(np.uint32)
    words = philox4x32(counter, key)
    return ((words >> np.uint32(9)).astype(np.float64) + 0.5) * 2.0**-23


def _integers(name: str, values: Integers, low: int, high: int) -> npt.NDArray[np.uint64]:
    """One integer, or all of a list or an array, as [n] uint64."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        items: Sequence[object] = [values.min(), values.max()] if values.size else []
    else:
        items = values if isinstance(values, Sequence) else [values]
    for item in items:
        if not isinstance(item, Integral) or isinstance(item, bool) or not low <= int(item) <= high:
            raise InputError(f"{name}={item!r}: must be an integer from {low} to {high}")
    return np.array(values, dtype=np.uint64).reshape(-1)
