"""The encoder's half of L_cls' teacher: it learns, no fold is answered by an encoder that saw it, answers are kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from mime_fast.data.batches import Example
from mime_fast.errors import ConfigError
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.mime import Mime
from mime_fast.text.special import CLS_ID, EOS_ID, USR_ID
from mime_fast.training import encoder_teacher, run
from mime_fast.training.encoder_teacher import teach_by_encoders
from tests.reference.tiny import tiny_model
from tests.training.small_run import stage, taught_targets

WORDS = 60


def example(words: list[int], emotion: int) -> Example:
    linear = np.full(32, 1 / 32, dtype=np.float32)
    return Example([CLS_ID, *words], [CLS_ID, *[USR_ID] * len(words)], [EOS_ID], emotion, linear)


def make_model() -> DialogueModel:
    torch.manual_seed(2)
    return tiny_model("paper", vocab_size=7 + WORDS).requires_grad_(True).float()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_teacher, "PLAN", encoder_teacher.PLAN.replace(warmup_steps=5, learning_rate=0.02))


@pytest.mark.usefixtures("quick")
def test_it_hears_what_words_tell_and_nothing_of_its_own_fold(tmp_path: Path) -> None:
    """Word 7 + e shows emotion e < 4; words 20, 21, ... are each in only one fold, where they would show it."""
    draw = np.random.default_rng(0)
    told, examples, folds = [], [], []
    for i in range(500):
        emotion, fold, tells = int(draw.integers(4)), i % 5, i % 2 == 0
        secret = 20 + 4 * fold + emotion
        examples.append(example([7 + emotion if tells else 12, secret], emotion))
        told.append(tells)
        folds.append(fold)
    probs = teach_by_encoders(examples, np.array(folds), make_model, 200, tmp_path / "answers.npy", show_progress=False)
    assert probs.shape == (500, 32)
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)
    gold = np.array([each.emotion for each in examples])
    right = probs.argmax(axis=1) == gold
    assert right[np.array(told)].mean() > 0.9
    assert right[~np.array(told)].mean() < 0.45  # a quarter by chance


@pytest.mark.usefixtures("quick")
def test_a_killed_run_goes_on_with_its_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [example([7 + i % 3, 20 + i % 7], i % 3) for i in range(40)]
    folds = np.arange(40) % 4
    whole = teach_by_encoders(examples, folds, make_model, 10, tmp_path / "whole.npy", show_progress=False)
    steps: list[tuple[str, int]] = []
    step = encoder_teacher.FoldTraining._step

    def dying(self: encoder_teacher.FoldTraining, indices: object) -> dict[str, float]:
        self.save_every_seconds = 0.0
        if len(steps) == 23:  # in the third fold
            steps.append(("killed", 0))
            raise KeyboardInterrupt
        steps.append((self.state.name, self.progress.step))
        return step(self, indices)  # type: ignore[arg-type]

    monkeypatch.setattr(encoder_teacher.FoldTraining, "_step", dying)
    with pytest.raises(KeyboardInterrupt):
        teach_by_encoders(examples, folds, make_model, 10, tmp_path / "cut.npy", show_progress=False)
    (tmp_path / "cut-fold-1.pt").touch()  # as a kill between the answers and its removal leaves it
    found = teach_by_encoders(examples, folds, make_model, 10, tmp_path / "cut.npy", show_progress=False)
    np.testing.assert_array_equal(found, whole)
    assert steps[22:25] == [("cut-fold-3.pt", 2), ("killed", 0), ("cut-fold-3.pt", 3)]
    assert len(steps) == 41
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.npy", "whole.npy"]
    np.testing.assert_array_equal(np.load(tmp_path / "cut.npy"), whole)


def test_only_what_the_classifier_needs_is_trained(tmp_path: Path) -> None:
    model = make_model()
    assert isinstance(model, Mime)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    examples = [example([7 + i], i) for i in range(20)]
    encoder_teacher.FoldTraining(model, examples, 5, tmp_path / "fold.pt", 0, show_progress=False).run()
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {
        "word_embedding", "speaker_embedding", "context_encoder", "emotion_query", "emotion_embedding"
    }  # fmt: skip


def test_a_run_listens_to_the_mean_of_both(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = taught_targets(monkeypatch)
    plan = stage(max_steps=1, emotion_teacher=0.5)
    for name, each in (("linear", plan), ("both", dataclasses.replace(plan, encoder_teacher_steps=3))):
        run.train([each], data, tmp_path / name, show_progress=False)
    (kept,) = (tmp_path / "both" / "teachers").glob("encoder-*.npy")
    encoders = np.load(kept)[: len(heard[0])]
    np.testing.assert_allclose(heard[1], (heard[0] + encoders) / 2, rtol=1e-6)
    assert not np.allclose(heard[0], heard[1])


def test_it_needs_the_other_one() -> None:
    with pytest.raises(ConfigError, match=r"encoder_teacher_steps=9 with emotion_teacher=0: it must be above 0"):
        stage(encoder_teacher_steps=9)
