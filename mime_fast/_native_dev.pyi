from collections.abc import Callable, Mapping, Sequence
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from mime_fast._native import _Replies

@overload
def standard_normal(
    seeds: npt.NDArray[np.uint64],
    request_ids: npt.NDArray[np.uint64],
    purpose: int,
    size: int,
    *,
    step: int = 0,
    sequence: int = 0,
    dtype: Literal["float64"] = "float64",
) -> npt.NDArray[np.float64]: ...
@overload
def standard_normal(
    seeds: npt.NDArray[np.uint64],
    request_ids: npt.NDArray[np.uint64],
    purpose: int,
    size: int,
    *,
    step: int = 0,
    sequence: int = 0,
    dtype: Literal["float32"],
) -> npt.NDArray[np.float32]: ...
def search(
    step: Callable[[int, list[int]], npt.NDArray[np.float32]],
    vocab_size: int,
    options: Mapping[str, object],
    seeds: npt.NDArray[np.uint64],
    request_ids: npt.NDArray[np.uint64],
    prefixes: Sequence[Sequence[int]] | None = None,
) -> _Replies: ...
def benchmark_kernel(name: str, precision: str, rows: int, isa: str = "auto", seconds: float = 0.2) -> float: ...
def peak(precision: str, isa: str = "auto", seconds: float = 0.2) -> float: ...
def screen_bounds(
    weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32], x: npt.NDArray[np.float32], isa: str = "auto"
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]: ...
def screened_best(
    weight: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float32],
    x: npt.NDArray[np.float32],
    k: int,
    suppressed: npt.NDArray[np.uint8],
    banned: Sequence[Sequence[int]],
    threads: int = 1,
    isa: str = "auto",
) -> list[tuple[bool, tuple[list[int], list[float], float], float, tuple[list[int], list[float], float]]]: ...
def draws(
    logits: npt.NDArray[np.float32],
    log_sum_exp: float,
    off: float,
    options: Mapping[str, object],
    seeds: Sequence[int],
    banned: Sequence[int],
) -> list[tuple[int, int | None]]: ...
def product(
    precision: str, weight: npt.NDArray[np.float32], x: npt.NDArray[np.float32], isa: str = "auto"
) -> npt.NDArray[np.float32]: ...
def leading_axis(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]: ...

class BeamStep:
    def __init__(self, sizes: Mapping[str, int], addresses: Mapping[str, int]) -> None: ...
    def run(self, slots: int, log_probs: int, ids: int, values: int, threads: int = 1) -> None: ...
