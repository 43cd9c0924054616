"""A run that is killed and started again gives the weights of an unbroken one, bit for bit."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from mime_fast.baseline_config import MODEL_CONFIGS
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.engine.model_folder import load_model_folder
from mime_fast.errors import CheckpointError, ConfigError, DataError, MimeFastError
from mime_fast.text.special import UNK_ID
from mime_fast.training import run, trainer
from mime_fast.training.recipe import Recipe, read_recipe
from mime_fast.training.schedule import gold_listener_chance, kl_weight, learning_rate
from mime_fast.training.vectors import read_vectors
from tests.parity import assert_close

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"hidden_size": 8, "attention_depth": 4, "ffn_channels": 3, "dropout": 0.1}


def write_split(folder: Path, split: str, count: int) -> None:
    """A made-up split in the official form: a turn and its reply, in each third dialogue one turn more."""
    labels = ["joyful", "sad", "proud", "afraid"]
    words = ["dog", "cat", "house", "rain", "sun", "river", "bread"]
    lines = ["conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags"]
    for i in range(count):
        said, label = f"my {words[i % 7]} is {words[(i * 3 + 1) % 7]} today", labels[i % 4]
        lines.append(f"made:{split}:{i},1,{label},{said},0,{said} .,,")
        lines.append(f"made:{split}:{i},2,{label},{said},1,oh_comma_ the {words[i % 7]} again !,,")
        if i % 3 == 0:
            lines.append(f"made:{split}:{i},3,{label},{said},0,yes_comma_ the {words[i % 7]} .,,")
    (folder / f"{split}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    write_split(folder, "train", 45)
    write_split(folder, "valid", 9)
    return folder


def recipe(**changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "model": SMALL,
        "batch_size": 4,
        "max_epochs": 3,
        "schedule": "cosine",
        "learning_rate": 0.01,
        "warmup_steps": 5,
        "eval_every_steps": 7,
        "ema_decay": 0.9,
        "patience": 100,
        "max_grad_norm": 1.0,
    }
    return Recipe(**(values | changes))


def state_of(out: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(out / trainer.STATE, weights_only=True)
    return state


def metrics_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / trainer.METRICS).read_text(encoding="utf-8").splitlines()]


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


STARTED = {"start": {"model": SMALL, "batch_size": 4, "max_epochs": 1, "eval_every_steps": 7, "learning_rate": 0.01}}

MOEL = {"model_type": "moel", "gold_listener_steps": 10}


@pytest.mark.parametrize(
    "changes",
    [{"preset": "paper"}, {"preset": "released"}, AUGMENTED, STARTED, {"model_type": "multi-tr"}, MOEL],
    ids=["paper", "released", "augmented", "started", "multi-tr", "moel"],
)
def test_a_killed_run_goes_on_bit_for_bit(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    plan = recipe(label_smoothing=0.1, **changes)
    run.train(plan, data, tmp_path / "unbroken", show_progress=False)
    out = tmp_path / "broken"
    step = trainer.Trainer._step
    for deadline in (3, 9, 11, 24, 30):

        def dying(self: trainer.Trainer, indices: Any, deadline: int = deadline) -> dict[str, float]:
            if self.progress.step == deadline:
                raise Killed
            self.save_every_seconds = 0.0 if deadline % 2 else 1e9
            return step(self, indices)

        monkeypatch.setattr(trainer.Trainer, "_step", dying)
        with pytest.raises(Killed):
            run.train(plan, data, out, show_progress=False)
    monkeypatch.setattr(trainer.Trainer, "_step", step)
    run.train(plan, data, out, show_progress=False)
    assert_same_state(state_of(tmp_path / "unbroken"), state_of(out))
    rows = [metrics_of(tmp_path / name) for name in ("unbroken", "broken")]
    assert [{**row, "seconds": 0} for row in rows[0]] == [{**row, "seconds": 0} for row in rows[1]]
    first, second = (load_model_folder(tmp_path / name).model.state_dict() for name in ("unbroken", "broken"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_extra_pairs_are_in_the_first_epochs_only(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """45 pairs and 15 speaker's turns in one epoch, 45 situations in two: 27, 23 and 12 steps."""
    seen: dict[int, list[int]] = {}
    step = trainer.Trainer._step

    def noting(self: trainer.Trainer, indices: Any) -> dict[str, float]:
        seen.setdefault(self.progress.epoch, []).extend(indices)
        return step(self, indices)

    monkeypatch.setattr(trainer.Trainer, "_step", noting)
    plan = recipe(extra_epochs={"speaker_turns": 1, "situations": 2}, eval_every_steps=27)
    progress = run.train(plan, data, tmp_path / "out", show_progress=False)
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
    dropped, evaluated = [], []
    encode = run.Mime.encode

    def noting(self: run.Mime, context_ids: torch.Tensor, state_ids: torch.Tensor) -> Any:
        (dropped if self.training else evaluated).append((context_ids == UNK_ID).any().item())
        return encode(self, context_ids, state_ids)

    monkeypatch.setattr(run.Mime, "encode", noting)
    run.train(recipe(word_dropout=0.5, max_steps=7), data, tmp_path / "out", show_progress=False)
    assert len(dropped) == 7
    assert all(dropped)
    assert evaluated
    assert not any(evaluated)


