"""What a run begins from: another run's weights, word vectors, or what `initialise` draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mime_fast.checkpoints.model_folder import load_model_folder
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.errors import ConfigError, DataError
from mime_fast.reference.mime import Mime
from mime_fast.training import run
from mime_fast.training.recipe import Recipe
from mime_fast.training.start import initialise
from mime_fast.training.vectors import read_vectors
from tests.parity import assert_close
from tests.training.small_run import SMALL, metrics_of, recipe


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
    ("changes", "part"),
    [
        ({"max_words": 3}, "vocabulary"),
        ({"model": SMALL | {"ffn_channels": 4}}, "model"),
        ({"model": SMALL | {"context_layers": 2}}, "model"),
    ],
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
    taught = recipe(emotion_teacher=0.5, encoder_teacher_steps=20)
    assert [taught.replace(max_steps=n).encoder_teacher_steps for n in (0, 3, 50)] == [20, 3, 20]
    assert taught.replace(seed=3, encoder_teacher_steps=7).encoder_teacher_steps == 7


def test_vectors_start_the_embedding(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("dog " + " ".join(["0.5"] * 8) + "\nunseen " + " ".join(["1"] * 8) + "\n", encoding="utf-8")
    plan = recipe()
    pair = Pair(context=["my dog"], response="a dog", emotion="sad", situation="dog", conv_id="1")
    tokenizer = run.make_tokenizer(plan, [[pair]])
    model = Mime(plan.model_config(tokenizer.vocab_size))
    initialise(model, tokenizer, 0, path)
    row = model.word_embedding.weight[tokenizer.ids(["dog"])[0]]
    assert torch.equal(row, torch.full((8,), 0.5))
    assert model.word_embedding.weight[tokenizer.ids(["my"])[0]].abs().max() < 0.1
    assert model.emotion_embedding.weight.abs().max() <= (6 / (32 + 8)) ** 0.5


def test_the_posterior_starts_as_the_prior() -> None:
    plan = recipe()
    tokenizer = run.make_tokenizer(plan, [])
    model = Mime(plan.model_config(tokenizer.vocab_size))
    initialise(model, tokenizer, 0, None)
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
