"""What a candidate is worth to the risk: how well it answers its context."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mime_fast.engine.engine import Engine
from mime_fast.engine.results import Candidate
from mime_fast.training.sentence_encoder import SentenceEncoder, Subworder, given_replies, wanted_replies

LIKELIHOOD = 0.025  # of a reply's log-prob beside a cosine


class AnswerGain:
    """How well a reply answers: cos(wanted, given) + LIKELIHOOD log P(reply | context).

    The vectors of the reply that a context wants and of the one given are those of encoders that never saw the context;
    P is that of the weights the stage begins with, so that replies stay what people say, and end where they may.
    """

    def __init__(
        self,
        encoders: Sequence[SentenceEncoder],
        subworder: Subworder,
        contexts: Sequence[Sequence[str]],
        folds: npt.NDArray[np.int64],
        engine: Engine,
    ) -> None:
        """
        Args:
            encoders: one for each fold, trained on the others.
            contexts: of the training pairs.
            folds: of each training pair, [n].
            engine: with the weights that the stage begins with.
        """
        self.encoders, self.subworder, self.contexts, self.folds = encoders, subworder, contexts, folds
        self.engine = engine
        self.given: list[dict[str, npt.NDArray[np.float32]]] = [{} for _ in encoders]

    def __call__(self, pairs: Sequence[int], candidates: Sequence[Candidate]) -> list[float]:
        """What each candidate is worth as a reply to its training pair's context.

        No words at all answer nothing: the cosine is -1, and P that of the search.

        Args:
            pairs: the number of each candidate's training pair.
        """
        gains = np.array([LIKELIHOOD * each.logprob - 1 for each in candidates])
        said = [n for n, each in enumerate(candidates) if each.tokens]
        scores = self.engine.score(
            [self.contexts[pairs[n]] for n in said],
            [candidates[n].tokens for n in said],
            request_ids=[pairs[n] for n in said],
            strict_turns=False,
        )
        for n, cosine, score in zip(said, self._cosines(pairs, candidates, said), scores, strict=True):
            gains[n] = cosine + LIKELIHOOD * score.logprob
        return [float(gain) for gain in gains]

    def forget(self) -> None:
        """Read all replies anew: last digits depend on what is read together, and a run that goes on has read none."""
        for known in self.given:
            known.clear()

    def _cosines(self, pairs: Sequence[int], candidates: Sequence[Candidate], said: Sequence[int]) -> list[float]:
        """Those of the candidates at `said`."""
        found: dict[int, float] = {}
        for fold, encoder in enumerate(self.encoders):
            mine = [n for n in said if self.folds[pairs[n]] == fold]
            contexts = list(dict.fromkeys(pairs[n] for n in mine))
            wanted = wanted_replies(encoder, self.subworder, [self.contexts[pair] for pair in contexts])
            of_pair = dict(zip(contexts, wanted, strict=True))
            given = self._given(fold, [candidates[n].text for n in mine])
            found |= {n: float(vector @ of_pair[pairs[n]]) for n, vector in zip(mine, given, strict=True)}
        return [found[n] for n in said]

    def _given(self, fold: int, texts: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        """Vectors of replies; the same ones come again and again."""
        known = self.given[fold]
        new = list(dict.fromkeys(text for text in texts if text not in known))
        known.update(zip(new, given_replies(self.encoders[fold], self.subworder, new), strict=True))
        return [known[text] for text in texts]
