"""The linear teacher of L_cls: right where words show it, no word of a dialogue seen before, mixed in by its share."""

from __future__ import annotations

import _posixsubprocess
import dataclasses
import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
import torch

from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.emotions import emotion_index
from mime_fast.errors import BackendError, CheckpointError, ConfigError, MissingPackage
from mime_fast.training import examples
from mime_fast.training.emotion_teacher import teach
from mime_fast.training.losses import classification_loss
from mime_fast.training.run import train
from tests.reference.tiny import random_batch
from tests.training.small_run import stage, state_of, write_split
from tests.training.tiny_encoder import write_encoder

EMOTIONS = ["joyful", "sad", "proud"]


def pair(dialogue: int, text: str, emotion: str) -> Pair:
    return Pair([text], "oh .", emotion, text, f"d{dialogue}")


def test_it_names_emotions_by_words() -> None:
    said = {"joyful": "the sun shines", "sad": "the rain falls", "proud": "the medal shines"}
    pairs = [pair(i, said[emotion], emotion) for i in range(20) for emotion in EMOTIONS]
    probs = teach(pairs)
    gold = np.array([emotion_index(each.emotion) for each in pairs])
    assert probs.shape == (60, 32)
    assert probs.dtype == np.float32
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)
    assert (probs.argmax(axis=1) == gold).all()
    absent = np.setdiff1d(np.arange(32), gold)
    assert (probs[:, absent] == 0).all()


def test_who_said_it_matters() -> None:
    turns = [("lost it", "found it", "sad"), ("found it", "lost it", "joyful")]
    pairs = [Pair([said, heard], "oh .", emotion, "", f"d{i}") for i in range(20) for said, heard, emotion in turns]
    gold = [emotion_index(each.emotion) for each in pairs]
    assert teach(pairs).argmax(axis=1).tolist() == gold


def test_no_pair_is_answered_by_a_classifier_that_saw_its_dialogue() -> None:
    """A word of only one dialogue would give its label away."""
    draw = np.random.default_rng(0)
    pairs = []
    for dialogue in range(60):
        emotion = EMOTIONS[draw.integers(3)]
        pairs += [pair(dialogue, f"secret{dialogue} word", emotion)] * 4
    probs = teach(pairs)
    gold = np.array([emotion_index(each.emotion) for each in pairs])
    assert probs[np.arange(len(pairs)), gold].mean() < 0.45  # a third by chance
    np.testing.assert_allclose(probs[::4], probs[3::4], rtol=1e-6)


def test_threads_change_nothing() -> None:
    pairs = [pair(i, f"the word{i % 3} is out", EMOTIONS[i % 3]) for i in range(30)]
    np.testing.assert_array_equal(teach(pairs, threads=3), teach(pairs))


def test_it_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What kills a run ends all of it."""
    started: list[object] = []
    monkeypatch.setattr(os, "fork", lambda: started.append("fork"))
    monkeypatch.setattr(_posixsubprocess, "fork_exec", lambda *arguments: started.append(arguments))
    teach([pair(i, f"the word{i % 3} is out", EMOTIONS[i % 3]) for i in range(30)], threads=2)
    assert not started


def test_answers_are_kept_for_all_stages(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def noting(pairs: list[Pair], threads: int) -> npt.NDArray[np.float32]:
        asked.append(len(pairs))
        return teach(pairs, threads)

    monkeypatch.setattr(examples, "teach", noting)
    plan = [stage(max_steps=1, emotion_teacher=share) for share in (0.5, 0.2)]
    train(plan, data, tmp_path / "out", show_progress=False)
    train(plan, data, tmp_path / "out", show_progress=False)
    assert asked == [45 + 45 + 15]
    (kept,) = (tmp_path / "out" / "teachers").glob("linear-*.npy")
    kept.write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="not readable"):
        train(plan, data, tmp_path / "out", show_progress=False)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (
            [pair(i, "the sun shines", "joyful") for i in range(10)],
            "a fold of 5 leaves 8 contexts of one emotion, joyful; must be of 2 or more",
        ),
        (
            [pair(i, f"word{i}", EMOTIONS[i % 3]) for i in range(10)],
            "a fold of 5 leaves 8 contexts; one word or more must be in 3 of them",
        ),
    ],
)
def test_too_little_in_them(pairs: list[Pair], message: str) -> None:
    with pytest.raises(ConfigError, match=f"emotion_teacher: {message}"):
        teach(pairs)


def test_too_few_dialogues_for_a_run(data: Path, tmp_path: Path) -> None:
    """They are refused before anything is written; the message names what asked."""
    write_split(data, "train", 4)
    with pytest.raises(ConfigError, match="emotion_teacher: 4 dialogues; must be 5 or more"):
        train([stage(max_steps=1), stage(emotion_teacher=0.5)], data, tmp_path / "out", show_progress=False)
    write_split(data, "train", 1)
    plan = stage(sentence_teacher_steps=1, reranker_contexts=1, generation={"do_sample": True, "num_beams": 1})
    encoder = write_encoder(tmp_path / "encoder")
    with pytest.raises(ConfigError, match="sentence_teacher_steps: 1 dialogues; must be 2 or more"):
        train([stage(max_steps=1), plan], data, tmp_path / "out", sentence_encoder=encoder, show_progress=False)
    assert not (tmp_path / "out").exists()


def test_too_few_dialogues() -> None:
    with pytest.raises(ConfigError, match="emotion_teacher: 4 dialogues; must be 5 or more"):
        teach([pair(i, "word", EMOTIONS[i % 2]) for i in range(4)])


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    message = r"emotion_teacher needs scikit-learn .*pip install 'mime-fast\[train\]'"
    for absent in (None, ModuleType("sklearn")):  # not installed; a folder of that name
        monkeypatch.setitem(sys.modules, "sklearn", absent)
        with pytest.raises(BackendError, match=message):
            teach([])


def test_a_run_asks_for_scikit_learn_first(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not after the hours that its start takes."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingPackage, match="needs scikit-learn"):
        train([stage(), stage(emotion_teacher=0.5)], data, tmp_path / "out", show_progress=False)
    assert not (tmp_path / "out").exists()


def test_share_of_the_loss_by_hand() -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(3, 32, dtype=torch.float64, generator=generator)
    teacher = torch.rand(3, 32, dtype=torch.float64, generator=generator).softmax(dim=1)
    batch = dataclasses.replace(random_batch([3, 6, 1], [4, 2, 6]), teacher=teacher)
    logs = logits.log_softmax(dim=1)
    told = -(0.9 * logs[torch.arange(3), batch.emotion] + 0.1 * logs.mean(dim=1))
    taught = -(teacher * logs).sum(dim=1)
    expected = (0.3 * told + 0.7 * taught).mean()
    torch.testing.assert_close(classification_loss(logits, batch, 0.1, 0.7), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(classification_loss(logits, batch, 0.1, 0.0), told.mean(), rtol=1e-12, atol=0)


def test_a_run_listens_to_the_teacher(data: Path, tmp_path: Path) -> None:
    models = []
    for name, share in (("without", 0.0), ("with", 0.5)):
        options = stage(max_steps=6, emotion_teacher=share, extra_epochs={"speaker_turns": 1, "situations": 1})
        train([options], data, tmp_path / name, show_progress=False)
        models.append(state_of(tmp_path / name)["model"])
    changed = [name for name in models[0] if not torch.equal(models[0][name], models[1][name])]
    assert any("emotion" in name for name in changed)
