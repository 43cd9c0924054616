"""Vocabulary, ids, the file tokenizer.json, and what is refused."""

import json
import math
import subprocess
import sys
from codecs import BOM_UTF8
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from mime_fast.errors import CheckpointError, InputError
from mime_fast.text import CLS_ID, SPECIAL_TOKENS, SYS_ID, UNK_ID, USR_ID, Tokenizer, build_vocabulary, tokenize

WORDS = ["hello", "there", ",", "i", "have", "n't", "a", "``", "''", "caf\u00e9", "\x00", "."]


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer.from_words(WORDS)


def test_specials_come_first(tokenizer: Tokenizer) -> None:
    assert tokenizer.words[:7] == ["UNK", "PAD", "EOS", "SOS", "USR", "SYS", "CLS"]
    assert tokenizer.words[7:] == WORDS
    assert tokenizer.vocab_size == 7 + len(WORDS)


def test_ids_of_words_unknown_words_and_special_names(tokenizer: Tokenizer) -> None:
    assert tokenizer.ids(["there", "dragon", "EOS", "hello", "UNK"]) == [8, UNK_ID, UNK_ID, 7, UNK_ID]


def test_special_names_never_come_out_of_text(tokenizer: Tokenizer) -> None:
    assert tokenizer.ids(tokenizer.tokenize("EOS SOS hello")) == [UNK_ID, UNK_ID, 7]


def test_tokens_of_ids(tokenizer: Tokenizer) -> None:
    assert tokenizer.tokens([2, 7, 18]) == ["EOS", "hello", "."]


@pytest.mark.parametrize("index", [-1, 19])
def test_tokens_refuses_ids_outside(tokenizer: Tokenizer, index: int) -> None:
    with pytest.raises(InputError, match=f"{index} .* 0 to 18"):
        tokenizer.tokens([7, index])


@pytest.mark.parametrize("index", [1.0, "1", None])
def test_tokens_refuses_what_is_no_integer(tokenizer: Tokenizer, index: Any) -> None:
    with pytest.raises(InputError, match=f"token id {index!r} is not an integer"):
        tokenizer.tokens([7, index])


def test_encode_context(tokenizer: Tokenizer) -> None:
    ids, states = tokenizer.encode_context([["hello", "."], ["i", "dragon", "."], ["a"]])
    assert ids == [CLS_ID, 7, 18, 10, UNK_ID, 18, 13]
    assert states == [CLS_ID, USR_ID, USR_ID, SYS_ID, SYS_ID, SYS_ID, USR_ID]
    assert tokenizer.encode_context([]) == ([CLS_ID], [CLS_ID])


def test_batch_equals_singles(tokenizer: Tokenizer) -> None:
    texts = ["Hello, there.", "", 'I haven\'t a "caf\u00e9".']
    assert tokenizer.tokenize_batch(texts) == [tokenize(text) for text in texts]


