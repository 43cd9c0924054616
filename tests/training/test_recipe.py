"""Recipes: what may be in them, the shipped ones, and the schedules by hand."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mime_fast.errors import ConfigError, DataError, InputError
from mime_fast.training.recipe import Stage, read_recipe
from mime_fast.training.run import train
from mime_fast.training.schedule import kl_weight, learning_rate
from tests.training.small_run import SMALL, stage

ROOT = Path(__file__).resolve().parents[2]
IN_BLEU = {"mime-ed-3", "mime-ed-4", "mime-ed-5"}  # only mime_fast 0.3.0 and older ones can read them


def test_the_tables_have_one_budget() -> None:
    """Recipes of the paper's tables differ only in their model."""
    own = {"model_type", "model", "kl_warmup_steps", "mixture_weight", "gold_listener_steps"}
    found = {path.stem: read_recipe(path)[0].to_dict() for path in (ROOT / "recipes" / "tables").glob("*.toml")}
    assert found.keys() == {"mime", "no-mimicry", "no-grouping", "multi-tr", "moel"}
    budgets = [{name: value for name, value in each.items() if name not in own} for each in found.values()]
    assert all(budget == budgets[0] for budget in budgets)
    assert len({json.dumps({name: each[name] for name in sorted(own)}) for each in found.values()}) == len(found)


def test_noam_and_kl_warm_up_by_hand() -> None:
    noam = stage(schedule="noam", warmup_steps=8000)
    assert learning_rate(noam, 8000, 0, 300) == pytest.approx(6.45e-4, rel=1e-3)
    assert learning_rate(noam, 100, 0, 300) == pytest.approx(300**-0.5 * 100 * 8000**-1.5)
    assert learning_rate(noam, 32000, 0, 300) == pytest.approx(300**-0.5 * 32000**-0.5)
    cosine = stage(warmup_steps=10, learning_rate=0.1)
    assert learning_rate(cosine, 5, 110, 300) == pytest.approx(0.05)
    assert learning_rate(cosine, 60, 110, 300) == pytest.approx(0.1 * (0.05 + 0.95 / 2))
    assert learning_rate(cosine, 110, 110, 300) == pytest.approx(0.005)
    assert [kl_weight(stage(kl_warmup_steps=4), step) for step in (1, 4, 9)] == [0.25, 1.0, 1.0]
    assert kl_weight(stage(), 1) == 1.0


def test_shipped_recipes_are_valid() -> None:
    paths = {path.stem: path for path in (ROOT / "recipes").rglob("*.toml")}
    assert paths.keys() > IN_BLEU
    for name in paths.keys() - IN_BLEU:
        read_recipe(paths[name])


@pytest.mark.parametrize("name", sorted(IN_BLEU))
def test_recipes_with_the_risk_in_bleu_say_what_can_read_them(name: str) -> None:
    path = ROOT / "recipes" / "history" / f"{name}.toml"
    with pytest.raises(ConfigError) as error:
        read_recipe(path)
    number = {"mime-ed-3": 3, "mime-ed-4": 4, "mime-ed-5": 4}[name]
    assert str(error.value) == (
        f"{path}, stage {number}: reply_length=14.5: was removed with the risk in BLEU after mime_fast 0.3.0, "
        "which still has both"
    )
    head = path.read_text(encoding="utf-8").partition("\npreset")[0]
    assert "It needs mime_fast 0.3.0" in head


def test_a_recipe_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("seed = 5\n", encoding="utf-8-sig")
    assert [stage.seed for stage in read_recipe(path)] == [5]


def test_a_stage_has_the_shared_keys_and_its_own(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        "batch_size = 3\nseed = 5\n[model]\ndropout = 0.1\n"
        "[[stage]]\nseed = 6\n[[stage]]\nmodel = {dropout = 0.2}\n[stage.generation]\nnum_beams = 2\n"
    )
    shared: dict[str, object] = {"batch_size": 3, "seed": 5, "model": {"dropout": 0.1}}
    own: list[dict[str, object]] = [{"seed": 6}, {"model": {"dropout": 0.2}, "generation": {"num_beams": 2}}]
    assert read_recipe(path) == [Stage.from_dict(shared | each) for each in own]
    path.write_text("batch_size = 3\n")
    assert read_recipe(path) == [Stage(batch_size=3)]


