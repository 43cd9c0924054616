"""What the engine returns: plain, frozen values."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from functools import cached_property

from mime_fast.emotions import Polarity
from mime_fast.reference.hypothesis import FinishReason

MAX_EXPONENT = math.log(sys.float_info.max)


@dataclass(frozen=True)
class EmotionMixture:
    """The sampled response emotion (eq. 9) and how the gate weighs it (eq. 25).

    `positive` and `negative` map emotion names to the weights d_pos and d_neg (each sums to 1; together to 1 in a model
    without emotion grouping). `polarity` is the group that is mimicked. `mimic_share` is
    mean(g[:C]) / (mean(g[:C]) + mean(g[C:])) of the gate g, averaged over the context's words (CTX is none).
    """

    positive: dict[str, float]
    negative: dict[str, float]
    polarity: Polarity
    mimic_share: float


@dataclass(frozen=True)
class Candidate:
    """One generated hypothesis.

    `token_ids` and `tokens` are without the final EOS; `token_logprobs` (natural logarithms) have its value where one
    was produced. `logprob` is their sum as the search added it up, in the precision of the model; `score` is what the
    search ranks by. `text` reads naturally. Words of a prefix are as they were given, their ids UNK where the model
    does not know them.
    """

    text: str
    tokens: list[str]
    token_ids: list[int]
    token_logprobs: list[float]
    logprob: float
    score: float
    finish_reason: FinishReason


@dataclass(frozen=True)
class Reply:
    """The answer to one dialogue: its candidates and the emotions behind them.

    A beam's candidates come best first, samples in the order of their draws, whatever their scores: each is a draw of
    its own, and the first one is the same however many there are. `text`, `tokens`, `score` and so on are those of the
    first. `mixture` is None where the model has none (a baseline). `emotion` is the classifier's first choice and
    `emotion_probs` its 32 probabilities in the order of `mime_fast.emotions.LABELS`.
    """

    candidates: list[Candidate]
    emotion: str
    emotion_probs: list[float]
    mixture: EmotionMixture | None

    @property
    def text(self) -> str:
        return self.candidates[0].text

    @property
    def tokens(self) -> list[str]:
        return self.candidates[0].tokens

    @property
    def token_ids(self) -> list[int]:
        return self.candidates[0].token_ids

    @property
    def token_logprobs(self) -> list[float]:
        return self.candidates[0].token_logprobs

    @property
    def logprob(self) -> float:
        return self.candidates[0].logprob

    @property
    def score(self) -> float:
        return self.candidates[0].score

    @property
    def finish_reason(self) -> FinishReason:
        return self.candidates[0].finish_reason


@dataclass(frozen=True)
class Classification:
    """The user's emotion: the first choice, all 32 probabilities (order of `LABELS`), and the first choice's group."""

    emotion: str
    emotion_probs: list[float]
    polarity: Polarity


@dataclass(frozen=True)
class Score:
    """A given response under the model.

    `tokens` are the response's words, `token_logprobs` their log-probs and the EOS's; a word outside the vocabulary has
    UNK's. `logprob` is the sum.
    """

    tokens: list[str]
    token_logprobs: list[float]
    emotion: str
    emotion_probs: list[float]
    mixture: EmotionMixture | None

    @cached_property
    def logprob(self) -> float:
        return math.fsum(self.token_logprobs)

    @property
    def perplexity(self) -> float:
        """exp(-logprob / count), the EOS counted; infinite where that is beyond all floats."""
        return perplexity(-self.logprob / len(self.token_logprobs))


def perplexity(nll: float) -> float:
    """exp(nll), a mean negative log-likelihood per token; infinite where that is beyond all floats, NaN for NaN."""
    return math.inf if nll > MAX_EXPONENT else math.exp(nll)
