"""Word vectors in the forms that people have: GloVe, word2vec's and fastText's text, packed, with blanks in words."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from mime_fast.errors import DataError
from mime_fast.training import run
from mime_fast.training.vectors import read_vectors
from tests.training.small_run import SMALL, stage

WORDS = ["dog", "cat", ".", "at", "naïve", "7"]
DOG, CAT = "1 2 3", "-0.5 1e-3 4"


def read(path: Path, content: str | bytes) -> dict[str, list[float]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return {word: vector.tolist() for word, vector in read_vectors(path, WORDS, 3).items()}


FOUND = {"dog": [1, 2, 3], "cat": pytest.approx([-0.5, 1e-3, 4])}


@pytest.mark.parametrize(
    "text",
    [
        f"dog {DOG}\ncat {CAT}\n",
        f"dog {DOG}\ncat {CAT}",
        f"2 3\ndog {DOG}\ncat {CAT}\n",  # word2vec and fastText
        f"7 3\ndog {DOG}\ncat {CAT}\n",  # seven vectors, though 7 is a word, too
        f"dog {DOG} \ncat {CAT}  \n",
        f"dog\t{DOG}\ncat\t{CAT}\n".replace(" ", "\t"),
        f"dog {DOG}\r\ncat {CAT}\r\n",
        f"\ufeffdog {DOG}\ncat {CAT}\n",
        f". . . {DOG}\nat name@domain.com {DOG}\ndog {DOG}\ncat {CAT}\n",  # GloVe 840B
        f"unseen x y\ndog {DOG}\ncat {CAT}\n",
    ],
    ids=[
        *("glove", "no-end", "header", "header-like-a-word", "blanks", "tabs", "crlf", "bom", "words-with-blanks"),
        "unseen-are-not-read",
    ],
)
def test_forms(tmp_path: Path, text: str) -> None:
    assert read(tmp_path / "vectors.txt", text) == FOUND
    assert read(tmp_path / "packed", gzip.compress(text.encode())) == FOUND  # whatever its name is


def test_a_number_may_be_a_word(tmp_path: Path) -> None:
    assert read(tmp_path / "v", f"7 {DOG}\nnaïve {CAT}\n") == {"7": [1, 2, 3], "naïve": FOUND["cat"]}


def test_bytes_that_are_no_text_are_no_word_of_ours(tmp_path: Path) -> None:
    assert read(tmp_path / "v", b"\xff\xfe 1 2 3\ndog 1 2 3\n") == {"dog": [1, 2, 3]}


@pytest.mark.parametrize("line", ["dog 1 2", "dog 1 2 x", "dog 1 2 3 4", "dog 1 2 nan", "dog 1 2 inf", "dog"])
def test_broken_numbers_are_reported_by_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"vectors\.txt, line 2"):
        read(tmp_path / "vectors.txt", f"cat {CAT}\n{line}\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"dog 1 2 3\n" * 2000)[:-30], "cannot be read"),
        (gzip.compress(b"dog 1 2 3\n" * 2000)[:20] + b"\x00" * 40, "cannot be read"),
        (b"PK\x03\x04rest", "a zip archive"),
        (b"mouse 1 2 3\n", "a vector of none of the 6 words; a word and 3 numbers per line are expected"),
        (b"", "a vector of none"),
        ("dog 1 2 3\n".encode("utf-16"), "a vector of none"),
    ],
    ids=["cut", "damaged", "zip", "others", "empty", "utf-16"],
)
def test_what_is_no_vectors_file(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path / "vectors", content)
    with pytest.raises(DataError, match="cannot be read"):
        read_vectors(tmp_path / "missing", WORDS, 3)


def test_a_run_says_how_many_it_found(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("dog " + " ".join(["0.5"] * int(SMALL["hidden_size"])) + "\n")
    run.train([stage(max_steps=1)], data, tmp_path / "out", vectors=path)
    assert f"{path}: found 1 of " in capsys.readouterr().err
