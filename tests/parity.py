"""The one tolerance table: how far a result may be from what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor

# Absolute bounds by dtype; those of the small ones are half a step at 1, where the results of kernels are.
BOUNDS: dict[torch.dtype, float] = {
    torch.float32: 1e-4,
    torch.float64: 1e-10,
    torch.float16: 2**-11,
    torch.bfloat16: 2**-8,
}

# Root mean square error of a log-prob beside float32's, in deviations of the logits: a bfloat16 keeps 8 bits; a step of
# int8, the largest value / 127, is about 1/40 of a row's deviation. Three layers add to it. No token is 5 times as far.
PRECISION_BOUNDS: dict[str, float] = {"bfloat16": 2**-7, "int8": 2**-5}
NARROW = 127 / 96  # int8's steps where there is no 8-bit dot product, in those of where there is one
FARTHEST = 5

# Of a log-prob of `screened` beside float32's: the tail of its normaliser is approximate (docs/screening.md).
SCREENED_BOUND = 1e-2


def assert_close(actual: Tensor, expected: Tensor) -> None:
    """Equal shapes, no NaN, and within the bound of the actual tensor's dtype."""
    bound = BOUNDS[actual.dtype]
    torch.testing.assert_close(actual, expected.to(actual.dtype), atol=bound, rtol=0.0)


def assert_as_exact(actual: Tensor, plain: Tensor, exact: Tensor) -> None:
    """The largest error against `exact` (float64) is at most twice that of plain PyTorch in the same dtype, plus the
    bound."""
    assert actual.dtype == plain.dtype and actual.shape == plain.shape == exact.shape
    assert not actual.isnan().any()
    allowed = 2 * _largest(plain, exact) + BOUNDS[actual.dtype]
    error = _largest(actual, exact)
    assert error <= allowed, f"an error of {error:.3g}, where {allowed:.3g} is allowed"


class Scored(Protocol):
    """A hypothesis, or a candidate of a reply."""

    @property
    def token_ids(self) -> Sequence[int]: ...
    @property
    def finish_reason(self) -> str: ...
    @property
    def score(self) -> float: ...


ScoredT = TypeVar("ScoredT", bound=Scored)


def assert_same_replies(
    found: Sequence[ScoredT], expected: Sequence[ScoredT], score: Callable[[ScoredT], float]
) -> None:
    """Equal tokens, except where `score`, the reference's, sets both replies less than the bound apart."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        if (one.token_ids, one.finish_reason) != (other.token_ids, other.finish_reason):
            apart = abs(score(one) - other.score)
            assert apart < BOUNDS[torch.float32], f"{one} instead of {other}, whose score is {apart:.3g} away"


def _largest(actual: Tensor, exact: Tensor) -> float:
    return float((actual.double() - exact).abs().max()) if actual.numel() else 0.0
