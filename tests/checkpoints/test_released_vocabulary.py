"""Vocabularies of released checkpoints: JSON and pickles, read without running code in them."""

from __future__ import annotations

import builtins
import importlib
import json
import os
import pickle
from codecs import BOM_UTF8
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mime_fast.checkpoints.released_vocabulary import read_released_vocabulary
from mime_fast.errors import CheckpointError
from tests.checkpoints.released_layout import WORDS


class Lang:
    """Shaped like the authors' class."""

    def __init__(self, words: list[str]) -> None:
        self.index2word: Any = dict(enumerate(words))
        self.word2index: Any = {word: index for index, word in enumerate(words)}
        self.word2count: Any = dict.fromkeys(words, 1)
        self.n_words: Any = len(words)


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def save(path: Path, value: object, protocol: int = 3) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def write_json(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_released_vocabulary(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


BY_ID = {str(index): word for index, word in enumerate(WORDS)}


@pytest.mark.parametrize(
    "value",
    [WORDS, BY_ID, dict(reversed(BY_ID.items())), {"V": len(WORDS), "index2word": BY_ID}, {"index2word": WORDS}],
    ids=["list", "object", "object out of order", "V and object", "index2word only"],
)
def test_json(tmp_path: Path, value: object) -> None:
    path = write_json(tmp_path / "v", value)
    assert read_released_vocabulary(path) == WORDS
    path.write_bytes(BOM_UTF8 + path.read_bytes())
    assert read_released_vocabulary(path) == WORDS


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_vocabulary(tmp_path: Path, protocol: int) -> None:
    assert read_released_vocabulary(save(tmp_path / "v", Lang(WORDS), protocol)) == WORDS


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_the_pickle_of_data_and_vocabulary(tmp_path: Path, protocol: int) -> None:
    split = {
        "context": [[["i", "lost"], ["my", "kite"]]],
        "emotion": np.array(["sad", "joyful"]),
        "target": np.array([["i"], ["lost", "it"]], dtype=object),
        "situation": [np.array(["sad"])[0], np.int64(3), np.float32(0.5)],
        "extra": defaultdict(int, a=1),
    }
    lang = Lang(WORDS)
    lang.index2word, lang.word2index = OrderedDict(lang.index2word), defaultdict(int, lang.word2index)
    lang.word2count = Counter(WORDS)
    assert read_released_vocabulary(save(tmp_path / "v", [split, split, split, lang], protocol)) == WORDS


def test_the_class_may_be_in_any_module(tmp_path: Path) -> None:
    data = pickle.dumps(Lang(WORDS), 3)
    elsewhere = data.replace(f"c{Lang.__module__}\n".encode(), b"cutils.data.loader\n")
    assert elsewhere != data
    (tmp_path / "v").write_bytes(elsewhere)
    assert read_released_vocabulary(tmp_path / "v") == WORDS


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, "system"),
        (builtins.eval, "eval"),
        (builtins.exec, "exec"),
        (builtins.getattr, "getattr"),
        (builtins.open, "open"),
        (importlib.import_module, "importlib.import_module"),
        (np.load, "numpy.load"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("place", ["alone", "in a split", "in the vocabulary"])
def test_code_is_refused_by_name(tmp_path: Path, function: Any, name: str, protocol: int, place: str) -> None:
    mark = tmp_path / "ran"
    hostile = Calls(function, f"touch {mark}" if function is os.system else "1")
    lang = Lang(WORDS)
    if place == "in the vocabulary":
        lang.word2count = hostile
    value = hostile if place == "alone" else [{"context": hostile if place == "in a split" else []}, {}, {}, lang]
    message = refused(save(tmp_path / "v", value, protocol))
    assert "refused: it names" in message
    assert name in message
    assert not mark.exists()


def test_a_placeholder_cannot_be_marked_by_a_file(tmp_path: Path) -> None:
    """BUILD with a class on the stack would set attributes on it."""
    class_state = b"N}X\x0a\x00\x00\x00attributesK\x01s\x86"  # (None, {"attributes": 1})
    (tmp_path / "v").write_bytes(b"\x80\x02cmain\nLang\n" + class_state + b"b.")
    assert "broken or truncated pickle" in refused(tmp_path / "v")
    assert read_released_vocabulary(save(tmp_path / "w", Lang(WORDS))) == WORDS


SHARED = b"q\x01h\x01\x86"  # of what is on the stack, a pair with itself
LANG = b"\x80\x02cmain\nLang\n)\x81"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x02]r\x00\x00\x00\x04.", "place 67108864 of its memo; must be below its size of 9 bytes"),
        (b"\x80\x02]p67108864\n.", "place 67108864 of its memo; must be below its size of 14 bytes"),
        (b"\x80\x02}K\x01" + SHARED * 40 + b"K\x01s.", "tuples that are used again"),
        (b"\x80\x02}K\x01" + b"2\x86" * 40 + b"K\x01s.", "tuples that are used again"),
        (b"\x80\x02}K\x01" + b"2\x86" * 15 + b"q\x01K\x01s" + b"h\x01K\x01s" * 999 + b".", "tuples that are used"),
        (b"\x80\x04}K\x01" + b"\x85" * 17 + b"K\x01s.", "tuples 17 deep in each other; must be at most 16"),
        (b"\x80\x04}K\x01" + b"Nb\x85" * 10**5 + b"K\x01s.", "tuples 17 deep in each other"),
        (b"\x80\x04}(" + b"(K\x01" * 30 + b"\x91" * 30 + b"K\x01u.", "tuples 17 deep in each other"),
        (
            b"\x80\x02}\x8b\xa0\x86\x01\x00" + bytes(99_999) + b"\x01q\x00" + b"h\x00" * 999 + b".",
            "tuples that are use",
        ),
    ],
    ids=["memo", "memo in text", "shared", "doubled", "keys", "deep", "deeper", "frozensets", "long numbers"],
)
def test_a_small_pickle_that_would_take_all_memory_or_time(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "v").write_bytes(data)
    assert message in refused(tmp_path / "v")