@pytest.mark.parametrize("model_type", MODEL_CONFIGS)
def test_it_learns_and_keeps_the_best(tmp_path: Path, data: Path, model_type: str) -> None:
    progress = run.train(recipe(model_type=model_type, max_epochs=10), data, tmp_path / "out", show_progress=False)
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
    terms = trainer.loss_terms

    def noting(model: Any, *args: Any, gold_listeners: bool) -> Any:
        assert model.training
        heard.append(gold_listeners)
        return terms(model, *args, gold_listeners=gold_listeners)

    monkeypatch.setattr(trainer, "loss_terms", noting)
    plan = recipe(model_type="moel", gold_listener_steps=12, max_epochs=5)
    run.train(plan, data, tmp_path / "out", show_progress=False)
    assert not heard[0]
    assert sum(heard[1:11]) >= 5 > sum(heard[-10:])
    assert [gold_listener_chance(plan, step) for step in (1, 2)] == [0.0, 1.0]
    assert gold_listener_chance(plan, 3) == 1e-4 + (1 - 1e-4) * math.exp(-1 / 12)
    assert gold_listener_chance(plan, 10**6) == 1e-4
    assert gold_listener_chance(recipe(), 2) == 0.0


def test_the_tables_have_one_budget() -> None:
    """Recipes of the paper's tables differ in their model alone."""
    own = {"model_type", "model", "kl_warmup_steps", "mixture_weight", "gold_listener_steps"}
    found = {path.stem: read_recipe(path).to_dict() for path in (ROOT / "recipes" / "tables").glob("*.toml")}
    assert found.keys() == {"mime", "no-mimicry", "no-grouping", "multi-tr", "moel"}
    budgets = [{name: value for name, value in each.items() if name not in own} for each in found.values()]
    assert all(budget == budgets[0] for budget in budgets)
    assert len({json.dumps({name: each[name] for name in sorted(own)}) for each in found.values()}) == len(found)


@pytest.mark.parametrize("model_type", ["multi-tr", "moel"])
def test_gold_listeners_are_for_training_alone(tmp_path: Path, data: Path, model_type: str) -> None:
    """With a rate near 0 the weights stay, and so must validation; MoEL's training loss alone differs."""
    found = []
    for steps in (0, 10**9):
        plan = recipe(model_type=model_type, model=SMALL | {"dropout": 0.0}, learning_rate=1e-30, max_steps=3)
        out = tmp_path / str(steps)
        run.train(plan.replace(gold_listener_steps=steps, eval_every_steps=3), data, out, show_progress=False)
        found.append(metrics_of(out)[-1])
        assert load_model_folder(out).model.config.model_type == model_type
    plain, gold = found
    for name in ("ppl", "ppl_unk_free", "top1", "polarity_accuracy"):
        assert gold[name] == plain[name]
    assert (gold["response"] != plain["response"]) == (model_type == "moel")


