"""train, evaluate and convert, each for real on a few made-up dialogues."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mime_fast.cli.train import MODEL_TYPES
from mime_fast.config.model import MODEL_CONFIGS
from mime_fast.training import run as training
from mime_fast.training.loop import Progress
from mime_fast.training.recipe import Stage
from tests.cli.conftest import SIZES, Run, json_lines

TURNS = ["I lost my key today.", "Oh no_comma_ where was it?", "I left it on the train.", "I hope you get it back!"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three conversations a split, in the official form."""
    folder = tmp_path_factory.mktemp("corpus")
    for split in ("train", "valid", "test"):
        rows = ["conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags"]
        for talk, emotion in enumerate(("sad", "annoyed", "hopeful")):
            rows += [
                f"{split}:{talk},{turn},{emotion},A lost key.,{turn % 2},{text},5|5|5_5|5|5,"
                for turn, text in enumerate(TURNS, start=1)
            ]
        (folder / f"{split}.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    sizes = "".join(f"{name} = {value}\n" for name, value in SIZES.items())
    path.write_text(f"batch_size = 2\nmax_steps = 9\neval_every_steps = 2\nwarmup_steps = 5\n[model]\n{sizes}")
    return path


def test_train_resume_evaluate_generate(run: Run, tmp_path: Path, corpus: Path, recipe: Path) -> None:
    out = tmp_path / "model"
    argv = [
        "train",
        "--recipe",
        recipe,
        "--data",
        corpus,
        "--out",
        out,
        "--device",
        "cpu",
        "--max-steps",
        3,
        "--seed",
        4,
    ]
    outcome = run(*argv)
    assert outcome.code == 0, outcome.err
    assert "all steps done: step 3, best validation PPL " in outcome.err
    assert str(out) in outcome.err
    assert "step 3, " in run(*argv).err
    refused = run(*argv[:-1], 5)
    assert refused.code == 2
    assert "seed" in refused.err.splitlines()[-1]

    figures = tmp_path / "figures.json"
    measured = run(
        "evaluate",
        "--data",
        corpus,
        "--model",
        out,
        "--metrics",
        "likelihood, bleu_greedy",
        "--limit",
        4,
        "--json",
        figures,
    )
    assert measured.code == 0, measured.err
    assert "ppl" in measured.out.lower()
    written = json.loads(figures.read_text())
    assert written["n"] == 4
    assert written["ppl"] > 1 and written["bleu_greedy"] is not None and written["bleu_beam"] is None

    reply = run("generate", "-", "--model", out, stdin=json_lines([{"context": ["I lost my key."]}]))
    assert reply.code == 0


def test_train_takes_its_options(run: Run, tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    def record(stages: object, data: str, out: str, **options: object) -> Progress:
        seen.update(stages=stages, data=data, out=out, **options)
        return Progress(step=3, best_ppl=50.0, stopped=True)

    threads: list[int] = []
    monkeypatch.setattr(training, "train", record)
    monkeypatch.setattr("torch.set_num_threads", threads.append)
    argv = [
        "train",
        "--recipe",
        recipe,
        "--data",
        "d",
        "--out",
        "o",
        "--vectors",
        "v.gz",
        "--device",
        "cpu",
        "--threads",
        2,
        "--model",
        "multi-tr",
    ]
    outcome = run(*argv)
    assert outcome.code == 0
    assert "step 3, best validation PPL 50.00" in outcome.err
    assert threads == [2]
    assert (seen["data"], seen["out"], seen["vectors"], seen["device"]) == ("d", "o", "v.gz", "cpu")
    kind = Stage(
        model_type="multi-tr", batch_size=2, max_steps=9, eval_every_steps=2, warmup_steps=5, model=dict(SIZES)
    )
    assert seen["stages"] == [kind]


@pytest.mark.parametrize(
    ("line", "flags", "told"),
    [
        ("seed = 1.5", (), "recipe.toml: seed=1.5: must be"),
        ('model_type = "foo"', (), "recipe.toml: model_type='foo': must be"),
        ("patience = -1\n[[stage]]\n[[stage]]\nmax_steps = -2", (), "recipe.toml, stage 1: patience=-1: must be"),
        ("foo = 3", (), "allowed keys: model_type, preset, model, generation, "),
        ("", ("--max-steps", -2), "error: --max-steps -2: must be"),
    ],
)
def test_messages_about_a_recipe_name_its_keys(
    run: Run, tmp_path: Path, line: str, flags: tuple[object, ...], told: str
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(line)
    outcome = run("train", "--recipe", path, "--data", "d", "--out", tmp_path / "out", *flags)
    assert outcome.code == 2 and told in outcome.err


def test_another_recipe_is_told_by_its_keys(run: Run, tmp_path: Path, corpus: Path, recipe: Path) -> None:
    argv = ("train", "--recipe", recipe, "--data", corpus, "--out", tmp_path / "out", "--device", "cpu", "-q")
    assert run(*argv).code == 0
    recipe.write_text(recipe.read_text().replace("max_steps = 9", "max_steps = 8"))
    assert "run.json: the run was started with another max_steps; give" in run(*argv).err


def test_the_kinds_of_models_are_all_offered() -> None:
    assert set(MODEL_TYPES) == set(MODEL_CONFIGS)


def test_evaluate_to_standard_output(run: Run, model_dir: Path, corpus: Path) -> None:
    argv = ["evaluate", "--data", corpus, "--model", model_dir, "--metrics", "likelihood", "--json", "-"]
    outcome = run(*argv, "--split", "test", "--polarity", "predicted")
    assert outcome.code == 0
    assert json.loads(outcome.out)["n"] == 6
    assert run(*argv[:-3], "nonsense").code == 2


def test_convert_and_use(run: Run, fixtures_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "converted"
    source = fixtures_dir / "released"
    outcome = run("convert", source / "checkpoint.pt", "--vocab", source / "vocab.json", out)
    assert outcome.code == 0, outcome.err
    assert "vocab_size  600\n" in outcome.out
    rows = json_lines([{"context": ["i am so happy"]}])
    assert len(run("generate", "-", "--model", out, "--search", "mime", stdin=rows).lines) == 1
    again = run("convert", source / "checkpoint.pt", "--vocab", source / "vocab.json", out)
    assert again.code == 2