@pytest.mark.parametrize("form", [b"I%d\n", b"L%dL\n", None], ids=["INT", "LONG", "LONG1"])
def test_keys_of_one_hash(tmp_path: Path, form: bytes | None) -> None:
    """Each of them is compared with all before it: a file of a megabyte would take hours."""
    numbers = [index * (2**61 - 1) for index in range(1, 102)]
    keys = [form % one if form else b"\x8a\x0a" + one.to_bytes(10, "little") for one in numbers]
    (tmp_path / "v").write_bytes(b"\x80\x02}(" + b"N".join(keys) + b"Nu.")
    assert "refused: more than 100 whole numbers of more than 60 bits" in refused(tmp_path / "v")
    (tmp_path / "v").write_bytes(b"\x80\x02}(" + b"N".join(keys[1:]) + b"Nu.")
    assert "the pickle contains dict" in refused(tmp_path / "v")


def test_tuples_may_be_used_again(tmp_path: Path) -> None:
    pair = ("i", "lost")
    split = {"context": [[pair, (pair, pair)] for _ in range(50)], "keys": {(pair, index): pair for index in range(50)}}
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert read_released_vocabulary(save(tmp_path / "v", [split, split, split, Lang(WORDS)], protocol)) == WORDS


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (b"", "index2word is NoneType"),
        (b"Nb", "index2word is NoneType"),
        (
            b"}X\n\x00\x00\x00index2word](K\x01K\x02esX\x07\x00\x00\x00n_words](K\x01" + SHARED * 9 + b"esb",
            "n_words is list",
        ),
        (
            b"}(X\n\x00\x00\x00index2word](K\x01e"
            + b"X\x07\x00\x00\x00n_words"
            + b"\x8b\xa0\x86\x01\x00"
            + bytes(99_999)
            + b"\x01ub",
            "n_words is int",
        ),
        (b"}X\n\x00\x00\x00index2word}N](K\x01essb", "found instead NoneType"),
        (b"}X\n\x00\x00\x00index2word](]Nesb", "ids 0 to 6 are list, NoneType; expected"),
    ],
    ids=["none", "None", "list", "long number", "key", "words"],
)
def test_an_object_with_odd_attributes(tmp_path: Path, state: bytes, message: str) -> None:
    """What they contain is not in the message: a list of lists can be without end."""
    (tmp_path / "v").write_bytes(LANG + state + b".")
    assert message in refused(tmp_path / "v")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_truncated_pickle(tmp_path: Path, part: float) -> None:
    data = pickle.dumps([{}, {}, {}, Lang(WORDS)])
    (tmp_path / "v").write_bytes(data[: int(part * len(data))])
    assert "broken or truncated pickle" in refused(tmp_path / "v")


