"""The engine's door: dialogues, responses, seeds and emotions are checked here, once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from numbers import Integral
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mime_fast.config.checks import check_bool
from mime_fast.data.dialogue_checks import Utterance, check_dialogue, check_utterance
from mime_fast.emotions import emotion_index
from mime_fast.errors import ConfigError, InputError
from mime_fast.text.special import SPECIAL_TOKENS, UNK_ID
from mime_fast.text.tokenizer import Tokenizer

Truncation = Literal["oldest"]
Dialogue = Sequence[str | Sequence[str]]
Integers = Sequence[int] | npt.NDArray[np.integer[Any]]  # one per dialogue


def check_reading(*, strict_turns: bool, truncation: Truncation | None) -> None:
    """ConfigError where an option of `prepare_dialogues` is not allowed."""
    if truncation is not None and (not isinstance(truncation, str) or truncation != "oldest"):
        raise ConfigError(f"truncation={truncation!r}: must be None or 'oldest'")
    check_bool("strict_turns", strict_turns)


def prepare_dialogues(
    dialogues: Sequence[Dialogue],
    tokenizer: Tokenizer,
    max_words: int,
    *,
    strict_turns: bool,
    truncation: Truncation | None,
    first: int = 0,
) -> list[list[list[str]]]:
    """The dialogues as tokens: [dialogue][utterance][token]. Messages count the dialogues from `first`.

    Raises:
        InputError: naming the dialogue and what is wrong with it.
    """
    checked = [
        check_dialogue(dialogue, strict_turns=strict_turns, where=f"dialogue {i}")
        for i, dialogue in enumerate(dialogues, first)
    ]
    tokens = _tokenize(
        [turn for turns in checked for turn in turns],
        [f"dialogue {i}, utterance {j}" for i, turns in enumerate(checked, first) for j in range(len(turns))],
        tokenizer,
    )
    flat = iter(tokens)
    return [
        _fit([next(flat) for _ in turns], max_words, truncation, where=f"dialogue {i}")
        for i, turns in enumerate(checked, first)
    ]


def prepare_responses(
    responses: Sequence[str | Sequence[str]], tokenizer: Tokenizer, max_words: int, *, first: int = 0
) -> list[list[str]]:
    """Responses as tokens; InputError names a bad one."""
    places = [f"response {i}" for i in range(first, first + len(responses))]
    tokens = _utterances(responses, places, tokenizer)
    for words, where in zip(tokens, places, strict=True):
        if len(words) > max_words:
            raise InputError(f"{where} has {len(words)} words; must have at most {max_words}")
    return tokens


def prepare_prefixes(
    prefixes: Sequence[str | Sequence[str] | None], tokenizer: Tokenizer, max_new_tokens: int, *, first: int = 0
) -> list[list[str]]:
    """The words that responses begin with, none for None; InputError names a bad prefix."""
    given = [(f"prefix {i}", prefix) for i, prefix in enumerate(prefixes, first) if prefix is not None]
    for where, prefix in given:
        if isinstance(prefix, str | list | tuple) and not "".join(map(str, prefix)).strip():
            raise InputError(f"{where} is {prefix!r}: must have at least one word, or be None for no prefix")
    tokens = _utterances([prefix for _, prefix in given], [where for where, _ in given], tokenizer)
    for words, (where, _) in zip(tokens, given, strict=True):
        if len(words) >= max_new_tokens:
            raise InputError(
                f"{where} has {len(words)} words; must have at most {max_new_tokens - 1} "
                f"(less than max_new_tokens={max_new_tokens})"
            )
    found = iter(tokens)
    return [[] if prefix is None else next(found) for prefix in prefixes]


def request_keys(
    seed: int | Sequence[int], request_ids: Sequence[int] | None, count: int, *, first: int = 0
) -> tuple[list[int], list[int]]:
    """Seeds and request ids, one of each a dialogue; without request ids they are 0 .. count - 1."""
    ids = range(count) if request_ids is None else request_ids
    return _per_dialogue("seed", seed, count, first), _per_dialogue("request_ids", ids, count, first)


def _per_dialogue(name: str, values: int | Sequence[int], count: int, first: int) -> list[int]:
    """One integer a dialogue from 0 to 2^64 - 1: a list as given, an int for all."""
    for_all = isinstance(values, Integral)  # looked at though there may be no dialogue
    each: Any = [values] * max(count, 1) if for_all else values
    each = each.tolist() if isinstance(each, np.ndarray) else each
    if isinstance(each, str | bytes) or not isinstance(each, Sequence):
        raise InputError(
            f"{name} is of type {type(values).__name__}; must be an integer, or a list with one per dialogue"
        )
    if not for_all:
        check_count(name, each, count, first=first)
    for i, value in enumerate(each, first):
        if not isinstance(value, Integral) or isinstance(value, bool) or not 0 <= int(value) < 2**64:
            raise InputError(f"{name}, dialogue {i}: {value!r}; must be an integer from 0 to 2^64 - 1")
    return [int(value) for value in each[:count]]


def given_emotions(emotions: Sequence[str | int | None] | None, count: int, *, first: int = 0) -> list[int | None]:
    """Indices of the given emotions, None where the classifier decides."""
    if emotions is None:
        return [None] * count
    check_count("emotions", emotions, count, first=first)
    indices: list[int | None] = []
    for i, emotion in enumerate(emotions, first):
        try:
            indices.append(None if emotion is None else emotion_index(emotion))
        except InputError as error:
            raise InputError(f"emotions, dialogue {i}: {error}") from None
    return indices


def check_count(name: str, values: Sequence[object], count: int, *, first: int = 0) -> None:
    """InputError unless it is a list with one item a dialogue; `first` of both came before."""
    check_sequence(name, values)
    if len(values) != count:
        more = " or more" if first else ""
        raise InputError(f"{first + len(values)} {name} for {first + count} dialogues{more}; must be one each")


def check_sequence(name: str, values: object, streaming: str | None = None) -> None:
    """InputError unless it is a list; `streaming` is the method that takes other iterables."""
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        ordered = isinstance(values, Iterable) and not isinstance(values, str | bytes | Set | Mapping)
        hint = f" ({streaming} takes any iterable)" if streaming is not None and ordered else ""
        raise InputError(f"{name} is of type {type(values).__name__}; must be a list, one item per dialogue{hint}")


def _utterances(values: Sequence[str | Sequence[str]], places: Sequence[str], tokenizer: Tokenizer) -> list[list[str]]:
    checked = [check_utterance(value, where) for value, where in zip(values, places, strict=True)]
    return _tokenize(checked, places, tokenizer)


def _tokenize(utterances: Sequence[Utterance], places: Sequence[str], tokenizer: Tokenizer) -> list[list[str]]:
    texts = iter(tokenizer.tokenize_batch([turn for turn in utterances if isinstance(turn, str)]))
    tokens = [next(texts) if isinstance(turn, str) else turn for turn in utterances]
    for words, given, where in zip(tokens, utterances, places, strict=True):
        if not words:
            raise InputError(f"{where} has no words; must have at least one")
        if given is words:
            _refuse_capitals(words, tokenizer, where)
    return tokens


def _refuse_capitals(words: Sequence[str], tokenizer: Tokenizer, where: str) -> None:
    """InputError for a special token, and for one that the model can only not know because of its case."""
    joined = "".join(words)
    if joined == joined.lower():
        return
    for place, (word, index) in enumerate(zip(words, tokenizer.ids(words), strict=True)):
        if word in SPECIAL_TOKENS:
            raise InputError(f"{where}, token {place} is {word!r}: a special token is no word; must be left out")
        if index == UNK_ID and word != word.lower():
            raise InputError(
                f"{where}, token {place} is {word!r}: tokens are taken as they are, and the model's words are "
                f"lower-case; must be {word.lower()!r}, or the whole utterance a text, which is lower-cased"
            )


def _fit(turns: list[list[str]], max_words: int, truncation: Truncation | None, where: str) -> list[list[str]]:
    count = sum(map(len, turns))
    if count <= max_words:
        return turns
    kept = turns[-2 + len(turns) % 2 :]  # what no truncation drops
    least = sum(map(len, kept))
    if least > max_words:
        last = "last utterance alone has" if len(kept) == 1 else "last two utterances alone have"
        raise InputError(f"{where}: its {last} {least} words; must have at most {max_words}")
    if truncation is None:
        raise InputError(
            f"{where} has {count} words; must have at most {max_words} "
            "(truncation='oldest' or --truncation oldest drops early turns in pairs)"
        )
    while sum(map(len, turns)) > max_words:
        turns = turns[2:]
    return turns
