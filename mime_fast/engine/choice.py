"""Which of several draws is said: a likely one, in which the person's emotion is heard."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mime_fast.backends.protocol import Backend, Contexts, EmotionOutputs, Requests, Stop
from mime_fast.config.generation import GenerationConfig
from mime_fast.engine.assemble import emotion_probs
from mime_fast.engine.reading import flatten
from mime_fast.reference.hypothesis import Hypothesis
from mime_fast.text.special import CLS_ID, USR_ID

MIMICRY = 8.0  # what the logarithm of the agreement counts beside log P
LEAST = 1e-6  # is added to an agreement, which so has a logarithm; that of a reply without words

Probs = npt.NDArray[np.float64]


def search(
    backend: Backend,
    max_positions: int,
    contexts: Contexts,
    requests: Requests,
    options: GenerationConfig,
    prefixes: Sequence[Sequence[int]] | None = None,
    stop: Stop | None = None,
) -> tuple[EmotionOutputs, Sequence[list[Hypothesis]]]:
    """As `Backend.generate`; with `best_of` the best of so many draws.

    A reply is worth log P(reply given context) + MIMICRY log sum_e P(e given context) P(e given reply). The emotion of
    a reply is what the model's own classifier recognises in it, read as a speaker's turn; the context's is that of the
    request where one is given.
    """
    if not options.do_sample or options.best_of == 1:
        return backend.generate(contexts, requests, options, prefixes, stop)
    draws = options.replace(num_return_sequences=options.best_of, best_of=1)
    outputs, found = backend.generate(contexts, requests, draws, prefixes, stop)
    drawn = list(found)
    agreements = _agreements(backend, max_positions, _wanted(outputs, requests), drawn, stop)
    return outputs, [
        _best(hypotheses, agreement, options.num_return_sequences)
        for hypotheses, agreement in zip(drawn, agreements, strict=True)
    ]


def _wanted(outputs: EmotionOutputs, requests: Requests) -> Probs:
    """P(e given context), [N, 32]."""
    probs = emotion_probs(outputs.emotion_logits)
    given = np.flatnonzero(requests.emotions >= 0)
    probs[given] = 0.0
    probs[given, requests.emotions[given]] = 1.0
    return probs


def _agreements(
    backend: Backend, max_positions: int, wanted: Probs, drawn: Sequence[Sequence[Hypothesis]], stop: Stop | None
) -> list[list[float]]:
    """sum_e P(e given context) P(e given reply), of each hypothesis; the same words are read once."""
    kept = max_positions - 1  # beside CTX
    words = dict.fromkeys(one.token_ids[:kept] for hypotheses in drawn for one in hypotheses if one.token_ids)
    rows = {reply: row for row, reply in enumerate(words)}
    token_ids, offsets = flatten([[CLS_ID, *reply] for reply in words])
    state_ids, _ = flatten([[CLS_ID, *[USR_ID] * len(reply)] for reply in words])
    read = (
        emotion_probs(backend.classify(Contexts(token_ids, state_ids, offsets), stop)) if words else np.zeros((0, 32))
    )
    return [
        [float(read[rows[one.token_ids[:kept]]] @ probs) if one.token_ids else 0.0 for one in hypotheses]
        for probs, hypotheses in zip(wanted, drawn, strict=True)
    ]


def _best(hypotheses: Sequence[Hypothesis], agreements: Sequence[float], count: int) -> list[Hypothesis]:
    """The best first, with what they are worth as their score; what was drawn again comes after all others."""
    worth = [
        dataclasses.replace(one, score=one.logprob + MIMICRY * float(np.log(agreement + LEAST)))
        for one, agreement in zip(hypotheses, agreements, strict=True)
    ]
    first: dict[tuple[int, ...], int] = {}
    again = [first.setdefault(one.token_ids, place) != place for place, one in enumerate(worth)]
    order = sorted(range(len(worth)), key=lambda place: (again[place], -worth[place].score))
    return [worth[place] for place in order[:count]]
