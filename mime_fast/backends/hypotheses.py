"""What a search found, as columns: a dialogue's hypotheses are made into objects when they are looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from mime_fast.reference.hypothesis import Hypothesis


@dataclass(frozen=True, eq=False)
class Hypotheses(Sequence[list[Hypothesis]]):
    """The hypotheses of N dialogues, M in all, one after the other: a list per dialogue.

    It equals the lists that it stands for, and shows itself as they do. A list is made anew each time.
    """

    sizes: npt.NDArray[np.int64]  # [N], hypotheses of each dialogue
    counts: npt.NDArray[np.int64]  # [M], tokens of each hypothesis, its EOS counted
    token_ids: npt.NDArray[np.int32]  # [sum of counts], with each EOS
    token_logprobs: npt.NDArray[np.float32]  # [sum of counts]
    logprobs: npt.NDArray[np.float32]  # [M]
    scores: npt.NDArray[np.float64]  # [M]
    ended: npt.NDArray[np.bool_]  # [M], by its EOS

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, index: int) -> list[Hypothesis]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[Hypothesis]]: ...
    def __getitem__(self, index: int | slice) -> list[Hypothesis] | list[list[Hypothesis]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        dialogue = range(len(self))[index]
        return next(self._lists(dialogue, dialogue + 1))

    def __iter__(self) -> Iterator[list[Hypothesis]]:
        return self._lists(0, len(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Hypotheses | list):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))

    @cached_property
    def _firsts(self) -> npt.NDArray[np.int64]:
        """Each dialogue's first hypothesis, [N + 1]."""
        return np.concatenate([[0], np.cumsum(self.sizes)])

    @cached_property
    def _starts(self) -> npt.NDArray[np.int64]:
        """Each hypothesis's first token, [M + 1]."""
        return np.concatenate([[0], np.cumsum(self.counts)])

    def _lists(self, begin: int, end: int) -> Iterator[list[Hypothesis]]:
        """Those of dialogues `begin` to `end` - 1."""
        firsts = self._firsts[begin : end + 1].tolist()
        mine = slice(firsts[0], firsts[-1])
        starts = self._starts[mine.start : mine.stop + 1].tolist()
        tokens = slice(starts[0], starts[-1])
        token_ids, token_logprobs = self.token_ids[tokens].tolist(), self.token_logprobs[tokens].tolist()
        columns: Any = (self.counts, self.logprobs, self.scores, self.ended)
        rows = zip(*(column[mine].tolist() for column in columns), strict=True)
        start = 0
        for first, last in pairwise(firsts):
            found = []
            for _ in range(first, last):
                count, logprob, score, ended = next(rows)
                stop = start + count
                ids = tuple(token_ids[start : stop - 1 if ended else stop])
                log_probs = tuple(token_logprobs[start:stop])
                found.append(Hypothesis(ids, log_probs, logprob, score, "eos" if ended else "length"))
                start = stop
            yield found