def test_patience_ends_a_run(tmp_path: Path, data: Path) -> None:
    plan = recipe(max_epochs=100, patience=2, schedule="constant", learning_rate=0.3, max_grad_norm=0.0, ema_decay=0.0)
    progress = run.train(plan, data, tmp_path / "out", show_progress=False)
    assert progress.stopped
    assert progress.bad_evaluations == 2


def test_a_start_is_a_run_of_its_own(tmp_path: Path, data: Path) -> None:
    """With a rate near 0 the weights stay those that the first run kept; only its dropout is another."""
    first = recipe(model=SMALL | {"dropout": 0.0}, seed=5)
    run.train(first, data, tmp_path / "alone", show_progress=False)
    plan = recipe(start=first.to_dict(), learning_rate=1e-30, max_steps=8)
    run.train(plan, data, tmp_path / "out", show_progress=False)
    folders = [load_model_folder(tmp_path / name) for name in ("alone", "out/start", "out")]
    weights = [folder.model.state_dict() for folder in folders]
    for name, kept in weights[0].items():
        assert torch.equal(weights[1][name], kept), name
        assert_close(weights[2][name], kept)
    assert [folder.model.config.dropout for folder in folders] == [0.0, 0.0, 0.1]
    assert metrics_of(tmp_path / "alone") != metrics_of(tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "part"), [({"max_words": 3}, "vocabulary"), ({"model": SMALL | {"ffn_channels": 4}}, "model")]
)
def test_a_start_that_does_not_fit_is_refused(tmp_path: Path, data: Path, changes: dict[str, Any], part: str) -> None:
    plan = recipe(start=recipe(max_steps=1, **changes).to_dict())
    with pytest.raises(ConfigError, match=f"start: its {part} is another one"):
        run.train(plan, data, tmp_path / "out", show_progress=False)


def test_steps_and_seed_bear_on_the_start_too() -> None:
    plan = recipe(start=recipe(start=recipe().to_dict()).to_dict()).replace(max_steps=3, seed=9)
    assert plan.start is not None
    assert plan.start.start is not None
    assert [(each.max_steps, each.seed) for each in (plan, plan.start, plan.start.start)] == [(3, 9)] * 3
    assert Recipe.from_dict(plan.to_dict()) == plan


def test_a_run_from_before_a_key_was_added_goes_on(tmp_path: Path, data: Path) -> None:
    run.train(recipe(max_steps=2), data, tmp_path / "out", show_progress=False)
    state = state_of(tmp_path / "out")
    del state["recipe"]["word_dropout"]
    torch.save(state, tmp_path / "out" / trainer.STATE)
    run.train(recipe(max_steps=2), data, tmp_path / "out", show_progress=False)
    with pytest.raises(CheckpointError, match="another word_dropout"):
        run.train(recipe(max_steps=2, word_dropout=0.1), data, tmp_path / "out", show_progress=False)


def test_another_recipe_in_the_same_folder_is_refused(tmp_path: Path, data: Path) -> None:
    run.train(recipe(max_steps=2), data, tmp_path / "out", show_progress=False)
    with pytest.raises(CheckpointError, match="another seed"):
        run.train(recipe(max_steps=2, seed=7), data, tmp_path / "out", show_progress=False)
    (tmp_path / "out" / trainer.STATE).write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="not a readable training state"):
        run.train(recipe(max_steps=2), data, tmp_path / "out", show_progress=False)


def test_an_exploding_loss_is_reported(tmp_path: Path, data: Path) -> None:
    plan = recipe(schedule="constant", learning_rate=1.0, warmup_steps=1, max_grad_norm=0.0, weight_decay=1e6)
    with pytest.raises(MimeFastError, match=r"step \d+: the loss is"):
        run.train(plan, data, tmp_path / "out", show_progress=False)