@pytest.mark.parametrize(
    "call",
    [
        lambda tokenizer: tokenizer.ids("hello"),
        lambda _: Tokenizer.from_words("hello"),
        lambda tokenizer: tokenizer.tokenize_batch("hello"),
        lambda tokenizer: tokenizer.encode_context(["hello"]),
    ],
)
def test_a_string_in_place_of_a_list_is_refused(tokenizer: Tokenizer, call: Callable[[Tokenizer], object]) -> None:
    with pytest.raises(InputError, match="string"):
        call(tokenizer)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "b", "a"], "more than once: 'a'"),
        (["a", "EOS"], "special names among the words: 'EOS'"),
        (["a", ""], "empty or not text: ''"),
        (["a", 3], "empty or not text: 3"),
        (["\ud800"], "empty or not text"),
    ],
)
def test_from_words_refuses(words: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Tokenizer.from_words(words)


def test_a_file_with_a_byte_order_mark(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    path.write_bytes(BOM_UTF8 + path.read_bytes())
    assert Tokenizer.load(path).words == tokenizer.words


def test_file_round_trip(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    loaded = Tokenizer.load(path)
    assert loaded.words == tokenizer.words
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_library_gives_the_same_ids(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    library = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    texts = ['Hello there, I haven\'t "A" caf\u00e9.', "EOS \x00 dragon", ""]
    assert [encoding.ids for encoding in library.encode_batch(texts)] == [
        tokenizer.ids(tokens) for tokens in tokenizer.tokenize_batch(texts)
    ]
    assert library.encode(texts[0]).ids == [7, 8, 9, 10, 11, 12, 14, 13, 15, 16, 18]


def _drop(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.pop(name)


def _in_model(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["model"].update({name: value})


def _in_vocabulary(**entries: object) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["model"]["vocab"].update(entries)


def _no_lower_case(content: dict[str, Any]) -> None:
    del content["normalizer"]["normalizers"][0]


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no model": (_drop("model"), "no object 'model'"),
    "other model": (_in_model("type", "BPE"), "'BPE'; needed is 'WordLevel'"),
    "other unknown word": (_in_model("unk_token", "[UNK]"), r"unk_token is '\[UNK\]'"),
    "no vocabulary": (_in_model("vocab", ["hello"]), "no object 'vocab'"),
    "id is text": (_in_vocabulary(hello="7"), "not integers: 'hello'"),
    "id is a truth value": (_in_vocabulary(hello=True), "not integers: 'hello'"),
    "gap": (_in_vocabulary(hello=100), "absent are 7"),
    "doubled id": (_in_vocabulary(hello=8), "absent are 7"),
    "special moved": (_in_vocabulary(PAD=7, hello=1), "PAD has id 7; needed is 1"),
    "empty word": (lambda content: content["model"]["vocab"].update({"": 19}), "empty or not text"),
    "other rules": (_no_lower_case, "its normalizer is not"),
    "no rules": (_drop("pre_tokenizer"), "its pre_tokenizer is not"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_file(
    tokenizer: Tokenizer, tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match=message) as caught:
        Tokenizer.load(path)
    assert str(path) in str(caught.value)


def test_all_faults_come_in_one_message(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text('{"model": {"type": "BPE", "vocab": {"UNK": 0, "hello": 3, "hello": 5}}}', encoding="utf-8")
    with pytest.raises(CheckpointError) as caught:
        Tokenizer.load(path)
    for part in ("'BPE'", "unk_token is None", "more than once: 'hello'", "absent are 1", "special CLS has id None"):
        assert part in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"model": 3}'])
def test_not_a_tokenizer_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        Tokenizer.load(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        Tokenizer.load(tmp_path / "none.json")


def test_vocabulary_in_order_of_first_appearance() -> None:
    assert build_vocabulary([["b", "a"], [], ["c", "b", "EOS"]]) == ["b", "a", "c"]


def test_vocabulary_most_frequent_first() -> None:
    utterances = [["b", "a", "c"], ["a", "c", "d"], ["UNK", "UNK", "UNK"]]
    assert build_vocabulary(utterances, min_count=2) == ["a", "c"]
    assert build_vocabulary(utterances, max_size=3) == ["a", "c", "b"]
    assert build_vocabulary(utterances, max_size=0) == []


LIMITS: list[dict[str, Any]] = [{"min_count": wrong} for wrong in (0, math.nan, "2", True)]
LIMITS += [{"max_size": wrong} for wrong in (-1, 1.5, "2")]


@pytest.mark.parametrize("limits", LIMITS)
def test_vocabulary_refuses_limits(limits: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"must be .*integer of [01] or more"):
        build_vocabulary([["a"]], **limits)


def test_vocabulary_refuses_a_string() -> None:
    with pytest.raises(InputError, match="utterance 1 is a string"):
        build_vocabulary([["a"], "hello there"])


def test_vocabulary_fits_the_tokenizer() -> None:
    words = build_vocabulary([tokenize("EOS is a word, UNK too.")])
    assert Tokenizer.from_words(words).words == [*SPECIAL_TOKENS, "eos", "is", "a", "word", ",", "unk", "too", "."]


def test_import_is_light() -> None:
    code = "import sys, mime_fast.text; print([m for m in ('torch', 'nltk') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
