"""A run goes on with what it was started with, or not at all."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from mime_fast.errors import CheckpointError, ConfigError, OutputError
from mime_fast.training import run, trainer
from mime_fast.training.only_run import LOCK
from mime_fast.training.started import STARTED, TEACHERS, check_started
from tests.training.small_run import SMALL, metrics_of, stage, state_of


def go(data: Path, out: Path, vectors: Path | None = None, **changes: Any) -> None:
    stages = [stage(max_steps=1), stage(max_steps=2, **changes)]
    run.train(stages, data, out, vectors=vectors, show_progress=False)


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    path = tmp_path / "vectors.txt"
    path.write_text("dog " + " ".join(["0.5"] * int(SMALL["hidden_size"])) + "\n")
    return path


def test_another_recipe_is_refused(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "out"
    go(data, out)
    go(data, out)
    with pytest.raises(CheckpointError, match="was started with another seed of stage 2; give the same as then"):
        go(data, out, seed=7)
    with pytest.raises(CheckpointError, match="was started with another seed; give the same as then"):
        run.train([stage(max_steps=1, seed=7), stage(max_steps=2, seed=7)], data, out, show_progress=False)
    with pytest.raises(CheckpointError, match=r"another number of stages \(2\)"):
        run.train([stage(max_steps=1)], data, out, show_progress=False)


def test_the_search_between_two_stages_may_be_another(tmp_path: Path, data: Path) -> None:
    """It trains nothing there; the last stage's is the model's own."""
    out = tmp_path / "out"
    plans = [[stage(max_steps=1, generation={"num_beams": n}), stage(max_steps=2)] for n in (1, 2)]
    for plan in plans:
        run.train(plan, data, out, show_progress=False)
    noted = json.loads((out / STARTED).read_text(encoding="utf-8"))
    assert noted["stages"][0]["generation"] == {"num_beams": 2}
    with pytest.raises(CheckpointError, match="another generation of stage 2; give the same as then"):
        go(data, out, generation={"num_beams": 2})


def test_a_stage_that_has_not_begun_may_be_another(tmp_path: Path, data: Path) -> None:
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    first = stage(max_steps=1)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run, "go_on_from", killed)
        run.train([first, stage(max_steps=2)], data, out, show_progress=False)
    assert (out / "stage-1" / trainer.METRICS).is_file() and not (out / trainer.METRICS).exists()
    with pytest.raises(CheckpointError, match="another seed of stage 1; give the same"):
        run.train([stage(max_steps=1, seed=7), stage(max_steps=2)], data, out, show_progress=False)
    with pytest.raises(CheckpointError, match=r"another number of stages \(2\)"):
        run.train([first], data, out, show_progress=False)
    stages = [first, stage(max_steps=2, word_dropout=0.1), stage(max_steps=1)]
    for folder in (out, fresh):
        run.train(stages, data, folder, show_progress=False)
    for name in ("stage-2/model.safetensors", "model.safetensors", STARTED):
        assert (out / name).read_bytes() == (fresh / name).read_bytes()
    with pytest.raises(CheckpointError, match="another word_dropout of stage 2; give the same"):
        run.train([first, stage(max_steps=2), stage(max_steps=1)], data, out, show_progress=False)


@pytest.mark.parametrize(
    ("split", "changed", "named"),
    [
        ("train", ("today", "now"), "training data, vocabulary"),
        ("train", (",sad,", ",lonely,"), "training data"),
        ("valid", ("today", "now"), "validation data"),
    ],
)
def test_other_data_is_refused(tmp_path: Path, data: Path, split: str, changed: tuple[str, str], named: str) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    go(data, out)
    shutil.copytree(data, other)
    path = other / f"{split}.csv"
    text = path.read_text()
    assert changed[0] in text
    path.write_text(text.replace(*changed))
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    with pytest.raises(CheckpointError, match=f"started with another {named};"):
        go(other, out)
    assert before == {path: path.read_bytes() for path in out.rglob("*.*")}
    shutil.rmtree(other)
    shutil.copytree(data, other)
    go(other, out)  # the same data in another place


def test_until_something_has_begun_inputs_may_be_others(tmp_path: Path, data: Path, vectors: Path) -> None:
    out, fresh = tmp_path / "out", tmp_path / "fresh"

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run, "train_examples", killed)
        go(data, out, vectors)
    assert [path.name for path in out.iterdir()] == [STARTED]
    (out / TEACHERS).mkdir()
    (out / TEACHERS / "linear-1.npy").touch()
    with pytest.raises(CheckpointError, match="another word vectors"):
        go(data, out)
    shutil.rmtree(out / TEACHERS)
    go(data, out)
    go(data, fresh)
    assert (out / STARTED).read_bytes() == (fresh / STARTED).read_bytes()


def test_other_vectors_are_refused(tmp_path: Path, data: Path, vectors: Path) -> None:
    go(data, tmp_path / "out", vectors)
    with pytest.raises(CheckpointError, match="another word vectors"):
        go(data, tmp_path / "out")
    text = vectors.read_text()
    vectors.write_text(text.replace("0.5", "0.25", 1))
    with pytest.raises(CheckpointError, match="another word vectors"):
        go(data, tmp_path / "out", vectors)
    vectors.write_text("unseen 1 2\n" + text)  # no word of the vocabulary
    go(data, tmp_path / "out", vectors)


def test_a_key_that_is_younger_than_the_run_has_its_default(tmp_path: Path, data: Path) -> None:
    go(data, tmp_path / "out")
    path = tmp_path / "out" / STARTED
    noted = json.loads(path.read_text())
    del noted["stages"][1]["word_dropout"]
    path.write_text(json.dumps(noted))
    go(data, tmp_path / "out")
    with pytest.raises(CheckpointError, match="another word_dropout of stage 2"):
        go(data, tmp_path / "out", word_dropout=0.1)


OLDER: dict[str, Any] = {"risk_gain": "bleu", "reply_length": 0.0}  # what mime_fast 0.3.0 notes of every stage


def test_a_run_of_0_3_0_goes_on(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its notes, states and metrics have keys that are no longer there; the weights are those of an unbroken run."""
    plan = [stage(max_steps=1), stage(max_steps=12)]
    run.train(plan, data, tmp_path / "unbroken", show_progress=False)
    out, step = tmp_path / "out", trainer.Trainer._step

    def dying(self: trainer.Trainer, indices: Any) -> dict[str, float]:
        if self.progress.step == 9:
            raise KeyboardInterrupt
        return step(self, indices)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer.Trainer, "_step", dying)
        run.train(plan, data, out, show_progress=False)
    noted = json.loads((out / STARTED).read_text(encoding="utf-8"))
    noted["stages"] = [each | OLDER for each in noted["stages"]]
    (out / STARTED).write_text(json.dumps(noted), encoding="utf-8")
    for folder in (out / "stage-1", out):
        state = state_of(folder)
        state["progress"]["reply_length"] = 0.0
        torch.save(state, folder / trainer.STATE)
        rows = [json.dumps(row | {"reply_length": 0.0}) for row in metrics_of(folder)]
        (folder / trainer.METRICS).write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    assert state_of(out)["progress"]["step"] == 7
    with pytest.raises(CheckpointError, match="was started with another seed of stage 2; give the same as then"):
        run.train([plan[0], plan[1].replace(seed=7)], data, out, show_progress=False)
    run.train(plan, data, out, show_progress=False)
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "unbroken" / "model.safetensors").read_bytes()
    assert ["reply_length" in row for row in metrics_of(out)] == [True, False]


