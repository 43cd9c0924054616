"""Vocabularies that belong to released checkpoints: JSON, or the authors' pickle read without running code in it."""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from mime_fast.checkpoints.pickle_scan import check_pickle
from mime_fast.errors import CheckpointError
from mime_fast.text.special import SPECIAL_TOKENS

MAX_FAULTS = 20  # named in one message; further ones are counted
PICKLE_START = b"\x80"  # of protocol 2 and later; no JSON file begins with it
VOCABULARY_CLASS = "Lang"
LAYOUT = "[train, valid, test, vocabulary], or only the vocabulary, an object of class Lang"


class Inert:
    """Stands for any object of a pickle: takes every argument and state, keeps and does nothing."""

    def __new__(cls, *args: object, **named: object) -> Self:
        return super().__new__(cls)

    def __init__(self, *args: object, **named: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class InertDict(dict[Any, Any]):
    """Stands for the dicts of `collections`: has the items that the pickle sets, and nothing else."""

    def __init__(self, *args: object) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        pass


class Vocabulary(Inert):
    """Stands for the authors' class `Lang`; `attributes` are those of the pickled object."""

    attributes: dict[Any, Any]

    def __new__(cls, *args: object, **named: object) -> Self:
        made = super().__new__(cls)
        made.attributes = {}  # a pickle need not call __init__
        return made

    def __setstate__(self, state: object) -> None:
        self.attributes = state if isinstance(state, dict) else {}


# What pickled dialogues name besides: numpy's strings and arrays, and the factories of defaultdicts.
_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_INERT = {
    *((module, name) for module in _NUMPY for name in ("scalar", "_reconstruct")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    *(("numpy", name) for name in ("ndarray", "dtype")),
    *((module, name) for module in ("builtins", "__builtin__") for name in ("int", "str", "list", "dict", "set")),
    ("__builtin__", "long"),
    ("_codecs", "encode"),
}
_INERT_DICTS = {("collections", name) for name in ("defaultdict", "OrderedDict", "Counter")}


class VocabularyUnpickler(pickle.Unpickler):
    """Builds lists, dicts, text, numbers and the placeholders above; refuses every other name."""

    def find_class(self, module: str, name: str) -> type:
        """The placeholder for a global; nothing is ever imported.

        Raises:
            CheckpointError: not a name that a vocabulary needs.
        """
        if name == VOCABULARY_CLASS:
            return Vocabulary
        if (module, name) in _INERT_DICTS:
            return InertDict
        if (module, name) in _INERT:
            return Inert
        raise CheckpointError(f"refused: it names {module}.{name}, which a vocabulary does not need and might run code")


def read_released_vocabulary(path: str | os.PathLike[str]) -> list[str]:
    """The words of a released vocabulary in id order, the seven special tokens first.

    The file is JSON (`{"V": ..., "index2word": ...}`, where index2word is a list of words or an object from "0".."V-1"
    to words; or only that list or object) or the pickle that the released code writes (its `dataset_preproc.p`, or
    only the vocabulary object). Which one is decided by the first byte.

    Raises:
        CheckpointError: unreadable, code in a pickle, or not a vocabulary (all faults in one message).
    """
    where = Path(path)
    try:
        data = where.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{where}: not readable ({error.strerror})") from None
    try:
        if data.startswith(PICKLE_START):
            words, faults = _from_pickle(data)
        else:
            words, faults = _from_json(data)
    except CheckpointError as error:
        raise CheckpointError(f"{where}: {error}") from None
    faults += _word_faults(words)
    if faults:
        more = f" and {len(faults) - MAX_FAULTS} more" if len(faults) > MAX_FAULTS else ""
        raise CheckpointError(f"{where}: {'; '.join(faults[:MAX_FAULTS])}{more}")
    return words


def _from_pickle(data: bytes) -> tuple[list[Any], list[str]]:
    try:
        check_pickle(io.BytesIO(data), len(data))
        value = VocabularyUnpickler(io.BytesIO(data)).load()
    except CheckpointError:
        raise
    except Exception as error:  # a broken pickle can raise anything
        raise CheckpointError(f"broken or truncated pickle ({type(error).__name__}: {error})") from None
    if isinstance(value, list | tuple) and len(value) == 4:
        value = value[3]
    if not isinstance(value, Vocabulary):
        raise CheckpointError(f"the pickle contains {type(value).__name__}; expected {LAYOUT}")
    attributes = value.attributes
    words, faults = _in_order(attributes.get("index2word"))
    if attributes.get("n_words", len(words)) != len(words):
        faults.append(f"n_words is {_shown(attributes['n_words'])}, index2word has {len(words)} words")
    by_word = attributes.get("word2index")
    if not isinstance(by_word, dict | None):
        faults.append(f"word2index is {type(by_word).__name__}, expected a dict")
    elif by_word is not None:
        expected = {word: index for index, word in enumerate(words) if isinstance(word, str)}
        if len(by_word) != len(expected) or any(by_word.get(word) != index for word, index in expected.items()):
            faults.append("word2index and index2word disagree")
    return words, faults


def _from_json(data: bytes) -> tuple[list[Any], list[str]]:
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"neither JSON nor a pickle of protocol 2 or later ({error})") from None
    size = None
    if isinstance(value, dict) and "index2word" in value:
        size = value.get("V")
        value = value["index2word"]
    words, faults = _in_order(value)
    if size is not None and size != len(words):
        faults.append(f"V is {_shown(size)}, index2word has {len(words)} words")
    return words, faults


def _in_order(index2word: object) -> tuple[list[Any], list[str]]:
    """Words by id, and the ids that are missing or not ids."""
    if isinstance(index2word, Sequence) and not isinstance(index2word, str | bytes):
        return list(index2word), []
    if not isinstance(index2word, Mapping):
        raise CheckpointError(f"index2word is {type(index2word).__name__}; expected a list of words, or words by id")
    by_id = {key if isinstance(key, str) else _shown(key): word for key, word in index2word.items()}
    size = len(by_id)
    ids = [str(index) for index in range(size)]
    missing = [index for index in ids if index not in by_id]
    strange = sorted(by_id.keys() - set(ids))
    faults = []
    if missing or strange:
        faults.append(f"ids 0 to {size - 1} are expected: missing {_some(missing)}; found instead {_some(strange)}")
    return [by_id[index] for index in ids if index in by_id], faults


def _word_faults(words: list[Any]) -> list[str]:
    special = [word if isinstance(word, str) else _shown(word) for word in words[: len(SPECIAL_TOKENS)]]
    faults = []
    if tuple(special) != SPECIAL_TOKENS:
        faults.append(f"ids 0 to 6 are {', '.join(special) or 'missing'}; expected {', '.join(SPECIAL_TOKENS)}")
    first: dict[str, int] = {}
    for index, word in enumerate(words):
        if not isinstance(word, str):
            faults.append(f"word {index} is {type(word).__name__}, expected text")
        elif not word or not _encodable(word):
            faults.append(f"word {index} is {word!r:.80}, expected text that is not empty and can be written as UTF-8")
        elif word in first:
            faults.append(f"word {index} is {word!r:.80}, which is word {first[word]} already")
        else:
            first[word] = index
    return faults


def _shown(value: object) -> str:
    """A number, or the type of anything else: what a list of lists contains may have no end."""
    short = isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= 64)
    return str(value) if short else type(value).__name__


def _encodable(word: str) -> bool:
    try:
        word.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else "none"