def unrolled(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs of a recipe in the form before there were stages: `start` had the one before."""
    start = recipe.pop("start", None)
    return [*([] if start is None else unrolled(start)), recipe]


@pytest.mark.parametrize("name", ["mime-ed-2", "mime-ed-3", "mime-ed-4"])
def test_recipes_mean_what_they_did_before_there_were_stages(name: str) -> None:
    """All but the search that a model folder between two stages has, which trains nothing."""
    older = Path(__file__).parent / "recipes_before_stages" / f"{name}.toml"
    before = unrolled(tomllib.loads(older.read_text(encoding="utf-8")))
    path = ROOT / "recipes" / "history" / f"{name}.toml"
    shared = tomllib.loads(path.read_text(encoding="utf-8"))
    stages = [shared | table for table in shared.pop("stage")]
    assert stages[-1] == before[-1]
    assert [each | {"generation": {}} for each in stages] == [each | {"generation": {}} for each in before]
    if name not in IN_BLEU:
        assert read_recipe(path) == [Stage.from_dict(each) for each in stages]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_size = 0", "batch_size=0"),
        ("learning_rat = 1", "unknown key 'learning_rat'"),
        ("[model]\nhiden_size = 3", "unknown key 'hiden_size'"),
        ("[model]\nnum_heads = 3", "attention_depth=40"),
        ("extra_epochs = {answers = 1}", "extra_epochs of 'answers'"),
        (
            "max_epochs = 2\nextra_epochs = {situations = 3}",
            "extra_epochs of 'situations'=3: must be an integer of 1 to 2",
        ),
        ("[[stage]]\nbatch_size = 0\n[[stage]]", "recipe.toml, stage 1: batch_size=0"),
        ("[[stage]]\n[[stage]]\nvectors = 'x'", "recipe.toml, stage 2: unknown key 'vectors'"),
        ("[[stage]]\n[[stage]]\nmax_words = 3", "recipe.toml, stage 2: its vocabulary is another one"),
        ("[[stage]]\n[[stage]]\n[stage.model]\nhidden_size = 30", "recipe.toml, stage 2: its model is another one"),
        (
            "[[stage]]\nrisk_weight = 2.0\nsentence_teacher_steps = 1",
            "recipe.toml, stage 1: risk_weight=2.0 needs a stage before",
        ),
        ("risk_weight = 2.0", "risk_weight=2.0 with sentence_teacher_steps=0: it must be above 0"),
        ("[stage]\nbatch_size = 3", r"must be \[\[stage\]\] tables"),
        ("stage = []", r"must be \[\[stage\]\] tables"),
        ("[start]\nbatch_size = 3", r"\[start\] is an older form of recipes"),
        ("word_dropout = 1.0", "word_dropout=1.0"),
        ("encoder_rate = 1.5", "encoder_rate=1.5"),
        ("emotion_smoothing = -0.1", "emotion_smoothing=-0.1"),
        ("bfloat16_projection = 1", "bfloat16_projection=1"),
        ("schedule = 'linear'", "schedule='linear'"),
        ("[generation]\nnum_beams = 0", "num_beams=0"),
        ("[generation]\nmax_new_tokens = 1001", "generation: max_new_tokens=1001: must be at most max_positions=1000"),
        (
            "alpha = 0\nbeta = 0\ngamma = 0",
            "alpha=0, gamma=0, risk_weight=0, beta=0, mixture_weight=0: one of them must",
        ),
        (
            "model_type = 'moel'\nalpha = 0\ngamma = 0\nmixture_weight = 1",
            "alpha=0, gamma=0, risk_weight=0: one of them",
        ),
        (
            "risk_weight = 2.0\nrisk_gain = 'bleu'",
            "recipe.toml: risk_gain='bleu': was removed with the risk in BLEU after mime_fast 0.3.0",
        ),
        ("reply_length = 9", "reply_length=9: was removed with the risk in BLEU after mime_fast 0.3.0"),
        (
            "[[stage]]\n[[stage]]\nrisk_gain = 'answer'",
            "recipe.toml, stage 2: risk_gain='answer': must be left out; the risk of answers is the only one",
        ),
        ("betas = 0.9", "betas=0.9: must be a list of two numbers"),
        ("betas = [0.9]", r"betas=\[0.9\]: must be a list of two numbers"),
        ("betas = [2, 3]", "betas=2: must be"),
        ("betas = ['a', 'b']", "betas='a': must be"),
        ("extra_epochs = 3", "extra_epochs=3: must be a table"),
        ("model = 3", "model=3: must be a table"),
        ("generation = 5", "generation=5: must be a table"),
        ("seed = 99999999999999999999999", "seed=99999999999999999999999: must be an integer of 0 to"),
    ],
)
def test_bad_recipes_say_what_is_allowed(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_recipe(path)


def test_changes_of_a_stage_are_checked() -> None:
    for changes, message in (
        ({"max_steps": "3"}, "max_steps='3': must be an integer of 0 or more"),
        ({"max_step": 1}, "Stage: unknown key 'max_step'; allowed keys: "),
    ):
        with pytest.raises(ConfigError, match=message):
            Stage().replace(**changes)


def test_a_stage_of_numbers_of_other_libraries_is_json() -> None:
    given: dict[str, Any] = {"seed": np.int64(1), "learning_rate": np.float32(0.5), "betas": (np.float32(0.5), 0)}
    given |= {"model": {"dropout": np.float64(0.25)}, "generation": {"suppress_tokens": (np.int64(3),)}}
    found = Stage(**given | {"extra_epochs": {"situations": np.int64(2)}}).to_dict()
    assert Stage.from_dict(json.loads(json.dumps(found))).to_dict() == found
    assert (found["betas"], found["generation"]) == ([0.5, 0.0], {"suppress_tokens": [3]})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"generation": {"suppress_tokens": [10**6]}},
            ConfigError,
            r"generation: suppress_tokens \[1000000\]: must be ids below",
        ),
        (
            {"model": SMALL | {"max_positions": 6}, "generation": {"max_new_tokens": 5}},
            InputError,
            r"train pair 0 \(conversation made:train:0\): the context has 6 words; must be at most 5",
        ),
    ],
)
def test_what_a_model_cannot_be_trained_to_is_refused_before_training(
    tmp_path: Path, data: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    out = tmp_path / "out"
    with pytest.raises(error, match=message):
        train([stage(**changes)], data, out, show_progress=False)
    assert not out.exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stages": Stage()}, r"stages=Stage\(.*: must be a list of Stage, as read_recipe returns it"),
        ({"stages": "recipe.toml"}, "stages='recipe.toml': must be a list of Stage"),
        ({"stages": [{"seed": 1}]}, r"stages=\[{'seed': 1}\]: must be a list of Stage"),
        ({"data": None}, "data=None: must be a path"),
        ({"out": None}, "out=None: must be a path"),
        ({"out": 5}, "out=5: must be a path"),
        ({"out": "a\0b"}, r"out='a\\x00b': must be a path, a str or Path without NUL characters"),
        ({"vectors": [1]}, r"vectors=\[1\]: must be a path"),
        ({"sentence_encoder": b"a"}, "sentence_encoder=b'a': must be a path"),
        ({"ratings": 1}, "ratings=1: must be a path"),
        ({"reading": "csv"}, "reading='csv': must be a Reading, or None"),
    ],
)
def test_arguments_of_other_types_are_refused(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"stages": [stage()], "data": tmp_path, "out": tmp_path / "out"}
    with pytest.raises(ConfigError, match=message):
        train(**(arguments | given))


@pytest.mark.parametrize("path", [5, None, "a\0b"])
def test_a_recipe_is_a_path(path: Any) -> None:
    with pytest.raises(ConfigError, match=r"path=.*: must be a path"):
        read_recipe(path)


def test_a_recipe_that_is_not_toml(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("= 3", encoding="utf-8")
    with pytest.raises(DataError, match="not a readable recipe"):
        read_recipe(tmp_path / "recipe.toml")
