"""What the engine returns: plain, frozen values that show themselves."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

from mime_fast.config.checks import check_int
from mime_fast.emotions import INDEX, LABELS, Polarity, polarity
from mime_fast.errors import ConfigError
from mime_fast.reference.hypothesis import FinishReason

MAX_EXPONENT = math.log(sys.float_info.max)
SHOWN = 60  # characters of a text in a repr


@dataclass(frozen=True, repr=False)
class EmotionMixture:
    """The sampled response emotion (eq. 9) and how the gate weighs it (eq. 25).

    `positive` and `negative` map emotion names to the weights d_pos and d_neg (each sums to 1; together to 1 in a model
    without emotion grouping). `polarity` is the group that is mimicked; None: a model without mimicry. `mimic_share` is
    mean(g[:C]) / (mean(g[:C]) + mean(g[C:])) of the gate g, averaged over the context's words (CTX is none): the share
    of the mimicked side, or, without mimicry, of the positive one.
    """

    positive: dict[str, float]
    negative: dict[str, float]
    polarity: Polarity | None
    mimic_share: float

    def top(self, k: int = 3, group: Polarity | None = None) -> list[tuple[str, float]]:
        """The `k` heaviest emotions of a group with their weights, heaviest first.

        None is the group that is mimicked, or both where none is.

        Raises:
            ConfigError: `k` is not an integer of 0 or more, or there is no such group.
        """
        if group is not None and (not isinstance(group, str) or group not in get_args(Polarity)):
            raise ConfigError(f"group={group!r}: must be one of {', '.join(get_args(Polarity))}")
        check_int("k", k, 0)
        groups = {"positive": self.positive, "negative": self.negative}
        return heaviest(groups.get(group or self.polarity or "", self.positive | self.negative), k)

    def __repr__(self) -> str:
        groups = ", ".join(f"{group}={_few(getattr(self, group))}" for group in ("positive", "negative"))
        return f"EmotionMixture(polarity={self.polarity!r}, mimic_share={self.mimic_share:.3f}, {groups})"


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        return f"Candidate({_text(self.text)}, score={self.score:.3f}, finish_reason={self.finish_reason!r})"


class Answer:
    """What replies, scores and classifications have in common."""

    emotion: str
    emotion_probs: dict[str, float]

    def top(self, k: int = 3) -> list[tuple[str, float]]:
        """The `k` likeliest emotions of the user with their probabilities, likeliest first.

        Raises:
            ConfigError: `k` is not an integer of 0 or more.
        """
        check_int("k", k, 0)
        return heaviest(self.emotion_probs, k)

    def to_dict(self, top_emotions: int | None = None) -> dict[str, Any]:
        """JSON-ready: the keys and values of the command line's JSON lines (which also have `id`, `row` and `seed`).

        `emotion_probs` has the `top_emotions` likeliest; None: as many as the command's default, all 32 of a
        classification and 3 otherwise.

        Raises:
            ConfigError: `top_emotions` is not an integer from 0 to 32.
        """
        from mime_fast.engine.records import default_top, record

        if top_emotions is not None:
            check_int("top_emotions", top_emotions, 0, len(LABELS))
        own = default_top(classifying=isinstance(self, Classification)) if top_emotions is None else top_emotions
        return record(self, top_emotions=own)  # type: ignore[arg-type]

    def _repr_html_(self) -> str:
        from mime_fast.engine.html import answer_html

        return answer_html(self)  # type: ignore[arg-type]

    def _recognised(self) -> str:
        return f"emotion={self.emotion!r} ({self.emotion_probs[self.emotion]:.0%})"


@dataclass(frozen=True, repr=False)
class Reply(Answer):
    """The answer to one dialogue: its candidates and the emotions behind them.

    Candidates of beams and of `best_of` come best first, other samples in the order of their draws, whatever their
    scores: each is a draw of its own, and the first one is the same however many there are. `text`, `tokens`, `score`
    and so on are those of the first. `mixture` is None where the model has none (a baseline). `emotion` is the
    classifier's first choice, `emotion_probs` the probabilities of all 32 by name, in the order of
    `mime_fast.EMOTIONS`.
    """

    candidates: list[Candidate]
    emotion: str
    emotion_probs: dict[str, float]
    mixture: EmotionMixture | None

    @property
    def polarity(self) -> Polarity:
        """The group of `emotion`; the one that is mimicked is `mixture.polarity`."""
        return polarity(INDEX[self.emotion])

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

    def __repr__(self) -> str:
        several = f", {len(self.candidates)} candidates" if len(self.candidates) > 1 else ""
        return (
            f"Reply({_text(self.text)}, {self._recognised()}{_mimics(self.mixture)}, score={self.score:.3f}{several})"
        )


@dataclass(frozen=True, repr=False)
class Classification(Answer):
    """The user's emotion: the first choice, all 32 probabilities by name, and the first choice's group."""

    emotion: str
    emotion_probs: dict[str, float]
    polarity: Polarity

    def __repr__(self) -> str:
        return f"Classification({self._recognised()}, polarity={self.polarity!r})"


@dataclass(frozen=True, repr=False)
class Score(Answer):
    """A given response under the model.

    `tokens` are the response's words, `token_logprobs` their log-probs and the EOS's; a word outside the vocabulary has
    UNK's. `logprob` is the sum.
    """

    tokens: list[str]
    token_logprobs: list[float]
    emotion: str
    emotion_probs: dict[str, float]
    mixture: EmotionMixture | None

    @cached_property
    def logprob(self) -> float:
        return math.fsum(self.token_logprobs)

    @property
    def perplexity(self) -> float:
        """exp(-logprob / count), the EOS counted; infinite where that is beyond all floats."""
        return perplexity(-self.logprob / len(self.token_logprobs))

    @property
    def polarity(self) -> Polarity:
        """The group of `emotion`; the one that is mimicked is `mixture.polarity`."""
        return polarity(INDEX[self.emotion])

    def __repr__(self) -> str:
        counted = f"perplexity={self.perplexity:.2f}, logprob={self.logprob:.3f}, {len(self.tokens)} tokens"
        return f"Score({counted}, {self._recognised()}{_mimics(self.mixture)})"


def perplexity(nll: float) -> float:
    """exp(nll), a mean negative log-likelihood per token; infinite where that is beyond all floats, NaN for NaN."""
    return math.inf if nll > MAX_EXPONENT else math.exp(nll)


def heaviest(weights: Mapping[str, float], k: int) -> list[tuple[str, float]]:
    """The `k` largest, largest first; equal ones in their order."""
    return sorted(weights.items(), key=lambda item: -item[1])[:k]


def _few(weights: Mapping[str, float]) -> str:
    shown = ", ".join(f"{name!r}: {weight:.3f}" for name, weight in heaviest(weights, 2))
    return f"{{{shown}, ...}}" if len(weights) > 2 else f"{{{shown}}}"


def _text(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}...")


def _mimics(mixture: EmotionMixture | None) -> str:
    if mixture is None or mixture.polarity is None:
        return ""
    return f", mimics={mixture.polarity!r} ({mixture.mimic_share:.0%})"
