"""Words and ids: the released tokenisation, a vocabulary, and the file `tokenizer.json` that contains both."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import tokenizers
from tokenizers import Regex, models, normalizers, pre_tokenizers

from mime_fast.errors import CheckpointError, InputError
from mime_fast.files import write_bytes
from mime_fast.text import rules
from mime_fast.text.special import CLS_ID, SPECIAL_TOKENS, SYS_ID, UNK_ID, USR_ID
from mime_fast.text.typography import REPLACEMENTS, plain

_SHOWN = 5


def tokenize(text: str) -> list[str]:
    """Tokens of one utterance, lower-case, as the released code makes them; needs no vocabulary.

    A model may write apostrophes and the like plain first (the shipped one does): its own tokens are those of
    `engine.tokenizer.tokenize`.

    Nothing but white space is dropped; a double quote comes back as `` (opening) or '' (closing).
    Raises InputError when `text` is not a string.
    """
    if not isinstance(text, str):
        raise InputError(f"an utterance is of type {type(text).__name__}; a string is needed")
    return rules.split_words(text)


class Tokenizer:
    """A vocabulary and the one way of this project to cut text into words.

    Ids 0 to 6 are the specials of `mime_fast.text.special`, words follow from 7. Specials never come out of text: a
    token that is spelled like a special name is an unknown word.
    """

    def __init__(self, words: Iterable[str], *, typography: bool = False) -> None:
        """`words` without the specials, in id order from 7; the rest as in `from_words`."""
        if isinstance(words, str):
            raise InputError("words is a string; a list of words is needed")
        self.typography = typography
        listed = list(words)
        faults = _word_faults(listed)
        if faults:
            raise InputError("the word list cannot be used: " + "; ".join(faults))
        self._words = [*SPECIAL_TOKENS, *listed]
        self._ids = _Ids((word, index) for index, word in enumerate(listed, len(SPECIAL_TOKENS)))

    @classmethod
    def from_words(cls, words: Iterable[str], *, typography: bool = False) -> Self:
        """From words without the specials, in id order from 7.

        With `typography`, curly apostrophes and the like are made plain before the released rules (see
        `mime_fast.text.typography`); without it, text is cut as the released code does.
        Raises InputError for one string, and when a word is empty, not text, doubled or equal to a special name.
        """
        return cls(words, typography=typography)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """From a `tokenizer.json` that `save` wrote. Raises CheckpointError with all faults of the file at once."""
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
            content = json.loads(text, object_pairs_hook=_object)
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{path}: not a JSON file in UTF-8 ({error})") from error
        vocabulary, faults = _read_model(content)
        typography = not faults and _has_typography(content)
        if not faults:
            faults = _rule_faults(text, typography)
        if faults:
            raise CheckpointError(f"{path}: cannot be used: " + "; ".join(faults))
        words = sorted(vocabulary, key=vocabulary.__getitem__)[len(SPECIAL_TOKENS) :]
        return cls(words, typography=typography)

    def save(self, path: str | Path) -> None:
        """Write `tokenizer.json`, which the `tokenizers` library reads as it is and cuts the same way."""
        vocabulary = {word: index for index, word in enumerate(self._words)}
        write_bytes(path, _library_tokenizer(vocabulary, self.typography).to_str(pretty=True).encode() + b"\n")

    @property
    def vocab_size(self) -> int:
        """Number of ids V, specials included."""
        return len(self._words)

    @property
    def words(self) -> list[str]:
        """The word of every id, specials included (a copy)."""
        return list(self._words)

    def tokenize(self, text: str) -> list[str]:
        """Tokens of one utterance, whatever the vocabulary: those of the module's `tokenize` after the own step."""
        return tokenize(plain(text) if self.typography and isinstance(text, str) else text)

    def tokenize_batch(self, texts: Iterable[str]) -> list[list[str]]:
        """Tokens of each utterance. Raises InputError for one string in place of a list."""
        if isinstance(texts, str):
            raise InputError("texts is a string; a list of strings is needed")
        return list(map(self.tokenize, texts))

    def ids(self, tokens: Iterable[str]) -> list[int]:
        """Id of each token; UNK_ID for an unknown word and for a special name."""
        if isinstance(tokens, str):
            raise InputError("tokens is a string; a list of tokens is needed")
        return list(map(self._ids.__getitem__, tokens))

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Word or special name of each id. Raises InputError for what is no integer from 0 to V-1."""
        words = self._words
        found = []
        for index in ids:
            try:
                if not 0 <= index < len(words):
                    raise InputError(f"token id {index} is not in the vocabulary; must be from 0 to {len(words) - 1}")
                found.append(words[index])
            except TypeError:
                raise InputError(f"token id {index!r:.60} is not an integer") from None
        return found

    def encode_context(self, utterances: Sequence[Sequence[str]]) -> tuple[list[int], list[int]]:
        """Ids and state ids of a dialogue given as token lists, both of length 1 + number of words.

        Ids: CLS, then the words of all turns. States: CLS, then USR for the words of turns 0, 2, ... and SYS for those
        of turns 1, 3, ... Raises InputError when an utterance is a string.
        """
        ids = [CLS_ID]
        states = [CLS_ID]
        for turn, tokens in enumerate(utterances):
            if isinstance(tokens, str):
                raise InputError(f"utterance {turn} is a string; a list of tokens is needed (see tokenize)")
            ids.extend(self.ids(tokens))
            states.extend([SYS_ID if turn % 2 else USR_ID] * len(tokens))
        return ids, states


class _Ids(dict[str, int]):
    """Ids of words."""

    def __missing__(self, word: str) -> int:
        return UNK_ID


def _library_tokenizer(vocabulary: dict[str, int], typography: bool) -> tokenizers.Tokenizer:
    library = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL_TOKENS[UNK_ID]))
    first = [normalizers.Replace(found, instead) for found, instead in REPLACEMENTS] if typography else []
    library.normalizer = normalizers.Sequence(
        [
            *first,
            normalizers.Lowercase(),
            *(normalizers.Replace(short, long) for short, long in rules.CONTRACTIONS),
            normalizers.Replace(Regex(rules.oniguruma(rules.OPENING_QUOTE_PATTERN)), rules.OPENING_QUOTE),
            normalizers.Replace('"', rules.CLOSING_QUOTE),
        ]
    )
    pattern = Regex(rules.oniguruma(rules.TOKEN_PATTERN))
    library.pre_tokenizer = pre_tokenizers.Split(pattern, "removed", invert=True)
    return library


def _word_faults(words: list[str]) -> list[str]:
    odd = [word for word in words if not isinstance(word, str) or not word or _broken(word)]
    if odd:
        return [f"{len(odd)} entries are empty or not text: {_some(odd)}"]
    faults = []
    special = [word for word in words if word in SPECIAL_TOKENS]
    if special:
        faults.append(f"special names among the words: {_some(special)} (they are added by themselves)")
    doubled = [word for word, count in Counter(words).items() if count > 1]
    if doubled:
        faults.append(f"{len(doubled)} words are listed more than once: {_some(doubled)}")
    return faults


def _broken(word: str) -> bool:
    """True for half of a surrogate pair, which no UTF-8 file can contain."""
    return not word.isascii() and any("\ud800" <= char <= "\udfff" for char in word)


def _some(items: Sequence[object]) -> str:
    return ", ".join(repr(item) for item in items[:_SHOWN]) + (", ..." if len(items) > _SHOWN else "")


class _Doubled(dict[str, Any]):
    """A JSON object in which names come more than once."""

    names: list[str]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) == len(pairs):
        return content
    doubled = _Doubled(content)
    doubled.names = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    return doubled


def _read_model(content: object) -> tuple[dict[str, int], list[str]]:
    """The vocabulary of a parsed tokenizer.json, and what is wrong with it."""
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict):
        return {}, ["it has no object 'model'"]
    faults = []
    if model.get("type") != "WordLevel":
        faults.append(f"the model's type is {model.get('type')!r}; needed is 'WordLevel'")
    if model.get("unk_token") != SPECIAL_TOKENS[UNK_ID]:
        faults.append(f"unk_token is {model.get('unk_token')!r}; needed is {SPECIAL_TOKENS[UNK_ID]!r}")
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, dict):
        return {}, [*faults, "the model has no object 'vocab'"]
    if isinstance(vocabulary, _Doubled):
        faults.append(f"words listed more than once: {_some(vocabulary.names)}")
    odd = [word for word, index in vocabulary.items() if type(index) is not int]
    if odd:
        return {}, [*faults, f"the ids of these words are not integers: {_some(odd)}"]
    missing = sorted(set(range(len(vocabulary))) - set(vocabulary.values()))
    if missing:
        last = len(vocabulary) - 1
        faults.append(f"the {len(vocabulary)} ids are not 0 to {last}, each once; absent are {_some(missing)}")
    for index, name in enumerate(SPECIAL_TOKENS):
        if vocabulary.get(name) != index:
            faults.append(f"special {name} has id {vocabulary.get(name)}; needed is {index}")
    return vocabulary, faults + _word_faults([word for word in vocabulary if word not in SPECIAL_TOKENS])


def _has_typography(content: Any) -> bool:
    """Whether the step that makes typography plain comes before the released rules, which lower-case first."""
    normalizer = content.get("normalizer")
    steps = normalizer.get("normalizers") if isinstance(normalizer, dict) else None
    return isinstance(steps, list) and bool(steps) and isinstance(steps[0], dict) and steps[0].get("type") == "Replace"


def _rule_faults(text: str, typography: bool) -> list[str]:
    try:
        library = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the library raises no narrower type
        return [f"the tokenizers library cannot read it ({error})"]
    found = json.loads(library.to_str())
    needed = json.loads(_library_tokenizer({SPECIAL_TOKENS[UNK_ID]: UNK_ID}, typography).to_str())
    parts = ("normalizer", "pre_tokenizer", "post_processor", "added_tokens", "truncation", "padding")
    return [
        f"its {part} is not the released tokenisation that this version applies"
        for part in parts
        if found.get(part) != needed.get(part)
    ]