@pytest.mark.parametrize(
    ("noted", "message"),
    [
        (OLDER | {"risk_gain": "answer"}, None),
        ({}, None),
        (
            OLDER,
            r"run\.json: not readable \(stage 2: risk_gain='bleu': was removed with the risk in BLEU after mime_fast 0",
        ),
        ({"reply_length": 14.5}, r"run\.json: not readable \(stage 2: reply_length=14.5: was removed with the risk"),
    ],
)
def test_a_run_with_the_risk_in_bleu_is_refused(tmp_path: Path, noted: dict[str, Any], message: str | None) -> None:
    plan = [stage(), stage(risk_weight=2.0, sentence_teacher_steps=1)]
    stages = [plan[0].to_dict() | OLDER, plan[1].to_dict() | noted]
    text = json.dumps({"stages": stages, "inputs": {}})
    (tmp_path / STARTED).write_text(text, encoding="utf-8")
    if message is None:
        check_started(tmp_path, plan, {})
    else:
        with pytest.raises(CheckpointError, match=message):
            check_started(tmp_path, plan, {})
    assert (tmp_path / STARTED).read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"stages": [{"no such key": 1}], "inputs": {}}'),
        '{"format": "another", "stages": [{}, {}], "inputs": {}}',
    ],
)
def test_a_broken_note_is_refused(tmp_path: Path, data: Path, text: str) -> None:
    go(data, tmp_path / "out")
    (tmp_path / "out" / STARTED).write_text(text)
    with pytest.raises(CheckpointError, match=f"{STARTED}: not readable"):
        go(data, tmp_path / "out")


