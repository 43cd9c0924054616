"""An answer as JSON: the one form in which replies, scores and classifications are written."""

from __future__ import annotations

import math
from typing import Any

from mime_fast.emotions import LABELS
from mime_fast.engine.results import Candidate, Classification, EmotionMixture, Reply, Score, heaviest

PROBABILITY_DIGITS = 6
WEIGHT_DIGITS = 4  # of the mixture and the gate
TOP = 3  # emotions in a row, where all are not the point of it


def default_top(*, classifying: bool) -> int:
    """How many emotions an answer's JSON has unless it is said."""
    return len(LABELS) if classifying else TOP


def record(answer: Reply | Score | Classification, *, top_emotions: int = len(LABELS)) -> dict[str, Any]:
    """The answer's values, JSON-ready.

    `emotion_probs` has the `top_emotions` likeliest, likeliest first, or all in the order of `LABELS`. What is infinite
    or NaN is None. `num_tokens` counts the end mark where there is one.
    """
    mixed = {} if isinstance(answer, Classification) else {"mixture": _mixture(answer.mixture)}
    return {**_body(answer), **_emotions(answer, top_emotions), **mixed}


def _body(answer: Reply | Score | Classification) -> dict[str, Any]:
    if isinstance(answer, Reply):
        several = [_candidate(one) for one in answer.candidates]
        return {**several[0], **({"candidates": several} if len(several) > 1 else {})}
    if isinstance(answer, Score):
        return {
            "logprob": finite(answer.logprob),
            "perplexity": finite(answer.perplexity),
            "tokens": answer.tokens,
            "token_logprobs": [finite(value) for value in answer.token_logprobs],
        }
    return {}


def _candidate(one: Candidate) -> dict[str, Any]:
    return {
        "text": one.text,
        "score": finite(one.score),
        "logprob": finite(one.logprob),
        "num_tokens": len(one.token_logprobs),
        "finish_reason": one.finish_reason,
    }


def _emotions(answer: Reply | Score | Classification, top: int) -> dict[str, Any]:
    probs = answer.emotion_probs
    chosen = probs.items() if top == len(LABELS) else heaviest(probs, top)
    return {
        "emotion": answer.emotion,
        "emotion_probs": {name: round(value, PROBABILITY_DIGITS) for name, value in chosen},
        "polarity": answer.polarity,
    }


def _mixture(mixture: EmotionMixture | None) -> dict[str, Any] | None:
    if mixture is None:
        return None
    return {
        "polarity": mixture.polarity,
        "mimic_share": round(mixture.mimic_share, WEIGHT_DIGITS),
        "positive": _weights(mixture.positive),
        "negative": _weights(mixture.negative),
    }


def _weights(weights: dict[str, float]) -> dict[str, float]:
    return {name: round(weight, WEIGHT_DIGITS) for name, weight in weights.items()}


def finite(value: float) -> float | None:
    """None, which JSON has, for what it has no number for."""
    return value if math.isfinite(value) else None
