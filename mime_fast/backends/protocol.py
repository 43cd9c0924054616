"""What every implementation of the model offers: encoded dialogues in, hypotheses and figures out, in numpy arrays.

Arrays are C-contiguous. N is the number of dialogues, S a context's length with CTX, T a response's with EOS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import ModelConfig
from mime_fast.errors import BackendError
from mime_fast.reference.hypothesis import Hypothesis
from mime_fast.reference.reranker import Reranker

Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]

OPS = ("encode", "response_emotion", "gate_fusion", "decode", "search", "random_numbers")  # what `describe` names
MIME_OPS = ("response_emotion", "gate_fusion")  # those that a baseline has not; its sampling draws random numbers, too

Stop = npt.NDArray[np.uint8]  # [1]; another thread sets it to 1, and the call ends soon by a BackendError


@dataclass(frozen=True)
class Contexts:
    """N encoded dialogues, one after the other."""

    token_ids: Ids  # [sum S], each begins with CTX
    state_ids: Ids  # [sum S], who says each of them: CTX, USR or SYS
    offsets: Offsets  # [N + 1]

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True)
class Requests:
    """What a dialogue's response emotion is drawn from."""

    seeds: Keys  # [N]
    request_ids: Keys  # [N]
    emotions: Ids  # [N], the index of a given emotion, -1: the classifier's
    stochastic: bool


@dataclass(frozen=True)
class EmotionOutputs:
    """What the model made of N dialogues."""

    emotion_logits: Floats  # s of eq. 4, [N, 32]
    mimicked: Ids  # [N], the emotion whose polarity was mimicked
    weights: Floats | None  # d_g by emotion id, [N, 32]: both groups, or the one of all 32; None: a baseline
    mimic_share: Floats | None  # [N], the gate's share of M, averaged over the words (CTX left out); None: a baseline


class Backend(Protocol):
    """An implementation. It takes any number of dialogues, batches them as it likes, and keeps their order.

    `stop` is for a call on a thread that no signal reaches.

    Raises:
        BackendError: the model produced NaN, or `stop` was set.
        ConfigError: no response is possible. Both name dialogues by their place in the arrays, in `dialogues`, too.
    """

    @property
    def name(self) -> str:
        """What `load` calls it."""

    @property
    def rescores(self) -> bool:
        """Whether exact log-probs are wanted, and those of `generate` are not: `score` has them."""

    def classify(self, contexts: Contexts, stop: Stop | None = None) -> Floats:
        """Emotion logits, [N, 32]."""

    def context_vectors(self, contexts: Contexts, stop: Stop | None = None) -> Floats:
        """What the context encoder made of each context (eq. 2), [N, 2 C].

        Its first state, c of eq. 3, then the mean of its states H over all positions, CTX included and PAD not.
        """

    def packed(self, reranker: Reranker) -> Reranker:
        """The same, as fast as the back end has it."""

    def generate(
        self,
        contexts: Contexts,
        requests: Requests,
        options: GenerationConfig,
        prefixes: Sequence[Sequence[int]] | None = None,
        stop: Stop | None = None,
    ) -> tuple[EmotionOutputs, Sequence[list[Hypothesis]]]:
        """What `mime_fast.reference.search.search` returns for each dialogue; `options` are checked already.

        The lists may be made when they are looked at.

        Args:
            prefixes: token ids that the responses begin with, one list (or an empty one) a dialogue.
        """

    def score(
        self,
        contexts: Contexts,
        requests: Requests,
        targets: Ids,
        target_offsets: Offsets,
        stop: Stop | None = None,
    ) -> tuple[EmotionOutputs, Floats]:
        """Log-probs [sum T] of the targets [sum T], each of which ends by EOS; offsets [N + 1]."""

    def mimic_shares(self, contexts: Contexts, requests: Requests) -> Floats:
        """The gate's share of M at each position (eq. 25), [sum S]; 0 at CTX. Only for MIME."""

    def describe(self) -> dict[str, Any]:
        """JSON-ready facts for `Engine.describe`.

        `implementations` maps each op of the model to `choice` and `reason`; a back end of several instruction sets
        adds `isa`; `remark` is what a user should know at once.
        """


def ops_of(config: ModelConfig) -> tuple[str, ...]:
    """The ops that a model has."""
    return OPS if config.noise_groups else tuple(op for op in OPS if op not in MIME_OPS)


def refuse_nan(
    what: str, values: Floats, *, owners: npt.NDArray[np.int64] | None = None, offsets: Offsets | None = None
) -> None:
    """Raise a BackendError that names the dialogues whose values contain NaN.

    Args:
        owners: the dialogue of each value; without it and `offsets` each dialogue has one row.
        offsets: where the values of each dialogue begin and end, [N + 1].
    """
    if not np.isnan(values).any():
        return
    if owners is None:
        owners = np.arange(len(values)) if offsets is None else np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    broken = np.isnan(values).reshape(len(values), -1).any(axis=1)
    dialogues = np.unique(owners[broken]).tolist()
    message = f"the model produced NaN in the {what} of dialogues {dialogues} of this batch"
    raise BackendError(message).about(dialogues)
