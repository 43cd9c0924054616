from collections.abc import Callable, Mapping, Sequence
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

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

class ModelError(RuntimeError): ...

class NoResponse(RuntimeError):
    args: tuple[list[int]]

_Contexts = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int64]]
_Requests = tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.int32], bool]
_Heard = tuple[
    npt.NDArray[np.float32],
    npt.NDArray[np.int32],
    npt.NDArray[np.float32] | None,  # None: a baseline
    npt.NDArray[np.float32] | None,
]
_Replies = tuple[
    npt.NDArray[np.int64],  # replies a dialogue
    npt.NDArray[np.int64],  # their lengths
    npt.NDArray[np.int32],  # their tokens, flat
    npt.NDArray[np.float32],  # the tokens' log-probs
    npt.NDArray[np.float32],  # log-probs of the replies
    npt.NDArray[np.float64],  # scores
    npt.NDArray[np.bool_],  # ended by EOS
]

class Model:
    def __init__(
        self,
        config: Mapping[str, object],
        emotion_groups: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]],
        tensors: Mapping[str, npt.NDArray[np.float32]],
        precision: str,
        isa: str,
    ) -> None: ...
    @property
    def isa(self) -> str: ...
    def classify(
        self, contexts: _Contexts, *, stop: npt.NDArray[np.uint8] | None, threads: int, batch_size: int
    ) -> npt.NDArray[np.float32]: ...
    def generate(
        self,
        contexts: _Contexts,
        requests: _Requests,
        options: Mapping[str, object],
        prefixes: Sequence[Sequence[int]] | None,
        *,
        stop: npt.NDArray[np.uint8] | None,
        threads: int,
        batch_size: int,
    ) -> tuple[_Heard, _Replies]: ...
    def score(
        self,
        contexts: _Contexts,
        requests: _Requests,
        targets: npt.NDArray[np.int32],
        target_offsets: npt.NDArray[np.int64],
        *,
        stop: npt.NDArray[np.uint8] | None,
        threads: int,
        batch_size: int,
    ) -> tuple[_Heard, npt.NDArray[np.float32]]: ...

def search(
    step: Callable[[int, list[int]], npt.NDArray[np.float32]],
    vocab_size: int,
    options: Mapping[str, object],
    seeds: npt.NDArray[np.uint64],
    request_ids: npt.NDArray[np.uint64],
    prefixes: Sequence[Sequence[int]] | None = None,
) -> _Replies: ...
def why_not(isa: str) -> str: ...
def benchmark_kernel(name: str, precision: str, rows: int, isa: str = "auto", seconds: float = 0.2) -> float: ...
def peak(precision: str, isa: str = "auto", seconds: float = 0.2) -> float: ...

class BeamStep:
    def __init__(self, sizes: Mapping[str, int], addresses: Mapping[str, int]) -> None: ...
    def run(self, slots: int, log_probs: int, ids: int, threads: int = 1) -> None: ...
