"""From the model's tensors to the engine's results."""

from __future__ import annotations

from torch import Tensor

from mime_fast.emotions import LABELS, polarity
from mime_fast.engine.results import Candidate, EmotionMixture
from mime_fast.reference.hypothesis import Hypothesis
from mime_fast.reference.mime import Context, Memory
from mime_fast.reference.response_emotion import GROUPS, Mixture
from mime_fast.text.detokenize import detokenize
from mime_fast.text.tokenizer import Tokenizer


def emotions_of(context: Context) -> list[tuple[str, list[float]]]:
    """The classifier's first choice and all 32 probabilities, for each dialogue."""
    probs = context.emotion_logits.softmax(dim=1).tolist()
    first = context.emotion_logits.argmax(dim=1).tolist()
    return [(LABELS[index], row) for index, row in zip(first, probs, strict=True)]


def mixtures_of(mixture: Mixture, memory: Memory, mimicked: Tensor, *, ctx: bool) -> list[EmotionMixture]:
    """The mixture of each dialogue.

    Args:
        mimicked: emotion indices [B] whose polarity was mimicked.
        ctx: the memory's first position is CTX, which counts for no mimic share.
    """
    weights: list[dict[str, dict[str, float]]] = [{"positive": {}, "negative": {}} for _ in mimicked]
    for group, rows in mixture.weights.items():
        for view, row in zip(weights, rows.tolist(), strict=True):
            for index, weight in zip(GROUPS[group], row, strict=True):
                view[polarity(index)][LABELS[index]] = weight
    words = memory.real.clone()
    if ctx:
        words[:, 0] = False
    shares = (memory.mimic_share * words).sum(dim=1) / words.sum(dim=1)
    return [
        EmotionMixture(view["positive"], view["negative"], polarity(emotion), share)
        for view, emotion, share in zip(weights, mimicked.tolist(), shares.tolist(), strict=True)
    ]


def candidate_of(hypothesis: Hypothesis, tokenizer: Tokenizer) -> Candidate:
    """A hypothesis with its words."""
    tokens = tokenizer.tokens(hypothesis.token_ids)
    return Candidate(
        detokenize(tokens),
        tokens,
        list(hypothesis.token_ids),
        list(hypothesis.token_logprobs),
        hypothesis.logprob,
        hypothesis.score,
        hypothesis.finish_reason,
    )
