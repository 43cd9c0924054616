"""From a back end's arrays to the engine's results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat

import numpy as np
import numpy.typing as npt

from mime_fast.backends.protocol import EmotionOutputs, Floats
from mime_fast.emotions import LABELS, NEGATIVE, NEGATIVE_IDS, POSITIVE, POSITIVE_IDS, polarity
from mime_fast.engine.results import Candidate, Classification, EmotionMixture, Reply, Score
from mime_fast.reference.hypothesis import Hypothesis
from mime_fast.text.detokenize import detokenize
from mime_fast.text.tokenizer import Tokenizer


def replies_of(
    outputs: EmotionOutputs,
    found: Sequence[Sequence[Hypothesis]],
    tokenizer: Tokenizer,
    begun: Sequence[Sequence[str]] | None = None,
    *,
    mimics: bool,
) -> Iterator[Reply]:
    """One reply per dialogue; `begun`, the words that each begins with, stay as they were given.

    `mimics`: the model's `ModelConfig.mimics`, as below.
    """
    forced = repeat((), len(found)) if begun is None else begun
    rows = zip(found, forced, _emotions_of(outputs.emotion_logits), _mixtures_of(outputs, mimics), strict=True)
    for hypotheses, words, (emotion, probs), mixture in rows:
        yield Reply([_candidate_of(one, tokenizer, words) for one in hypotheses], emotion, probs, mixture)


def scores_of(
    outputs: EmotionOutputs, responses: Sequence[list[str]], log_probs: Floats, *, mimics: bool
) -> Iterator[Score]:
    """One score per dialogue; `log_probs` of all words and EOS, one response after the other."""
    values, start = log_probs.tolist(), 0
    rows = zip(responses, _emotions_of(outputs.emotion_logits), _mixtures_of(outputs, mimics), strict=True)
    for tokens, (emotion, probs), mixture in rows:
        end = start + len(tokens) + 1
        yield Score(tokens, values[start:end], emotion, probs, mixture)
        start = end


def classifications_of(emotion_logits: Floats) -> Iterator[Classification]:
    """One classification a dialogue, logits [N, 32]."""
    for emotion, probs in _emotions_of(emotion_logits):
        yield Classification(emotion, probs, polarity(LABELS.index(emotion)))


def emotion_probs(logits: Floats) -> npt.NDArray[np.float64]:
    """P(e) of logits [N, 32]."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _emotions_of(logits: Floats) -> Iterator[tuple[str, dict[str, float]]]:
    """The classifier's first choice and all 32 probabilities, for each dialogue."""
    named = (dict(zip(LABELS, row, strict=True)) for row in emotion_probs(logits).tolist())
    return zip([LABELS[i] for i in logits.argmax(axis=1).tolist()], named, strict=True)


def _mixtures_of(outputs: EmotionOutputs, mimics: bool) -> Iterator[EmotionMixture | None]:
    weights, shares = outputs.weights, outputs.mimic_share
    if weights is None or shares is None:
        yield from repeat(None, len(outputs.mimicked))
        return
    positive, negative = (weights[:, list(ids)].tolist() for ids in (POSITIVE_IDS, NEGATIVE_IDS))
    rows = zip(positive, negative, outputs.mimicked.tolist(), shares.tolist(), strict=True)
    for pleasant, unpleasant, emotion, share in rows:
        by_name = dict(zip(POSITIVE, pleasant, strict=True)), dict(zip(NEGATIVE, unpleasant, strict=True))
        yield EmotionMixture(*by_name, polarity(emotion) if mimics else None, share)


def _candidate_of(hypothesis: Hypothesis, tokenizer: Tokenizer, begun: Sequence[str]) -> Candidate:
    """A hypothesis with its words."""
    tokens = [*begun, *tokenizer.tokens(hypothesis.token_ids[len(begun) :])]
    return Candidate(
        text=detokenize(tokens),
        tokens=tokens,
        token_ids=list(hypothesis.token_ids),
        token_logprobs=list(hypothesis.token_logprobs),
        logprob=hypothesis.logprob,
        score=hypothesis.score,
        finish_reason=hypothesis.finish_reason,
    )
