"""The loop: a killed run goes on bit for bit, it learns, and ends when it should."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mime_fast.checkpoints.model_folder import load_model_folder
from mime_fast.config.model import MODEL_CONFIGS
from mime_fast.errors import DataError, MimeFastError
from mime_fast.evaluation.metrics.likelihood import evaluate_likelihood
from mime_fast.reference.mime import Mime
from mime_fast.text.special import UNK_ID
from mime_fast.training import loop, run, trainer
from mime_fast.training.loop import Loop
from mime_fast.training.losses import loss_terms
from mime_fast.training.schedule import gold_listener_chance
from mime_fast.training.start import new_weights
from tests.training.small_run import SMALL, metrics_of, stage, state_of, write_split


def assert_same_state(first: dict[str, Any], second: dict[str, Any]) -> None:
    for part in ("model", "average"):
        assert first[part].keys() == second[part].keys()
        for name in first[part]:
            assert torch.equal(first[part][name], second[part][name]), name
    assert {**first["progress"], "seconds": 0} == {**second["progress"], "seconds": 0}


class Killed(BaseException):
    """Stands for a signal: nothing of the trainer may catch it."""


AUGMENTED = {
    "extra_epochs": {"speaker_turns": 1, "situations": 2},
    "word_dropout": 0.3,
    "emotion_smoothing": 0.1,
    "bfloat16_projection": True,
}


MOEL = {"model_type": "moel", "gold_listener_steps": 10}
ALONE = {"beta": 0.0, "gamma": 0.0}
SLOW = {"encoder_rate": 0.1}
HEARD = {"word_embedding", "speaker_embedding", "context_encoder", "emotion_query", "emotion_embedding"}
TAUGHT = ALONE | {"emotion_teacher": 0.5, "encoder_teacher_steps": 6, "max_steps": 9}
RISKY = {"risk_weight": 5.0, "emotion_teacher": 0.5, "sentence_teacher_steps": 5}


def test_the_classifier_alone_leaves_the_rest_as_it_was(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And decodes nothing: only an evaluation does."""
    monkeypatch.setattr(trainer, "loss_terms", None)
    plan = stage(**ALONE, max_steps=5, min_steps=5, ema_decay=0.0)
    run.train([plan], data, tmp_path / "out", show_progress=False)
    after = state_of(tmp_path / "out")["model"]
    folder = load_model_folder(tmp_path / "out")
    before = new_weights(folder.config, folder.tokenizer, plan.seed, None)
    changed = {name.split(".")[0] for name, value in before.state_dict().items() if not torch.equal(value, after[name])}
    assert changed == HEARD
    (row,) = metrics_of(tmp_path / "out")
    assert row["classification"] == row["loss"] > 0 == row["response"]


def test_encoder_rate_slows_what_the_classifier_reaches(tmp_path: Path, data: Path) -> None:
    steps = {}
    for share in (1.0, 0.5, 0.0):
        plan = stage(encoder_rate=share, max_steps=1, ema_decay=0.0, weight_decay=0.1, max_grad_norm=0.0)
        out = tmp_path / str(share)
        run.train([plan], data, out, show_progress=False)
        folder = load_model_folder(out)
        before = new_weights(folder.config, folder.tokenizer, plan.seed, None)
        after = state_of(out)["model"]
        steps[share] = {name: after[name].double() - value.double() for name, value in before.state_dict().items()}
    for name, whole in steps[1.0].items():
        heard = name.split(".")[0] in HEARD
        for share in (0.5, 0.0):
            torch.testing.assert_close(steps[share][name], whole * (share if heard else 1), rtol=1e-3, atol=1e-7)
    assert any(bool(step.any()) for name, step in steps[0.0].items() if name.startswith("decoder."))
    assert steps[1.0]["emotion_embedding.weight"].any()


