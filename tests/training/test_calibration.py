"""Temperature scaling: the factor is the best one, undoes what was scaled before, and is part of what is saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mime_fast.checkpoints.model_folder import load_model_folder
from mime_fast.data.batches import Example, make_examples
from mime_fast.data.empathetic_dialogues import read_pairs
from mime_fast.errors import ConfigError
from mime_fast.evaluation.metrics.likelihood import evaluate_likelihood
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.training import run
from mime_fast.training.calibration import calibrate
from tests.training.small_run import metrics_of, stage, state_of

SEED = 1234


@pytest.fixture
def trained(tmp_path: Path, data: Path) -> tuple[DialogueModel, list[Example]]:
    run.train([stage()], data, tmp_path / "plain", show_progress=False)
    folder = load_model_folder(tmp_path / "plain")
    scale(folder.model, 3.0)  # so small a model, with so few steps, is sure of too little
    return folder.model, make_examples(read_pairs(data, "valid"), folder.tokenizer)


def scale(model: DialogueModel, factor: float) -> None:
    with torch.no_grad():
        for each in (*model.decoder.norm.parameters(), model.fc_decode.bias):
            each.mul_(factor)


def unk_free_ppl(model: DialogueModel, examples: list[Example]) -> float:
    return evaluate_likelihood(model, examples, seed=SEED).ppl_unk_free


def test_no_other_factor_is_better(trained: tuple[DialogueModel, list[Example]]) -> None:
    model, examples = trained
    before = unk_free_ppl(model, examples)
    factor = calibrate(model, examples, seed=SEED)
    assert 0.5 < factor < 2 and factor != 1
    best = unk_free_ppl(model, examples)
    assert best < before
    for more in (0.98, 1.02):
        scale(model, more)
        assert unk_free_ppl(model, examples) > best
        scale(model, 1 / more)


@pytest.mark.parametrize("sharper", [0.8, 1.25])
def test_it_undoes_a_scale(trained: tuple[DialogueModel, list[Example]], sharper: float) -> None:
    model, examples = trained
    factor = calibrate(model, examples, seed=SEED)
    best = unk_free_ppl(model, examples)
    scale(model, sharper)
    assert calibrate(model, examples, seed=SEED) == pytest.approx(1 / sharper, rel=2e-3)
    assert unk_free_ppl(model, examples) == pytest.approx(best, rel=1e-5)
    scale(model, 1 / factor)
    assert calibrate(model, examples, seed=SEED, batch_size=3) == pytest.approx(factor, rel=2e-3)


def test_the_factor_has_limits(trained: tuple[DialogueModel, list[Example]]) -> None:
    model, examples = trained
    scale(model, 100.0)
    assert calibrate(model, examples, seed=SEED) == 0.5


def test_a_stage_saves_calibrated_weights_and_trains_on_without(tmp_path: Path, data: Path) -> None:
    for name, calibrated in (("plain", False), ("calibrated", True)):
        run.train([stage(calibrate=calibrated)], data, tmp_path / name, show_progress=False)
    plain, ours = (load_model_folder(tmp_path / name) for name in ("plain", "calibrated"))
    states = [state_of(tmp_path / name)["average"] for name in ("plain", "calibrated")]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    examples = make_examples(read_pairs(data, "valid"), ours.tokenizer)
    rows = metrics_of(tmp_path / "calibrated")
    found = evaluate_likelihood(ours.model, examples, seed=SEED).ppl
    assert found == pytest.approx(min(row["ppl"] for row in rows), rel=1e-5)
    assert found < evaluate_likelihood(plain.model, examples, seed=SEED).ppl


def test_a_classifier_alone_has_nothing_to_calibrate() -> None:
    with pytest.raises(ConfigError, match="calibrate=true in a stage that decodes nothing"):
        stage(calibrate=True, beta=0.0, gamma=0.0)
    with pytest.raises(ConfigError, match="calibrate=true in a stage that decodes nothing"):
        stage(model_type="multi-tr", calibrate=True, gamma=0.0, mixture_weight=1.0)  # a term of MIME only