@pytest.mark.parametrize("value", [[{}, {}, {}], [{}, {}, {}, WORDS], {"index2word": BY_ID}, 3, None, defaultdict(int)])
def test_a_pickle_of_something_else(tmp_path: Path, value: object) -> None:
    assert "an object of class Lang" in refused(save(tmp_path / "v", value))


@pytest.mark.parametrize(
    ("attribute", "value", "fault"),
    [
        ("n_words", 3, "n_words is 3"),
        ("index2word", None, "index2word is NoneType"),
        ("index2word", {**dict(enumerate(WORDS)), len(WORDS) + 4: "far"}, f"missing {len(WORDS)}; found"),
        ("word2index", ["i"], "word2index is list"),
        ("word2index", {"i": 7}, "disagree"),
        ("word2index", {word: index + 1 for index, word in enumerate(WORDS)}, "disagree"),
    ],
)
def test_a_vocabulary_object_with_faults(tmp_path: Path, attribute: str, value: object, fault: str) -> None:
    lang = Lang(WORDS)
    setattr(lang, attribute, value)
    assert fault in refused(save(tmp_path / "v", lang))


@pytest.mark.parametrize("data", [b"", b"hello", b"{", b'["UNK"', b"\xff\xfe", b"[" * 100_000])
def test_broken_json(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "v").write_bytes(data)
    assert "neither JSON nor a pickle" in refused(tmp_path / "v")


def test_faults_of_the_words_come_in_one_message(tmp_path: Path) -> None:
    words: list[Any] = [*WORDS, "kite", 5, None, "", "\ud800", "CLS"]
    words[0], words[1] = "PAD", "UNK"
    n = len(WORDS)
    message = refused(write_json(tmp_path / "v", words))
    for fault in (
        "ids 0 to 6 are PAD, UNK, EOS, SOS, USR, SYS, CLS; expected UNK, PAD, EOS",
        f"word {n} is 'kite', which is word 10 already",
        f"word {n + 1} is int, expected text",
        f"word {n + 2} is NoneType, expected text",
        f"word {n + 3} is ''",
        f"word {n + 4} is '\\ud800'",
        f"word {n + 5} is 'CLS', which is word 6 already",
    ):
        assert fault in message


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ([], "ids 0 to 6 are missing"),
        (WORDS[:6], "expected UNK, PAD, EOS, SOS, USR, SYS, CLS"),
        ({"V": 3, "index2word": WORDS}, f"V is 3, index2word has {len(WORDS)} words"),
        ({word: index for word, index in BY_ID.items() if word != "9"}, "missing 9; found instead 16"),
        ({"index2word": "UNK PAD"}, "index2word is str"),
        (7, "index2word is int"),
    ],
)
def test_json_with_faults(tmp_path: Path, value: object, fault: str) -> None:
    message = refused(write_json(tmp_path / "v", value))
    assert fault.replace("found instead 16", f"found instead {len(WORDS) - 1}") in message


def test_many_faults_are_counted(tmp_path: Path) -> None:
    message = refused(write_json(tmp_path / "v", [*WORDS, *["i"] * 30]))
    assert message.endswith("and 10 more")


@pytest.mark.parametrize("name", ["absent", "."])
def test_no_file(tmp_path: Path, name: str) -> None:
    assert "not readable" in refused(tmp_path / name)