@pytest.mark.parametrize(
    "stages",
    [
        [{"preset": "paper"}],
        [{"preset": "released"}],
        [AUGMENTED],
        [{"max_epochs": 1}, {}],
        [{"model_type": "multi-tr"}],
        [MOEL],
        [{"max_steps": 2}, RISKY],
        [ALONE],
        [SLOW],
        [TAUGHT],
        [TAUGHT, {"max_epochs": 1, "emotion_teacher": 0.3}, TAUGHT, RISKY | {"max_steps": 8}],
    ],
    ids=[
        *("paper", "released", "augmented", "two", "multi-tr", "moel", "risky", "classifier-alone", "slow", "teachers"),
        "everything",
    ],
)
def test_a_killed_run_goes_on_bit_for_bit(
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    stages: list[dict[str, Any]],
) -> None:
    """It is killed again and again, in every stage and in every fold of a teacher, after one saved step and without."""
    plan = [stage(label_smoothing=0.1, **changes) for changes in stages]
    encoders, sentences = (
        any(each.get(f"{kind}_teacher_steps") for each in stages) for kind in ("encoder", "sentence")
    )
    encoder = request.getfixturevalue("encoder") if sentences else None
    run.train(plan, data, tmp_path / "unbroken", sentence_encoder=encoder, show_progress=False)
    out, step = tmp_path / "broken", Loop._step
    kills: Counter[Path] = Counter()

    def dying(self: Loop[Any, Any], indices: Any) -> dict[str, float]:
        deadlines = (3,) if "fold" in self.state.name else (3, 6, 9, 15)
        if kills[self.state] < len(deadlines) and self.progress.step >= deadlines[kills[self.state]]:
            kills[self.state] += 1
            raise Killed
        self.save_every_seconds = 0.0 if self.progress.step % 2 else 1e9
        return step(self, indices)

    monkeypatch.setattr(Loop, "_step", dying)
    for process in itertools.count():
        torch.manual_seed(process)  # each draws its own numbers before
        try:
            run.train(plan, data, out, sentence_encoder=encoder, show_progress=False)
            break
        except Killed:
            pass
    folds = [times for path, times in kills.items() if "fold" in path.name]
    assert folds == [1] * (5 * encoders + 2 * sentences)
    stages_killed = [times for path, times in kills.items() if "fold" not in path.name]
    assert len(stages_killed) == len([each for each in stages if each.get("max_steps") != 2])
    assert min(stages_killed) >= 2
    assert_same_state(state_of(tmp_path / "unbroken"), state_of(out))
    rows = [metrics_of(tmp_path / name) for name in ("unbroken", "broken")]
    assert [{**row, "seconds": 0} for row in rows[0]] == [{**row, "seconds": 0} for row in rows[1]]
    kept = [
        {path.relative_to(folder) for path in folder.rglob("*") if path.suffix in (".safetensors", ".npy")}
        for folder in (tmp_path / "unbroken", out)
    ]
    assert kept[0] == kept[1]
    for path in kept[0]:
        assert (out / path).read_bytes() == (tmp_path / "unbroken" / path).read_bytes()
    assert not list(out.rglob("*.tmp")) and not list(out.rglob("*fold*.pt"))


def test_a_stage_of_the_risk_goes_on_from_before_its_first_step_to_save(
    tmp_path: Path, data: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed after two evaluations and before step 10."""
    plan = [stage(max_steps=2), stage(max_steps=12, eval_every_steps=3, risk_weight=5.0, sentence_teacher_steps=1)]
    run.train(plan, data, tmp_path / "unbroken", sentence_encoder=encoder, show_progress=False)
    step = Loop._step

    def dying(self: Loop[Any, Any], indices: Any) -> dict[str, float]:
        if self.progress.step == 8:
            raise Killed
        return step(self, indices)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Loop, "_step", dying)
        run.train(plan, data, tmp_path / "out", sentence_encoder=encoder, show_progress=False)
    assert [row["step"] for row in metrics_of(tmp_path / "out")] == [3, 6]
    run.train(plan, data, tmp_path / "out", sentence_encoder=encoder, show_progress=False)
    assert_same_state(state_of(tmp_path / "unbroken"), state_of(tmp_path / "out"))


def test_time_to_save_goes_on_over_epochs(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes four seconds, an epoch 48, and a state is saved once in 120; the last step's is written once."""
    saved: list[int] = []
    now = 0.0

    def save(self: Loop[Any, Any]) -> None:
        saved.append(self.progress.step)
        write(self)

    def step(self: Loop[Any, Any], indices: Any) -> dict[str, float]:
        nonlocal now
        now += 4.0
        return work(self, indices)

    write, work = Loop._save, Loop._step
    monkeypatch.setattr(Loop, "_save", save)
    monkeypatch.setattr(Loop, "_step", step)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now))
    run.train([stage(max_epochs=6, eval_every_steps=1000)], data, tmp_path / "out", show_progress=False)
    assert saved == [31, 62, 72]


def test_any_number_of_epochs_is_counted_at_once(tmp_path: Path, data: Path) -> None:
    plan = stage(max_epochs=10**9, max_steps=1, extra_epochs={"situations": 10**9})
    assert run.train([plan], data, tmp_path / "out", show_progress=False).step == 1


