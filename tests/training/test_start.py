"""What a run begins from: another run's weights, word vectors, or what `initialise` draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mime_fast.checkpoints.model_folder import load_model_folder
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.errors import BackendError, ConfigError
from mime_fast.reference.mime import Mime
from mime_fast.reference.models import new_model
from mime_fast.text.tokenizer import Tokenizer
from mime_fast.training import run
from mime_fast.training.inputs import make_tokenizer
from mime_fast.training.recipe import Stage
from mime_fast.training.start import initialise, new_weights
from mime_fast.training.vectors import read_vectors
from tests.parity import assert_close
from tests.training.small_run import SMALL, metrics_of, stage


def test_a_stage_goes_on_from_the_best_weights_of_the_one_before(tmp_path: Path, data: Path) -> None:
    """With a rate near 0 the weights stay those that the first stage kept; only its dropout is another."""
    first = stage(model=SMALL | {"dropout": 0.0}, seed=5)
    run.train([first], data, tmp_path / "alone", show_progress=False)
    second = stage(learning_rate=1e-30, max_steps=8)
    run.train([first, second], data, tmp_path / "out", show_progress=False)
    folders = [load_model_folder(tmp_path / name) for name in ("alone", "out/stage-1", "out")]
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
        ({"model_type": "moel"}, "model"),
        ({"preset": "released"}, "model"),
    ],
)
def test_a_stage_that_does_not_fit_is_refused_before_any_work(
    tmp_path: Path, data: Path, changes: dict[str, Any], part: str
) -> None:
    with pytest.raises(ConfigError, match=f"stage 2: its {part} is another one"):
        run.train([stage(max_steps=1, **changes), stage()], data, tmp_path / "out", show_progress=False)
    assert not (tmp_path / "out").exists()


def test_max_steps_cuts_the_teacher_too() -> None:
    taught = stage(emotion_teacher=0.5, encoder_teacher_steps=20)
    assert [taught.replace(max_steps=n).encoder_teacher_steps for n in (0, 3, 50)] == [20, 3, 20]
    assert taught.replace(seed=3, encoder_teacher_steps=7).encoder_teacher_steps == 7


def test_untrained_weights_are_a_function_of_the_seed() -> None:
    """Biases, too, whatever was drawn before."""
    tokenizer = make_tokenizer(stage(), [])
    config = stage().model_config(tokenizer.vocab_size)
    made = []
    for before in (1, 2):
        torch.manual_seed(before)
        made.append(new_weights(config, tokenizer, 7, None).state_dict())
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    other = new_weights(config, tokenizer, 8, None).state_dict()
    assert any(name.endswith("bias") and not torch.equal(other[name], made[0][name]) for name in other)


def new_mime(plan: Stage, tokenizer: Tokenizer) -> Mime:
    model = new_model(plan.model_config(tokenizer.vocab_size))
    assert isinstance(model, Mime)
    return model


def test_vectors_start_the_embedding(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("dog " + " ".join(["0.5"] * 8) + "\nunseen " + " ".join(["1"] * 8) + "\n", encoding="utf-8")
    plan = stage()
    pair = Pair(context=["my dog"], response="a dog", emotion="sad", situation="dog", conv_id="1")
    tokenizer = make_tokenizer(plan, [[pair]])
    model = new_mime(plan, tokenizer)
    initialise(model, tokenizer, 0, read_vectors(path, tokenizer.words, 8))
    row = model.word_embedding.weight[tokenizer.ids(["dog"])[0]]
    assert torch.equal(row, torch.full((8,), 0.5))
    assert model.word_embedding.weight[tokenizer.ids(["my"])[0]].abs().max() < 0.1
    assert model.emotion_embedding.weight.abs().max() <= (6 / (32 + 8)) ** 0.5


def test_the_posterior_starts_as_the_prior() -> None:
    plan = stage()
    tokenizer = make_tokenizer(plan, [])
    model = new_mime(plan, tokenizer)
    initialise(model, tokenizer, 0, None)
    c, observed = torch.randn(3, 8), torch.randn(3, 8)
    prior = model.prior(c)
    posterior = model.posterior(c, {"positive": observed, "negative": observed})
    for group in prior:
        assert_close(posterior[group].mean, prior[group].mean)
        assert_close(posterior[group].log_variance, prior[group].log_variance)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", r"device='gpu': must be .* \(did you mean 'cuda'\?\)"),
        (0, "device=0: must be"),
        ("cuda:99", "device='cuda:99'.* cannot run"),
    ],
)
def test_a_device_that_is_not_there_leaves_nothing_behind(
    tmp_path: Path, data: Path, device: Any, message: str
) -> None:
    with pytest.raises((ConfigError, BackendError), match=message):
        run.train([stage(max_steps=1)], data, tmp_path / "out", device=device, show_progress=False)
    assert not (tmp_path / "out").exists()


def test_any_device(tmp_path: Path, data: Path) -> None:
    assert run.train([stage(max_steps=1)], data, tmp_path / "out", device="auto", show_progress=False).step == 1


def test_a_sentence_encoder_that_no_stage_needs(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ConfigError, match=r"sentence_encoder=/nope: no stage of the recipe has .*; leave it out"):
        run.train([stage()], data, tmp_path / "out", sentence_encoder="/nope", show_progress=False)
