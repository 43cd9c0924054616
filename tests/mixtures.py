"""The emotion mixture of an answer that must have one."""

from __future__ import annotations

from mime_fast.engine.results import EmotionMixture, Reply, Score


def mixture_of(answer: Reply | Score) -> EmotionMixture:
    assert answer.mixture is not None
    return answer.mixture