def test_extra_pairs_are_in_the_first_epochs_only(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """45 pairs and 15 speaker's turns in one epoch, 45 situations in two: 27, 23 and 12 steps."""
    seen: dict[int, list[int]] = {}
    step = trainer.Trainer._step

    def noting(self: trainer.Trainer, indices: Any) -> dict[str, float]:
        seen.setdefault(self.progress.epoch, []).extend(indices)
        return step(self, indices)

    monkeypatch.setattr(trainer.Trainer, "_step", noting)
    plan = stage(extra_epochs={"speaker_turns": 1, "situations": 2}, eval_every_steps=27)
    progress = run.train([plan], data, tmp_path / "out", show_progress=False)
    assert {epoch: sorted(indices) for epoch, indices in seen.items()} == {
        0: list(range(105)),
        1: list(range(90)),
        2: list(range(45)),
    }
    assert progress.step == 27 + 23 + 12
    assert [(row["step"], row["epoch"], row["n"]) for row in metrics_of(tmp_path / "out")] == [
        (27, 1.0, 9),
        (54, 2.333, 9),
        (62, 3.0, 9),
    ]


def test_words_are_dropped_in_training_alone(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[bool] = []
    evaluated: list[bool] = []
    encode = Mime.encode

    def noting(self: Mime, context_ids: torch.Tensor, state_ids: torch.Tensor) -> Any:
        (dropped if self.training else evaluated).append(bool((context_ids == UNK_ID).any()))
        return encode(self, context_ids, state_ids)

    monkeypatch.setattr(Mime, "encode", noting)
    run.train([stage(word_dropout=0.5, max_steps=7)], data, tmp_path / "out", show_progress=False)
    assert len(dropped) == 7
    assert all(dropped)
    assert evaluated
    assert not any(evaluated)


@pytest.mark.parametrize("model_type", MODEL_CONFIGS)
def test_it_learns_and_keeps_the_best(tmp_path: Path, data: Path, model_type: str) -> None:
    progress = run.train([stage(model_type=model_type, max_epochs=10)], data, tmp_path / "out", show_progress=False)
    rows = metrics_of(tmp_path / "out")
    assert rows[-1]["ppl"] < rows[0]["ppl"] / 2
    assert progress.best_ppl == min(row["ppl"] for row in rows)
    folder = load_model_folder(tmp_path / "out")
    assert folder.tokenizer.vocab_size == folder.model.config.vocab_size
    assert folder.model.config.model_type == model_type


def test_gold_listeners_are_of_training_and_grow_rare(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bool] = []

    def noting(model: Any, *args: Any, **options: Any) -> Any:
        assert model.training
        heard.append(options["gold_listeners"])
        return loss_terms(model, *args, **options)

    monkeypatch.setattr(trainer, "loss_terms", noting)
    plan = stage(model_type="moel", gold_listener_steps=12, max_epochs=5)
    run.train([plan], data, tmp_path / "out", show_progress=False)
    assert not heard[0]
    assert sum(heard[1:11]) >= 5 > sum(heard[-10:])
    assert [gold_listener_chance(plan, step) for step in (1, 2)] == [0.0, 1.0]
    assert gold_listener_chance(plan, 3) == 1e-4 + (1 - 1e-4) * math.exp(-1 / 12)
    assert gold_listener_chance(plan, 10**6) == 1e-4
    assert gold_listener_chance(stage(), 2) == 0.0


@pytest.mark.parametrize("model_type", ["multi-tr", "moel"])
def test_gold_listeners_are_for_training_alone(tmp_path: Path, data: Path, model_type: str) -> None:
    """With a rate near 0 the weights stay, and so must validation; only MoEL's training loss differs."""
    found = []
    for steps in (0, 10**9):
        plan = stage(model_type=model_type, model=SMALL | {"dropout": 0.0}, learning_rate=1e-30, max_steps=3)
        out = tmp_path / str(steps)
        run.train([plan.replace(gold_listener_steps=steps, eval_every_steps=3)], data, out, show_progress=False)
        found.append(metrics_of(out)[-1])
        assert load_model_folder(out).model.config.model_type == model_type
    plain, gold = found
    for name in ("ppl", "ppl_unk_free", "top1", "polarity_accuracy"):
        assert gold[name] == plain[name]
    assert (gold["response"] != plain["response"]) == (model_type == "moel")


def test_patience_ends_a_run(tmp_path: Path, data: Path) -> None:
    plan = stage(max_epochs=100, patience=2, schedule="constant", learning_rate=0.3, max_grad_norm=0.0, ema_decay=0.0)
    progress = run.train([plan], data, tmp_path / "out", show_progress=False)
    assert progress.stopped
    assert progress.bad_evaluations == 2


def test_an_exploding_loss_is_reported(tmp_path: Path, data: Path) -> None:
    plan = stage(schedule="constant", learning_rate=1.0, warmup_steps=1, max_grad_norm=0.0, weight_decay=1e6)
    with pytest.raises(MimeFastError, match=r"step \d+: the loss is"):
        run.train([plan], data, tmp_path / "out", show_progress=False)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_split_without_pairs_is_refused_before_training(tmp_path: Path, data: Path, split: str) -> None:
    write_split(data, split, 0)
    with pytest.raises(DataError, match=f"data: no reply of a listener in the {split} split; must"):
        run.train([stage(max_steps=2)], data, tmp_path / "out", show_progress=False)
    assert not (tmp_path / "out").exists()


def test_a_run_without_a_finite_perplexity_is_reported(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **options: Any) -> Any:
        return dataclasses.replace(evaluate_likelihood(*args, **options), ppl=math.nan)

    monkeypatch.setattr(trainer, "evaluate_likelihood", broken)
    for _ in ("new", "done"):
        with pytest.raises(MimeFastError, match="out: no perplexity was finite, so no model is kept"):
            run.train([stage(max_steps=2)], data, tmp_path / "out", show_progress=False)