@pytest.mark.parametrize("lost", ["training_state.pt", "stage-1/training_state.pt", "stage-1"])
def test_what_was_trained_is_not_trained_again_over_it(tmp_path: Path, data: Path, lost: str) -> None:
    """A state is large, and somebody may have deleted it: the run would begin anew, over its model."""
    out = tmp_path / "out"
    go(data, out)
    before = (out / "model.safetensors").read_bytes()
    path = out / lost
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    with pytest.raises(CheckpointError, match=r"has been trained, and no training_state\.pt is left to go on from"):
        go(data, out)
    assert (out / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("evaluations", [1, 2])
def test_a_stage_that_was_killed_before_its_first_state_begins_anew(tmp_path: Path, evaluations: int) -> None:
    """The first evaluation is noted before the state; with two there was one."""
    check_started(tmp_path, [stage()], {})
    row = json.dumps(dict.fromkeys(trainer.KEYS, 0))
    (tmp_path / trainer.METRICS).write_text(f"{row}\n" * evaluations)
    with pytest.raises(CheckpointError, match="has been trained, and no") if evaluations > 1 else nullcontext():
        check_started(tmp_path, [stage()], {})


@pytest.mark.parametrize(("line", "told"), [("{}", "are missing"), ("[1]", "no line of"), ("not JSON", "no line of")])
def test_odd_lines_of_metrics_are_named(tmp_path: Path, data: Path, line: str, told: str) -> None:
    go(data, tmp_path / "out")
    with (tmp_path / "out" / "metrics.jsonl").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(CheckpointError, match=rf"metrics\.jsonl, line 2: .*{told}"):
        go(data, tmp_path / "out")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "metrics.jsonl", "training_state.pt"])
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, data: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("somebody's")
    (out / "log").touch()
    with pytest.raises(CheckpointError, match=f"out: has a {name} but no {STARTED}.*; give another folder"):
        go(data, out)
    assert {path.name: path.read_text() for path in out.iterdir()} == {name: "somebody's", "log": ""}
    (out / name).unlink()
    go(data, out)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: cannot be written"):
        go(data, tmp_path / "file")


def test_a_broken_state_is_refused(tmp_path: Path, data: Path) -> None:
    go(data, tmp_path / "out")
    (tmp_path / "out" / trainer.STATE).write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="not a readable training state"):
        go(data, tmp_path / "out")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "stage-1/tokenizer.json"])
def test_a_run_whose_best_weights_are_gone_is_refused(tmp_path: Path, data: Path, name: str) -> None:
    go(data, tmp_path / "out")
    path = tmp_path / "out" / name
    kept = path.read_bytes()
    path.unlink()
    with pytest.raises(CheckpointError, match=f"missing {path.name}; put the run's files back, or give another folder"):
        go(data, tmp_path / "out")
    path.write_bytes(kept[: len(kept) // 2])
    with pytest.raises(CheckpointError, match=f"{path.name}: .*; put the run's files back"):
        go(data, tmp_path / "out")
    path.write_bytes(kept)
    go(data, tmp_path / "out")


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "generation_config.json", "metrics.jsonl", "stage-1/model.safetensors"]
)
def test_a_file_of_another_is_not_replaced(tmp_path: Path, data: Path, name: str) -> None:
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    with pytest.raises(CheckpointError, match=f"has a {name} but no {STARTED}"):
        go(data, tmp_path / "out")
    assert path.read_bytes() == b"mine" and len([*(tmp_path / "out").rglob("*.*")]) == 1


def test_a_folder_has_one_run_at_a_time(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    refused = []

    def second(*_: Any, **__: Any) -> None:
        with pytest.raises(CheckpointError, match="out: another run is training it; wait for it") as error:
            go(data, out)
        refused.append(error)

    with monkeypatch.context() as patch:
        patch.setattr(run, "write_card", second)
        go(data, out)
    assert refused and not (out / LOCK).exists()
    (out / LOCK).touch()  # as a killed run leaves it
    go(data, out)


@pytest.mark.parametrize("missing", [False, True])
def test_a_run_goes_on_where_there_are_no_locks(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, missing: bool
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    if missing:
        monkeypatch.setitem(sys.modules, "fcntl", None)
    else:
        monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.warns(UserWarning, match="out: cannot be locked .*no other run may train it"):
        go(data, tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").is_file() and not (tmp_path / "out" / LOCK).exists()


def test_the_folder_of_the_data_is_no_output(tmp_path: Path, data: Path) -> None:
    (tmp_path / "link").symlink_to(data)
    before = sorted(data.iterdir())
    with pytest.raises(ConfigError, match="is the folder of the data"):
        go(data, tmp_path / "link")
    assert sorted(data.iterdir()) == before
