"""Recipes: what is allowed in them, the shipped ones, and the schedules by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mime_fast.errors import ConfigError, DataError
from mime_fast.training.recipe import read_recipe
from mime_fast.training.schedule import kl_weight, learning_rate
from tests.training.small_run import recipe

ROOT = Path(__file__).resolve().parents[2]


def test_the_tables_have_one_budget() -> None:
    """Recipes of the paper's tables differ in their model alone."""
    own = {"model_type", "model", "kl_warmup_steps", "mixture_weight", "gold_listener_steps"}
    found = {path.stem: read_recipe(path).to_dict() for path in (ROOT / "recipes" / "tables").glob("*.toml")}
    assert found.keys() == {"mime", "no-mimicry", "no-grouping", "multi-tr", "moel"}
    budgets = [{name: value for name, value in each.items() if name not in own} for each in found.values()]
    assert all(budget == budgets[0] for budget in budgets)
    assert len({json.dumps({name: each[name] for name in sorted(own)}) for each in found.values()}) == len(found)


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
        ("encoder_rate = 1.5", "encoder_rate=1.5"),
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
