"""What a call gets, checked and encoded for the back end, in windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import accumulate, chain, cycle, islice, repeat, tee
from itertools import count as counter
from numbers import Integral
from operator import length_hint
from typing import Any

import numpy as np

from mime_fast.backends.protocol import Contexts, Ids, Offsets, Requests
from mime_fast.config.checks import check_bool
from mime_fast.engine.inputs import (
    Dialogue,
    Truncation,
    check_count,
    check_reading,
    check_sequence,
    given_emotions,
    prepare_dialogues,
    prepare_prefixes,
    prepare_responses,
    request_keys,
)
from mime_fast.errors import InputError
from mime_fast.text.special import EOS_ID
from mime_fast.text.tokenizer import Tokenizer

WINDOW = 1024  # dialogues that a back end gets at once
WATCHED = 128  # the same where a bar shows how far it is
_NOTHING = object()


@dataclass(frozen=True)
class Window:
    """Some dialogues of a call, ready for the back end."""

    start: int  # number of the first one
    last: bool  # nothing comes after it
    contexts: Contexts
    requests: Requests
    begun: list[list[str]] | None = None  # words that replies begin with
    prefixes: list[list[int]] | None = None  # their ids
    responses: list[list[str]] = field(default_factory=list)

    def targets(self, tokenizer: Tokenizer) -> tuple[Ids, Offsets]:
        """The responses' ids, each with EOS, flat and with offsets."""
        return flatten([[*tokenizer.ids(words), EOS_ID] for words in self.responses])


@dataclass(frozen=True)
class Given:
    """What comes with the dialogues: iterators with one item per dialogue, or None; a seed may be one for all."""

    request_ids: Iterator[int]
    seed: Any = 0
    emotions: Iterator[str | int | None] | None = None
    prefixes: Iterator[str | Sequence[str] | None] | None = None
    max_new_tokens: int = 1  # bounds the prefixes
    responses: Iterator[str | Sequence[str]] | None = None

    @classmethod
    def with_list(
        cls,
        dialogues: object,
        request_ids: object,
        *,
        max_new_tokens: int = 1,
        streaming: str | None = None,
        **values: Any,
    ) -> Given:
        """Beside a list: lists or other iterables of the same length. InputError where one is not.

        `streaming` is the method for dialogues that are no list.
        """
        check_sequence("dialogues", dialogues, streaming)
        count = len(dialogues)  # type: ignore[arg-type]
        ids = counter() if request_ids is None else _one_each("request_ids", request_ids, count)
        if not isinstance(ids, Iterator):
            raise InputError(f"request_ids={request_ids!r:.80}: must be a list with one integer per dialogue")
        each = {name: _one_each(name, given, count) for name, given in values.items()}
        return cls(ids, max_new_tokens=max_new_tokens, **each)

    @classmethod
    def with_stream(cls, first_request_id: int, *, max_new_tokens: int = 1, **values: Any) -> Given:
        """Beside any iterable: iterables. InputError where one is not."""
        whole = isinstance(first_request_id, Integral) and not isinstance(first_request_id, bool)
        if not whole or not 0 <= first_request_id < 2**64:
            raise InputError(f"first_request_id={first_request_id!r}: must be an integer from 0 to 2^64 - 1")
        each = {name: _beside(name, given) for name, given in values.items()}
        return cls(counter(int(first_request_id)), max_new_tokens=max_new_tokens, **each)

    def check_ended(self, count: int) -> None:
        """InputError unless all that comes with the dialogues ends where they do, after `count`."""
        for name in ("request_ids", "seed", "emotions", "prefixes", "responses"):
            values = getattr(self, name)
            if not isinstance(values, Iterator) or _endless(values):
                continue
            if next(values, _NOTHING) is not _NOTHING:
                raise InputError(f"{name}: more than {count} for {count} dialogues; must be one each")


