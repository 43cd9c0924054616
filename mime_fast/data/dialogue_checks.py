"""What a dialogue must look like before a model sees it; file readers and the engine ask the same function."""

from __future__ import annotations

from collections.abc import Sequence

from mime_fast.data.json_objects import Several
from mime_fast.errors import InputError

Utterance = str | list[str]
_ROWS = "context", "messages", "conversations", "dialog", "dialogue", "utterances"  # where a row has its dialogue


def check_utterance(utterance: object, where: str) -> Utterance:
    """One utterance: text, or a list of tokens that is taken as it is.

    Raises:
        InputError: not text or a list of strings, or blank, or with a blank token, or text that UTF-8 cannot encode.
    """
    if isinstance(utterance, str):
        if not utterance.strip():
            raise InputError(f"{where} is {'blank' if utterance else 'empty'}; must be text with at least one word")
        check_encodable(utterance, where)
        return utterance
    if not isinstance(utterance, list | tuple):
        hint = " (did you mean the text in its 'content'?)" if _is_message(utterance) else ""
        raise InputError(f"{where} is {_kind(utterance)}; must be text or a list of tokens{hint}")
    if not utterance:
        raise InputError(f"{where} is an empty list; must have at least one token")
    if _all_words(utterance):
        return list(utterance)
    for position, token in enumerate(utterance):
        if not isinstance(token, str):
            raise InputError(f"{where}, token {position} is {_kind(token)}; must be a string")
        if not token.strip():
            raise InputError(f"{where}, token {position} is {token!r}; must have at least one character")
        if token.split() != [token]:
            raise InputError(
                f"{where}, token {position} is {token!r}; a token has no white space "
                "(an utterance is one text, not a list of sentences)"
            )
        check_encodable(token, where)
    return list(utterance)


def check_dialogue(dialogue: object, *, strict_turns: bool, where: str) -> list[Utterance]:
    """The dialogue as a list of utterances, the last one the user's.

    Args:
        dialogue: What the caller gave.
        strict_turns: Refuse an even number of turns: the user speaks first, so the agent spoke last.
        where: Names the dialogue in messages, for instance "dialogue 3".

    Raises:
        InputError: not a list, empty, an even number of turns, or an utterance that `check_utterance` refuses.
    """
    if not isinstance(dialogue, list | tuple):
        hint = ""
        if isinstance(dialogue, str):
            hint = f" (did you mean a list with one utterance, [{dialogue!r:.60}]?)"
        elif isinstance(dialogue, dict) and (key := next((key for key in _ROWS if key in dialogue), None)):
            hint = f" (did you mean its {key!r}?)"
        elif _is_message(dialogue):
            hint = " (did you mean [[message['content'] for message in messages]], one dialogue?)"
        raise InputError(f"{where} is {_kind(dialogue)}; must be a list of utterances{hint}")
    if not dialogue:
        raise InputError(f"{where} is an empty list; must have at least one utterance")
    utterances = [check_utterance(turn, f"{where}, utterance {position}") for position, turn in enumerate(dialogue)]
    if strict_turns and len(utterances) % 2 == 0:
        raise InputError(
            f"{where} has {len(utterances)} turns, so the agent spoke last; must have an odd number "
            "(any number with strict_turns=False or --no-strict-turns)"
        )
    return utterances


def check_encodable(text: str, where: str) -> None:
    """Refuse text that cannot be written as UTF-8 (InputError); JSON escapes can carry such text."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where} has the lone surrogate {text[error.start]!r}; must be text that UTF-8 can encode"
        ) from None


def _all_words(tokens: Sequence[object]) -> bool:
    """Whether all is well, at a tenth of the time that it takes to say what is not."""
    try:
        text = "\n".join(tokens)  # type: ignore[arg-type]
        text.encode()
        return text.split() == list(tokens)
    except (TypeError, UnicodeEncodeError):
        return False


def _is_message(value: object) -> bool:
    """Whether it is a message as chat APIs have it."""
    return isinstance(value, dict) and "content" in value


def _kind(value: object) -> str:
    if value is None or isinstance(value, Several):
        return repr(value)[:80]
    return f"of type {type(value).__name__}"
