"""The step that makes typography plain: what it changes, that the library does the same, and who has it."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.engine.load import find_model
from mime_fast.text import Tokenizer, tokenize
from mime_fast.text.typography import plain
from mime_fast.training.inputs import make_tokenizer
from mime_fast.training.recipe import Stage

MARKS = "Iam sd.,!?'\"`\u2019\u2018\u00b4\u02bc\u2032\uff07\u201c\u201d\u2026\u200b\ufeff\uff21\uff01-"
WORDS = ["i", "am", "sad", "it", "is", ".", "...", "``", "''", "'", "do", "not", "said", "\u2019", "\u2026"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, tokenizers.Tokenizer]:
    path = tmp_path_factory.mktemp("typography") / "tokenizer.json"
    Tokenizer.from_words(WORDS, typography=True).save(path)
    return Tokenizer.load(path), tokenizers.Tokenizer.from_file(str(path))


@pytest.mark.parametrize("mark", "\u2019\u2018\u201b\u00b4\u02bc\u2032\uff07\uff40`")
def test_every_apostrophe_is_plain(files: tuple[Tokenizer, tokenizers.Tokenizer], mark: str) -> None:
    assert files[0].tokenize(f"I{mark}m sad, don{mark}t") == tokenize("I'm sad, don't")


def test_quotes_ellipses_and_wide_and_invisible_marks() -> None:
    assert plain("\u201cNo\u201d \u201eno\u201f \u2033 ``no``") == '"No" "no" " "no"'
    assert plain("well\u2026") == "well..."
    assert plain("\uff29 \uff41\uff4d\uff01\uff02") == 'I am!"'
    assert plain("s\u00ada\u200bd\u200d \ufeff\u2060\u200e.") == "sad ."
    assert plain("caf\u00e9 \U0001f600 \u2014 \u00ab\u00bb") == "caf\u00e9 \U0001f600 \u2014 \u00ab\u00bb"


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from(MARKS) | st.characters()))
def test_the_library_does_the_same(files: tuple[Tokenizer, tokenizers.Tokenizer], text: str) -> None:
    ours, library = files
    if any("\ud800" <= char <= "\udfff" for char in text):
        return
    assert library.encode(text).ids == ours.ids(ours.tokenize(text))


def test_without_the_step_nothing_changes(tmp_path: Path) -> None:
    released = Tokenizer.from_words(WORDS)
    released.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert not loaded.typography
    for text in ("I\u2019m sad\u2026", "\u201cNo\u201d", "I`m", "\uff29"):
        assert loaded.tokenize(text) == released.tokenize(text) == tokenize(text) != tokenize(plain(text))


def test_the_shipped_model_has_it_and_reads_a_phones_apostrophe() -> None:
    shipped = Tokenizer.load(find_model(None) / "tokenizer.json")
    assert shipped.typography
    assert shipped.tokenize("I\u2019m sad. It\u2019s over\u2026") == shipped.tokenize("I'm sad. It's over...")


def test_training_gives_it_to_all_but_the_released_preset() -> None:
    pairs = [Pair(["I\u2019m sad."], "Why?", "sad", "It.", "a")]
    ours, released = make_tokenizer(Stage(), [pairs]), make_tokenizer(Stage(preset="released"), [pairs])
    assert ours.typography
    assert not released.typography
    assert any("\u2019" in word for word in released.words)
    assert not any("\u2019" in word for word in ours.words)
