"""What pairs must be before a model is measured by them or learns from them; messages name the pair."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mime_fast.data.batches import Example
from mime_fast.data.dialogue_checks import check_dialogue, check_utterance
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.emotions import emotion_index
from mime_fast.errors import InputError
from mime_fast.text.tokenizer import Tokenizer


def pairs_of(given: object) -> list[Pair]:
    """The pairs as a list. InputError: something else than pairs, and not several of them."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InputError(f"pairs are of type {type(given).__name__}; must be a list of Pair, as read_pairs returns it")
    pairs = list(given)
    for i, pair in enumerate(pairs):
        if not isinstance(pair, Pair):
            raise InputError(f"pair {i} is of type {type(pair).__name__}; must be a Pair, as read_pairs returns it")
    return pairs


def check_pairs(pairs: Sequence[Pair], tokenizer: Tokenizer) -> None:
    """InputError where there are none, an utterance is not a text with words, or an emotion is not one of the 32."""
    if not pairs:
        raise InputError("no pairs to evaluate: there must be one or more")
    seen: set[str] = set()
    for i, pair in enumerate(pairs):
        where = _name(i, pair)
        check_dialogue(pair.context, strict_turns=False, where=where)
        turns = [(f"{where}, utterance {position}", turn) for position, turn in enumerate(pair.context)]
        for place, text in (*turns, (f"{where}, response", pair.response)):
            if isinstance(text, list | tuple):
                raise InputError(f"{place} is of type {type(text).__name__}; must be text")
            if text in seen:
                continue
            check_utterance(text, place)
            if not tokenizer.tokenize(text):
                raise InputError(f"{place} has no words; must have at least one")
            seen.add(text)
        try:
            emotion_index(pair.emotion)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None


def check_lengths(pairs: Sequence[Pair], examples: Sequence[Example], max_positions: int, *, what: str = "") -> None:
    """InputError where a context or a response is too long for a model, or a response has no words; `what` the pairs
    are, for the message."""
    for i, (pair, example) in enumerate(zip(pairs, examples, strict=True)):
        for part, ids in (("context", example.context_ids), ("response", example.target_ids)):
            if len(ids) > max_positions:
                raise InputError(
                    f"{what}{_name(i, pair)}: the {part} has {len(ids) - 1} words; must be at most {max_positions - 1}"
                )
        if len(example.target_ids) < 2:
            raise InputError(f"{what}{_name(i, pair)}: the response has no words; must have at least one")


def _name(place: int, pair: Pair) -> str:
    return f"pair {place} (conversation {pair.conv_id})"
