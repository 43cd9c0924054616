from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

class ModelError(RuntimeError):
    dialogues: list[int]

class NoResponse(RuntimeError):
    dialogues: list[int]

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

# Of GenerationConfig: num_beams, max_new_tokens, min_new_tokens, do_sample, top_k, top_p, temperature, length_penalty,
# no_repeat_ngram_size, repetition_penalty, num_return_sequences, suppress_tokens, search.
_Options = Mapping[str, object]

class _Tensors(Protocol):
    def __getitem__(self, name: str, /) -> npt.NDArray[np.float32]: ...

class Model:
    def __init__(
        self,
        config: Mapping[str, object],
        emotion_groups: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]],
        tensors: _Tensors,
        precision: str,
        isa: str,
    ) -> None: ...
    @property
    def isa(self) -> str: ...
    @property
    def screened(self) -> bool: ...
    def classify(
        self, contexts: _Contexts, *, stop: npt.NDArray[np.uint8] | None, threads: int, batch_size: int
    ) -> npt.NDArray[np.float32]: ...
    def context_vectors(
        self, contexts: _Contexts, *, stop: npt.NDArray[np.uint8] | None, threads: int, batch_size: int
    ) -> npt.NDArray[np.float32]: ...
    def mimic_shares(
        self,
        contexts: _Contexts,
        requests: _Requests,
        *,
        stop: npt.NDArray[np.uint8] | None,
        threads: int,
        batch_size: int,
    ) -> npt.NDArray[np.float32]: ...
    def generate(
        self,
        contexts: _Contexts,
        requests: _Requests,
        options: _Options,
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
        dense: bool = False,
        stop: npt.NDArray[np.uint8] | None,
        threads: int,
        batch_size: int,
    ) -> tuple[_Heard, npt.NDArray[np.float32]]: ...

class Tower:
    def __init__(
        self,
        weight1: npt.NDArray[np.float32],
        bias1: npt.NDArray[np.float32],
        weight2: npt.NDArray[np.float32],
        bias2: npt.NDArray[np.float32],
        *,
        isa: str,
    ) -> None: ...
    def __call__(
        self, vectors: npt.NDArray[np.float32], *, stop: npt.NDArray[np.uint8] | None, threads: int
    ) -> npt.NDArray[np.float32]: ...

interface: str  # SHA-256 of this file when the extension was built
isas: tuple[str, ...]  # all that this version knows, whether they can run here or not

def why_not(isa: str) -> str: ...
