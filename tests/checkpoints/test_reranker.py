"""The reranker's file: what is written comes back, and every broken one is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from mime_fast.checkpoints import model_folder
from mime_fast.checkpoints.model_folder import load_model_folder, save_model_folder
from mime_fast.checkpoints.reranker import RERANKER, load_reranker, save_reranker
from mime_fast.config.generation import GenerationConfig
from mime_fast.errors import CheckpointError, ConfigError, OutputError
from mime_fast.reference.reranker import PARTS, Reranker, Tower
from mime_fast.text.tokenizer import Tokenizer
from tests.reference.tiny import tiny_model

INPUTS, HIDDEN, WIDTH = 24, 5, 3


def drawn(seed: int = 0) -> Reranker:
    random = np.random.default_rng(seed)

    def tower() -> Tower:
        shapes = (HIDDEN, INPUTS), (HIDDEN,), (WIDTH, HIDDEN), (WIDTH,)
        return Tower(*(random.normal(size=shape).astype(np.float32) for shape in shapes))

    return Reranker(tower(), tower(), 12.5)


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    reranker = drawn()
    save_reranker(tmp_path, reranker)
    loaded = load_reranker(tmp_path, INPUTS // 2)
    assert loaded is not None and loaded.weight == 12.5
    vectors = np.random.default_rng(1).normal(size=(4, INPUTS))
    for name in ("wanted", "given"):
        np.testing.assert_array_equal(getattr(loaded, name)(vectors), getattr(reranker, name)(vectors))
    save_reranker(tmp_path, reranker, "float16")
    assert {each.dtype for each in load_file(tmp_path / RERANKER).values()} == {np.dtype(np.float16)}
    half = load_reranker(tmp_path, INPUTS // 2)
    assert half is not None
    np.testing.assert_allclose(half.wanted(vectors), reranker.wanted(vectors), atol=2e-2)


def test_towers_may_be_lists_and_are_refused_without_axes(tmp_path: Path) -> None:
    reranker = drawn()
    lists: Any = Tower(*(getattr(reranker.wanted, part).tolist() for part in PARTS))
    save_reranker(tmp_path, replace(reranker, wanted=lists))
    loaded = load_reranker(tmp_path, INPUTS // 2)
    assert loaded is not None
    np.testing.assert_array_equal(loaded.wanted.weight1, reranker.wanted.weight1)
    no_axis: Any = replace(lists, weight1=1.0)
    with pytest.raises(ConfigError, match="towers read 24 numbers"):
        save_reranker(tmp_path, replace(reranker, wanted=no_axis))


def test_a_model_folder_may_have_one(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_words(["i", "lost", "my", "kite", "."])
    model = tiny_model(vocab_size=tokenizer.vocab_size)
    save_model_folder(tmp_path, model, tokenizer, GenerationConfig())
    assert load_model_folder(tmp_path).reranker is None
    inputs = 2 * model.config.hidden_size
    tower = Tower(np.ones((2, inputs)), np.zeros(2), np.ones((1, 2)), np.zeros(1))
    save_reranker(tmp_path, Reranker(tower, tower, 3.0))
    found = load_model_folder(tmp_path).reranker
    assert found is not None and found.weight == 3.0


def test_a_model_is_saved_with_its_reranker_and_never_with_another_s(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_words(["i", "lost", "my", "kite", "."])
    model = tiny_model(vocab_size=tokenizer.vocab_size)
    inputs = 2 * model.config.hidden_size
    tower = Tower(np.ones((2, inputs)), np.zeros(2), np.ones((1, 2)), np.zeros(1))
    parts = model, tokenizer, GenerationConfig()
    save_model_folder(tmp_path, *parts, torch.float16, reranker=Reranker(tower, tower, 3.0))
    found = load_model_folder(tmp_path).reranker
    assert found is not None and found.weight == 3.0
    assert {each.dtype for each in load_file(tmp_path / RERANKER).values()} == {np.dtype(np.float16)}
    save_model_folder(tmp_path, *parts)
    assert load_model_folder(tmp_path).reranker is None
    other = Tower(np.ones((2, inputs + 2)), np.zeros(2), np.ones((1, 2)), np.zeros(1))
    with pytest.raises(ConfigError, match=r"reranker whose towers read .*: must be 2 \* hidden_size"):
        save_model_folder(tmp_path / "new", *parts, reranker=Reranker(tower, other, 3.0))
    assert not (tmp_path / "new").exists()


def test_a_save_that_fails_leaves_the_folder_its_reranker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer.from_words(["i", "lost", "my", "kite", "."])
    model = tiny_model(vocab_size=tokenizer.vocab_size)
    inputs = 2 * model.config.hidden_size
    tower = Tower(np.ones((2, inputs)), np.zeros(2), np.ones((1, 2)), np.zeros(1))
    save_model_folder(tmp_path, model, tokenizer, GenerationConfig(), reranker=Reranker(tower, tower, 3.0))

    @contextmanager
    def full(*_: object) -> Iterator[Any]:
        raise OutputError("no space left")
        yield

    def refused(*_: object) -> Any:
        raise OSError("no such server")

    for owner, name, failing in ((model_folder, "whole_file", full), (Path, "replace", refused)):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, failing)
            with pytest.raises(OutputError):
                save_model_folder(tmp_path, model, tokenizer, GenerationConfig())
    assert load_model_folder(tmp_path).reranker is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": None}, r"missing weight \(1,\)"),
        ({"given.bias1": np.zeros(7, np.float32)}, r"given.bias1 has shape \(7,\), expected \(5,\)"),
        ({"wanted.weight1": np.zeros((5, 22), np.float32)}, r"wanted.weight1 has shape \(5, 22\), expected \(5, 24\)"),
        ({"wanted.bias1": np.zeros((5, 1), np.float32)}, r"must have one axis, of 1 or more, got .*\(5, 1\)"),
        ({"given.weight2": np.full((3, 5), np.nan, np.float32)}, r"given.weight2 has 15 values that are NaN"),
        ({"wanted.bias2": np.zeros(3, np.int64)}, r"wanted.bias2 is int64, expected a floating-point type"),
        ({"other": np.zeros(3, np.float32)}, r"unexpected other \(3,\)"),
        ({name: None for name in ("wanted.bias1", "wanted.bias2")}, r"missing wanted.bias1"),
    ],
)
def test_a_broken_one_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    save_reranker(tmp_path, drawn())
    tensors: dict[str, Any] = load_file(tmp_path / RERANKER) | changes
    save_file({name: each for name, each in tensors.items() if each is not None}, tmp_path / RERANKER)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_reranker(tmp_path, INPUTS // 2)
    assert str(tmp_path / RERANKER) in str(caught.value)


@pytest.mark.parametrize(
    ("part", "value", "dtype", "message"),
    [
        ("weight1", np.full((HIDDEN, INPUTS), 1e6), "float16", r"wanted\.weight1 has 120 values that are NaN or infin"),
        ("weight2", np.full((WIDTH, HIDDEN), np.nan), "float32", r"wanted\.weight2 has 15 values that are NaN"),
        ("bias1", np.full(HIDDEN, 1e300), "float64", r"wanted\.bias1 has 5 values that are NaN or infinite"),
        ("bias2", np.zeros(WIDTH + 1), "float32", r"given\.bias2 has shape \(3,\), expected \(4,\)"),
        ("bias2", np.zeros(0), "float32", r"must have one axis, of 1 or more"),
        ("bias1", np.zeros(HIDDEN), "int8", r"dtype='int8': must be one of float16, float32, float64"),
    ],
)
def test_what_loading_refuses_is_not_written(tmp_path: Path, part: str, value: Any, dtype: str, message: str) -> None:
    reranker = drawn()
    broken = replace(reranker, wanted=replace(reranker.wanted, **{part: value}))
    with pytest.raises(ConfigError, match=message):
        save_reranker(tmp_path, broken, dtype)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("hidden, width", [(0, WIDTH), (HIDDEN, 0)])
def test_layers_of_no_width_are_refused(tmp_path: Path, hidden: int, width: int) -> None:
    shapes = (hidden, INPUTS), (hidden,), (width, hidden), (width,)
    parts = {
        f"{tower}.{part}": np.zeros(shape, np.float32)
        for tower in ("wanted", "given")
        for part, shape in zip(PARTS, shapes, strict=True)
    }
    save_file({**parts, "weight": np.ones(1, np.float32)}, tmp_path / RERANKER)
    with pytest.raises(CheckpointError, match="must have one axis, of 1 or more"):
        load_reranker(tmp_path, INPUTS // 2)


def test_one_of_other_weights_is_refused(tmp_path: Path) -> None:
    """It reads what their context encoder makes of a text, which another's weights make something else of."""
    tokenizer = Tokenizer.from_words(["i", "lost", "my", "kite", "."])
    model = tiny_model(vocab_size=tokenizer.vocab_size)
    inputs = 2 * model.config.hidden_size
    tower = Tower(np.ones((2, inputs)), np.zeros(2), np.ones((1, 2)), np.zeros(1))
    save_model_folder(tmp_path / "a", model, tokenizer, GenerationConfig(), reranker=Reranker(tower, tower, 3.0))
    with torch.no_grad():
        next(model.parameters())[0] += 1
    save_model_folder(tmp_path / "b", model, tokenizer, GenerationConfig())
    shutil.copy(tmp_path / "a" / RERANKER, tmp_path / "b")
    with pytest.raises(CheckpointError, match="trained for other weights") as caught:
        load_model_folder(tmp_path / "b")
    assert str(tmp_path / "b" / RERANKER) in str(caught.value)
    save_file(load_file(tmp_path / "b" / RERANKER), tmp_path / "b" / RERANKER)  # without the hash: as earlier ones
    assert load_model_folder(tmp_path / "b").reranker is not None
    assert load_model_folder(tmp_path / "a").reranker is not None


def test_what_is_no_such_file(tmp_path: Path) -> None:
    assert load_reranker(tmp_path, 4) is None
    (tmp_path / RERANKER).write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_reranker(tmp_path, 4)
