"""Log-probs of what a search found, made again by `Backend.score`: for a back end whose search approximates them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from mime_fast.backends.protocol import Backend, Contexts, Requests, Stop
from mime_fast.config.generation import GenerationConfig
from mime_fast.engine.reading import flatten
from mime_fast.errors import BackendError
from mime_fast.reference.hypothesis import Hypothesis
from mime_fast.text.special import EOS_ID


def rescored(
    backend: Backend,
    contexts: Contexts,
    requests: Requests,
    options: GenerationConfig,
    found: Sequence[list[Hypothesis]],
    stop: Stop | None = None,
) -> list[list[Hypothesis]]:
    """The same hypotheses with the log-probs that the back end scores them with, in their old order.

    Tokens stay, and what `best_of` found a draw worth beside its log-prob. Where `repetition_penalty` is used nothing
    was approximated, and nothing changes.

    Raises:
        BackendError: as `Backend.score`; it names dialogues.
    """
    lists = [list(hypotheses) for hypotheses in found]
    flat = [one for hypotheses in lists for one in hypotheses]
    if options.repetition_penalty != 1 or not flat:
        return lists
    words = [
        (i, *one.token_ids, *[EOS_ID] * (one.finish_reason == "eos")) for i, each in enumerate(lists) for one in each
    ]
    place = {said: number for number, said in enumerate(dict.fromkeys(words))}  # what was drawn twice is scored once
    owners = np.array([owner for owner, *_ in place], np.int64)
    targets, offsets = flatten([target for _, *target in place])
    try:
        scored = backend.score(_contexts_of(contexts, owners), _requests_of(requests, owners), targets, offsets, stop)
    except BackendError as error:
        raise error.renumbered(lambda place: [owners[place]]) from None
    parts = np.split(scored[1], offsets[1:-1])
    again = iter([_rescored(one, parts[place[said]], options) for one, said in zip(flat, words, strict=True)])
    return [[next(again) for _ in hypotheses] for hypotheses in lists]


def _rescored(one: Hypothesis, log_probs: np.ndarray, options: GenerationConfig) -> Hypothesis:
    logprob = float(np.add.accumulate(log_probs)[-1])
    if options.do_sample and options.best_of > 1:
        score = one.score - one.logprob + logprob
    elif options.search == "mime":
        score = logprob
    else:
        score = logprob / float(one.count) ** options.length_penalty
    return dataclasses.replace(one, token_logprobs=tuple(log_probs.tolist()), logprob=logprob, score=score)


def _contexts_of(contexts: Contexts, owners: np.ndarray) -> Contexts:
    """The contexts `owners`, each as often as it is named."""
    if np.array_equal(owners, np.arange(len(contexts))):
        return contexts
    starts, sizes = contexts.offsets[:-1][owners], np.diff(contexts.offsets)[owners]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], sizes)
    return Contexts(contexts.token_ids[places], contexts.state_ids[places], offsets)


def _requests_of(requests: Requests, owners: np.ndarray) -> Requests:
    keys = requests.seeds[owners], requests.request_ids[owners]
    return Requests(*keys, requests.emotions[owners], requests.stochastic)