def test_vectors_start_the_embedding(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("dog " + " ".join(["0.5"] * 8) + "\nunseen " + " ".join(["1"] * 8) + "\n", encoding="utf-8")
    plan = recipe()
    pair = Pair(context=["my dog"], response="a dog", emotion="sad", situation="dog", conv_id="1")
    tokenizer = run.make_tokenizer(plan, [[pair]])
    model = run.Mime(plan.model_config(tokenizer.vocab_size))
    run.initialise(model, tokenizer, 0, path)
    row = model.word_embedding.weight[tokenizer.ids(["dog"])[0]]
    assert torch.equal(row, torch.full((8,), 0.5))
    assert model.word_embedding.weight[tokenizer.ids(["my"])[0]].abs().max() < 0.1
    assert model.emotion_embedding.weight.abs().max() <= (6 / (32 + 8)) ** 0.5


def test_the_posterior_starts_as_the_prior() -> None:
    plan = recipe()
    tokenizer = run.make_tokenizer(plan, [])
    model = run.Mime(plan.model_config(tokenizer.vocab_size))
    run.initialise(model, tokenizer, 0, None)
    c, observed = torch.randn(3, 8), torch.randn(3, 8)
    prior = model.prior(c)
    posterior = model.posterior(c, {"positive": observed, "negative": observed})
    for group in prior:
        assert_close(posterior[group].mean, prior[group].mean)
        assert_close(posterior[group].log_variance, prior[group].log_variance)


@pytest.mark.parametrize("line", ["dog 1 2 3", "dog 1 2 x 4 5 6 7 8", "dog 1 2 3 4 5 6 7 nan"])
def test_broken_vectors_are_reported_by_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("cat 1 2 3 4 5 6 7 8\n" + line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"vectors\.txt, line 2"):
        read_vectors(path, ["cat", "dog"], 8)


def test_noam_and_kl_warm_up_by_hand() -> None:
    noam = recipe(schedule="noam", warmup_steps=8000)
    assert learning_rate(noam, 8000, 0, 300) == pytest.approx(6.45e-4, rel=1e-3)
    assert learning_rate(noam, 100, 0, 300) == pytest.approx(300**-0.5 * 100 * 8000**-1.5)
    assert learning_rate(noam, 32000, 0, 300) == pytest.approx(300**-0.5 * 32000**-0.5)
    cosine = recipe(warmup_steps=10, learning_rate=0.1)
    assert learning_rate(cosine, 5, 110, 300) == pytest.approx(0.05)
    assert learning_rate(cosine, 60, 110, 300) == pytest.approx(0.1 * (0.05 + 0.95 / 2))
    assert learning_rate(cosine, 110, 110, 300) == pytest.approx(0.005)
    assert [kl_weight(recipe(kl_warmup_steps=4), step) for step in (1, 4, 9)] == [0.25, 1.0, 1.0]
    assert kl_weight(recipe(), 1) == 1.0


def test_shipped_recipes_are_valid() -> None:
    paths = sorted((ROOT / "recipes").glob("*.toml"))
    assert paths
    for path in paths:
        read_recipe(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_size = 0", "batch_size=0"),
        ("learning_rat = 1", "unknown key 'learning_rat'"),
        ("[model]\nhiden_size = 3", "unknown key 'hiden_size'"),
        ("[model]\nnum_heads = 3", "attention_depth=40"),
        ("extra_epochs = {answers = 1}", "extra_epochs of 'answers'"),
        ("max_epochs = 2\nextra_epochs = {situations = 3}", "extra_epochs of 'situations'=3: an integer of 1 to 2"),
        ("[start]\nbatch_size = 0", "start: batch_size=0"),
        ("[start]\nvectors = 'x'", "start: unknown key 'vectors'"),
        ("word_dropout = 1.0", "word_dropout=1.0"),
        ("emotion_smoothing = -0.1", "emotion_smoothing=-0.1"),
        ("bfloat16_projection = 1", "bfloat16_projection=1"),
        ("schedule = 'linear'", "schedule='linear'"),
        ("[generation]\nnum_beams = 0", "num_beams=0"),
    ],
)
def test_bad_recipes_say_what_is_allowed(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_recipe(path)


def test_a_recipe_that_is_not_toml(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("= 3", encoding="utf-8")
    with pytest.raises(DataError, match="not a readable recipe"):
        read_recipe(tmp_path / "recipe.toml")