@dataclass(frozen=True)
class Reading:
    """How a call reads dialogues. ConfigError: a value is not allowed."""

    tokenizer: Tokenizer
    max_words: int
    strict_turns: bool
    truncation: Truncation | None
    stochastic: bool = True

    def __post_init__(self) -> None:
        check_reading(strict_turns=self.strict_turns, truncation=self.truncation)
        check_bool("stochastic", self.stochastic)

    def windows(self, dialogues: Iterable[Dialogue], given: Given, size: int = WINDOW) -> Iterator[Window]:
        """Windows of `size` dialogues; InputError names the first bad dialogue."""
        coming, start = iter(dialogues), 0
        while chunk := list(islice(coming, size)):
            window = self._window(chunk, given, start, last=len(chunk) < size)
            start += len(chunk)
            if window.last:
                given.check_ended(start)
            yield window
            if window.last:
                return
        if not start:  # what comes with no dialogue is checked, too
            self._window([], given, 0, last=True)
        given.check_ended(start)

    def words(self, dialogues: Sequence[Dialogue], first: int = 0) -> list[list[list[str]]]:
        """[dialogue][utterance][token]; messages count from `first`."""
        return prepare_dialogues(
            dialogues,
            self.tokenizer,
            self.max_words,
            strict_turns=self.strict_turns,
            truncation=self.truncation,
            first=first,
        )

    def _contexts(self, dialogues: Sequence[Dialogue], first: int) -> Contexts:
        rows = [self.tokenizer.encode_context(turns) for turns in self.words(dialogues, first)]
        token_ids, offsets = flatten([row for row, _ in rows])
        return Contexts(token_ids, flatten([row for _, row in rows])[0], offsets)

    def _requests(self, given: Given, count: int, first: int) -> Requests:
        seeds, ids = request_keys(_next(given.seed, count), _next(given.request_ids, count), count, first=first)
        labels = given_emotions(_next(given.emotions, count), count, first=first)
        emotions = [-1 if label is None else label for label in labels]
        keys = np.array(seeds, np.uint64), np.array(ids, np.uint64)
        return Requests(*keys, np.array(emotions, np.int32), self.stochastic)

    def _window(self, dialogues: Sequence[Dialogue], given: Given, start: int, *, last: bool) -> Window:
        count = len(dialogues)
        contexts, requests = self._contexts(dialogues, start), self._requests(given, count, start)
        begun = self._begun(given, count, start)
        ids = None if begun is None else [self.tokenizer.ids(words) for words in begun]
        responses = self._responses(given, count, start)
        return Window(start, last, contexts, requests, begun=begun, prefixes=ids, responses=responses)

    def _begun(self, given: Given, count: int, first: int) -> list[list[str]] | None:
        if given.prefixes is None:
            return None
        prefixes = _next(given.prefixes, count)
        check_count("prefixes", prefixes, count, first=first)
        return prepare_prefixes(prefixes, self.tokenizer, given.max_new_tokens, first=first)

    def _responses(self, given: Given, count: int, first: int) -> list[list[str]]:
        if given.responses is None:
            return []
        responses = _next(given.responses, count)
        check_count("responses", responses, count, first=first)
        return prepare_responses(responses, self.tokenizer, self.max_words, first=first)


def flatten(rows: Sequence[Sequence[int]]) -> tuple[Ids, Offsets]:
    """Rows of ids one after the other, and where each begins and ends, [N + 1]."""
    offsets = np.array([0, *accumulate(map(len, rows))], np.int64)
    return np.fromiter(chain.from_iterable(rows), np.int32, offsets[-1]), offsets


def stream(name: str, values: Any) -> Iterator[Any]:
    """An iterable's values, to be read one by one. InputError where it is none."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable) or _is_scalar(values):
        raise InputError(f"{name} is of type {type(values).__name__}; must be an iterable, one item per dialogue")
    _refuse_unordered(name, values)
    return iter(values)


def _refuse_unordered(name: str, values: object) -> None:
    """InputError for what can be iterated, but not as one item per dialogue in their order."""
    if isinstance(values, Set | Mapping):
        raise InputError(f"{name} is of type {type(values).__name__}; must be a list, in the order of the dialogues")


def pairs_apart(pairs: Iterable[tuple[Dialogue, Any]]) -> tuple[Iterator[Dialogue], Iterator[Any]]:
    """Dialogues and responses of (dialogue, response) pairs; InputError names what is no pair."""

    def checked() -> Iterator[tuple[Dialogue, Any]]:
        for i, pair in enumerate(pairs):
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise InputError(f"pair {i} is {pair!r:.80}; must be (dialogue, response)")
            yield pair[0], pair[1]

    left, right = tee(checked())
    return (dialogue for dialogue, _ in left), (response for _, response in right)


def _one_each(name: str, values: Any, count: int) -> Any:
    """A list's values, of which there must be `count`, or an iterable's, to be read one by one; a seed as it is."""
    plain = values.tolist() if isinstance(values, np.ndarray) else values
    if isinstance(plain, str | bytes) or not isinstance(plain, Iterable):
        return plain
    _refuse_unordered(name, plain)
    if isinstance(plain, Sequence):
        check_count(name, plain, count)
    return iter(plain)


def _beside(name: str, values: Any) -> Any:
    """An iterable's values beside a stream of dialogues; None, or one seed for all, as it is."""
    values = values.item() if _is_scalar(values) else values
    if values is None or isinstance(values, Integral):
        return values
    if name == "seed" and not isinstance(values, Iterable):
        raise InputError(
            f"seed={values!r:.80}: must be an integer from 0 to 2^64 - 1, or an iterable of one per dialogue"
        )
    return stream(name, values)


def _is_scalar(values: object) -> bool:
    """Whether it is an array of no axis, which says that it can be iterated."""
    return isinstance(values, np.ndarray) and not values.ndim


def _endless(values: object) -> bool:
    """Whether an iterator gives every dialogue one, however many there are."""
    return isinstance(values, counter | cycle) or (isinstance(values, repeat) and length_hint(values, -1) < 0)


def _next(values: Any, count: int) -> Any:
    return list(islice(values, count)) if isinstance(values, Iterator) else values
