"""Which of several draws is said: a likely one that answers, or in which the person's emotion is heard."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mime_fast.backends.protocol import Backend, Contexts, EmotionOutputs, Requests, Stop
from mime_fast.config.generation import GenerationConfig
from mime_fast.engine.assemble import emotion_probs
from mime_fast.engine.reading import flatten
from mime_fast.engine.rescoring import rescored
from mime_fast.errors import BackendError
from mime_fast.reference.hypothesis import Hypothesis
from mime_fast.reference.reranker import Reranker, cosines
from mime_fast.text.special import CLS_ID, USR_ID

MIMICRY = 8.0  # what the logarithm of the agreement counts beside log P
LEAST = 1e-6  # is added to an agreement, which so has a logarithm; that of a reply without words

Numbers = npt.NDArray[np.float64]


def search(
    backend: Backend,
    max_positions: int,
    reranker: Reranker | None,
    threads: int,
    contexts: Contexts,
    requests: Requests,
    options: GenerationConfig,
    prefixes: Sequence[Sequence[int]] | None = None,
    stop: Stop | None = None,
) -> tuple[EmotionOutputs, Sequence[list[Hypothesis]]]:
    """As `Backend.generate`, with exact log-probs where they are wanted; with `best_of` the best of so many draws.

    A reply is worth log P(reply given context), and beside it what the reranker says of it; without a reranker
    MIMICRY log sum_e P(e given context) P(e given reply). The emotion of a reply is what the model's own classifier
    recognises in it; the context's is that of the request where one is given. A reply is read as a speaker's turn.
    """
    choosing = options.do_sample and options.best_of > 1
    wanted = options.replace(num_return_sequences=options.best_of, best_of=1) if choosing else options
    outputs, found = backend.generate(contexts, requests, wanted, prefixes, stop)
    if choosing:
        drawn = [list(hypotheses) for hypotheses in found]
        replies = _Replies(drawn, max_positions - 1)
        if reranker is None:
            worth = _mimicry(backend, _wanted(outputs, requests), replies, stop)
        else:
            worth = _answers(backend, reranker, threads, contexts, replies, stop)
        found = [
            _best(hypotheses, worth[rows], options.num_return_sequences)
            for hypotheses, rows in zip(drawn, replies.rows, strict=True)
        ]
    if backend.rescores:
        found = rescored(backend, contexts, requests, options, found, stop)
        if choosing:
            found = [_best_first(hypotheses) for hypotheses in found]
        elif not options.do_sample:  # draws come in their own order
            found = [sorted(hypotheses, key=lambda one: -one.score) for hypotheses in found]
    return outputs, found


class _Replies:
    """The replies of several contexts, one after the other; the same words of different contexts are read once."""

    def __init__(self, drawn: Sequence[Sequence[Hypothesis]], kept: int) -> None:
        """`kept`: words of a reply that are read."""
        words = [one.token_ids[:kept] for hypotheses in drawn for one in hypotheses]
        places = {reply: place for place, reply in enumerate(dict.fromkeys(reply for reply in words if reply))}
        counts = [len(hypotheses) for hypotheses in drawn]
        token_ids, offsets = flatten([[CLS_ID, *reply] for reply in places])
        state_ids, _ = flatten([[CLS_ID, *[USR_ID] * len(reply)] for reply in places])
        self.read = Contexts(token_ids, state_ids, offsets)  # the different ones that have words
        self.owners = np.repeat(np.arange(len(drawn)), counts)  # the context of each reply, [n]
        self.places = np.array([places.get(reply, -1) for reply in words], np.int64)  # in `read`, -1: no words, [n]
        self.said = np.flatnonzero(self.places >= 0)  # the replies that have words
        self.rows = [slice(*ends) for ends in pairwise(np.cumsum([0, *counts]).tolist())]  # of each context

    @contextmanager
    def reading(self) -> Iterator[Contexts]:
        """`read`; what the back end cannot read is an error about the contexts whose replies it is."""
        try:
            yield self.read
        except BackendError as error:
            raise error.renumbered(lambda place: self.owners[self.places == place]) from None


def _wanted(outputs: EmotionOutputs, requests: Requests) -> Numbers:
    """P(e given context), [N, 32]."""
    probs = emotion_probs(outputs.emotion_logits)
    given = np.flatnonzero(requests.emotions >= 0)
    probs[given] = 0.0
    probs[given, requests.emotions[given]] = 1.0
    return probs


def _mimicry(backend: Backend, wanted: Numbers, replies: _Replies, stop: Stop | None) -> Numbers:
    """MIMICRY times the logarithm of sum_e P(e given context) P(e given reply), of each reply: [n]."""
    agreements = np.zeros(len(replies.places))
    if len(replies.read):
        with replies.reading() as read:
            given = emotion_probs(backend.classify(read, stop))
        for place in replies.said:
            agreements[place] = given[replies.places[place]] @ wanted[replies.owners[place]]
    return MIMICRY * np.log(agreements + LEAST)


def _answers(
    backend: Backend, reranker: Reranker, threads: int, contexts: Contexts, replies: _Replies, stop: Stop | None
) -> Numbers:
    """The cosine of what each reply's context wants and what it gives, times the reranker's weight: [n]."""
    worth = np.full(len(replies.places), -reranker.weight)
    if len(replies.read):
        wanted = reranker.wanted(backend.context_vectors(contexts, stop), threads, stop)
        with replies.reading() as read:
            given = reranker.given(backend.context_vectors(read, stop), threads, stop)
        said = replies.said
        worth[said] = reranker.weight * cosines(wanted[replies.owners[said]], given[replies.places[said]])
    return worth


def _best(hypotheses: Sequence[Hypothesis], worth: Numbers, count: int) -> list[Hypothesis]:
    """The best first, with what they are worth as their score; what was drawn again comes after all others."""
    scored = [
        dataclasses.replace(one, score=one.logprob + float(more)) for one, more in zip(hypotheses, worth, strict=True)
    ]
    return _best_first(scored)[:count]


def _best_first(hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
    """By score; what is there again comes after all others."""
    first: dict[tuple[int, ...], int] = {}
    again = [first.setdefault(one.token_ids, place) != place for place, one in enumerate(hypotheses)]
    order = sorted(range(len(hypotheses)), key=lambda place: (again[place], -hypotheses[place].score))
    return [hypotheses[place] for place in order]
