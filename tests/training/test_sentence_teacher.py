"""The sentence encoder as a teacher: it learns, no fold is answered by one that saw it, killed runs go on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.emotions import LABELS
from mime_fast.errors import CheckpointError, ConfigError
from mime_fast.training import run, sentence_teacher
from mime_fast.training.sentence_encoder import given_replies, wanted_replies
from mime_fast.training.sentence_teacher import SentenceTraining, answer_loss, teach_by_sentences
from tests.training.small_run import stage, taught_targets
from tests.training.tiny_encoder import WORDS, write_encoder

SECRETS = [f"secret{i}" for i in range(8)]
TOLD = [f"told{i}" for i in range(4)]
REPLIES = [f"reply{i}" for i in range(4)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("made") / "encoder", [*WORDS, *SECRETS, *TOLD, *REPLIES])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"warmup_steps": 5, "learning_rate": 0.01, "batch_size": 16}
    monkeypatch.setattr(sentence_teacher, "PLAN", sentence_teacher.PLAN.replace(**changes))


def made_up(count: int) -> list[Pair]:
    """Word told{e}, in every second context, shows emotion e < 4; reply{e} answers it."""
    draw = np.random.default_rng(0)
    pairs = []
    for i in range(count):
        emotion, tells = int(draw.integers(4)), i % 2 == 0
        context = f"{TOLD[emotion] if tells else 'today'} my dog"
        pairs.append(Pair([context], f"{REPLIES[emotion]} the dog", LABELS[emotion], context, f"{i}"))
    return pairs


@pytest.mark.usefixtures("quick")
def test_it_learns_emotions_and_answers_and_nothing_of_its_own_fold(encoder: Path, tmp_path: Path) -> None:
    pairs = made_up(240)
    bare = teach_by_sentences(pairs, encoder, 0, tmp_path / "bare", show_progress=False)
    told = [  # where nothing else shows it, a word that only the pair's own fold has
        dataclasses.replace(pair, context=[f"{SECRETS[4 * fold + LABELS.index(pair.emotion)]} my dog"])
        if i % 2
        else pair
        for i, (pair, fold) in enumerate(zip(pairs, bare.folds.tolist(), strict=True))
    ]
    teacher = teach_by_sentences(told, encoder, 80, tmp_path / "kept", show_progress=False)
    np.testing.assert_array_equal(teacher.folds, bare.folds)
    probs = teacher.emotion_probs([pair.context for pair in told])
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)
    right = np.array([LABELS[row.argmax()] == pair.emotion for row, pair in zip(probs, pairs, strict=True)])
    assert right[0::2].mean() > 0.9
    assert right[1::2].mean() < 0.45  # a quarter by chance
    for tuned in teacher.encoders:
        given = given_replies(tuned, teacher.subworder, [f"{reply} the dog" for reply in REPLIES])
        wanted = wanted_replies(tuned, teacher.subworder, [[f"{word} my dog"] for word in TOLD])
        assert (wanted @ given.T).argmax(axis=1).tolist() == [0, 1, 2, 3]


def test_the_loss_of_answers() -> None:
    """Two pairs at right angles: each own score is 20, each other 0."""
    vectors = torch.eye(3)[:2]
    assert answer_loss(vectors, vectors).item() == pytest.approx(np.log1p(np.exp(-20)), abs=1e-7)
    assert answer_loss(vectors, vectors.flip(0)).item() == pytest.approx(20, rel=1e-6)


@pytest.mark.usefixtures("quick")
def test_a_killed_run_goes_on_with_its_fold(encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = made_up(40)
    whole = teach_by_sentences(pairs, encoder, 6, tmp_path / "whole", show_progress=False)
    steps: list[tuple[str, int]] = []
    step = SentenceTraining._step

    def dying(self: SentenceTraining, indices: object) -> dict[str, float]:
        self.save_every_seconds = 0.0
        if len(steps) == 9:  # in the second fold
            steps.append(("killed", 0))
            raise KeyboardInterrupt
        steps.append((self.state.name, self.progress.step))
        return step(self, indices)  # type: ignore[arg-type]

    monkeypatch.setattr(SentenceTraining, "_step", dying)
    with pytest.raises(KeyboardInterrupt):
        teach_by_sentences(pairs, encoder, 6, tmp_path / "cut", show_progress=False)
    (tmp_path / "cut-fold-1.pt").touch()  # as a kill between the weights and its removal leaves it
    found = teach_by_sentences(pairs, encoder, 6, tmp_path / "cut", show_progress=False)
    assert steps[8:11] == [("cut-fold-2.pt", 2), ("killed", 0), ("cut-fold-2.pt", 3)]
    assert len(steps) == 13
    for one, other in zip(found.encoders, whole.encoders, strict=True):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name
    names = [f"{run}-fold-{fold}.safetensors" for run in ("cut", "whole") for fold in (1, 2)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_kept_weights_that_are_damaged(encoder: Path, tmp_path: Path) -> None:
    teach_by_sentences(made_up(8), encoder, 0, tmp_path / "kept", show_progress=False)
    path = tmp_path / "kept-fold-1.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"kept-fold-1.safetensors: not readable .*; it can be deleted"):
        teach_by_sentences(made_up(8), encoder, 0, tmp_path / "kept", show_progress=False)


def test_a_run_listens_to_the_mean_of_both(
    data: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = taught_targets(monkeypatch)
    plan = stage(max_steps=1, emotion_teacher=0.5)
    run.train([plan], data, tmp_path / "linear", show_progress=False)
    both = [dataclasses.replace(plan, sentence_teacher_steps=3)] * 2
    run.train(both, data, tmp_path / "both", sentence_encoder=encoder, show_progress=False)
    (kept,) = (tmp_path / "both" / "teachers").glob("sentence-*.npy")  # one for both stages
    sentences = np.load(kept)[: len(heard[0])]
    np.testing.assert_allclose(heard[1], (heard[0] + sentences) / 2, rtol=1e-6)
    np.testing.assert_array_equal(heard[1], heard[2])
    assert not np.allclose(heard[0], heard[1])


def test_another_encoder_is_another_run(data: Path, encoder: Path, tmp_path: Path) -> None:
    plan = [stage(max_steps=1, emotion_teacher=0.5, sentence_teacher_steps=1)]
    run.train(plan, data, tmp_path / "out", sentence_encoder=encoder, show_progress=False)
    other = write_encoder(tmp_path / "other", ["dog"])
    with pytest.raises(CheckpointError, match=r"the run was started with another sentence encoder"):
        run.train(plan, data, tmp_path / "out", sentence_encoder=other, show_progress=False)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_broken_encoder_is_refused_before_anything_begins(data: Path, tmp_path: Path, name: str) -> None:
    plan = [stage(max_steps=1), stage(max_steps=1, emotion_teacher=0.5, sentence_teacher_steps=1)]
    broken = write_encoder(tmp_path / "broken")
    (broken / name).write_bytes(b"broken")
    with pytest.raises(CheckpointError, match=r"broken.*: not .*readable"):
        run.train(plan, data, tmp_path / "out", sentence_encoder=broken, show_progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sentence_teacher_steps": -1}, r"sentence_teacher_steps=-1"),
        (
            {"sentence_teacher_steps": 3},
            r"sentence_teacher_steps=3 with neither emotion_teacher nor risk_weight nor reranker_contexts: one",
        ),
        ({"risk_weight": 1.0}, r"risk_weight=1.0 with sentence_teacher_steps=0: it must be above 0"),
    ],
)
def test_where_it_is_allowed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        stage(**changes)


def test_fewer_steps_of_the_run_are_fewer_of_the_teacher() -> None:
    plan = stage(emotion_teacher=0.5, sentence_teacher_steps=700, encoder_teacher_steps=5)
    cut = plan.replace(max_steps=9)
    assert (cut.sentence_teacher_steps, cut.encoder_teacher_steps) == (9, 5)
