"""`mime-fast cases`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mime_fast.emotions import LABELS
from tests.cli.conftest import Run, json_lines

FILE = [
    {"id": "cat", "context": ["my cat ran away .", "oh no !", "i am sorry"], "response": "that is sad", "label": "sad"},
    {"id": "test", "context": ["i passed the test !"]},
]


@pytest.fixture
def dialogues(tmp_path: Path) -> Path:
    path = tmp_path / "dialogues.jsonl"
    path.write_text(json_lines(FILE))
    return path


def test_a_file(run: Run, model_dir: Path, dialogues: Path, tmp_path: Path) -> None:
    argv = ("cases", dialogues, "--models", f"MIME={model_dir}", f"w/o STC={model_dir},stochastic=false", "--seed", 3)
    outcome = run(*argv)
    assert outcome.code == 0, outcome.err
    assert "## 1. sad (cat)" in outcome.out and "## 2. test" in outcome.out
    assert outcome.out.count("- **MIME**: ") == outcome.out.count("- **w/o STC**: ") == 2
    assert "- **Gold**: that is sad" in outcome.out
    assert f"mime-fast: w/o STC: {model_dir}" in outcome.err
    generated = run("generate", dialogues, "--model", model_dir, "--seed", 3).lines
    figures, sheet = tmp_path / "cases.json", tmp_path / "cases.md"
    silent = run(*argv, "--json", figures, "--out", sheet)
    assert (silent.code, silent.out) == (0, "")
    assert sheet.read_text().partition("\n<!-- made by ")[0] == outcome.out
    found = json.loads(figures.read_text())
    assert [case["replies"]["MIME"]["text"] for case in found["cases"]] == [row["text"] for row in generated]
    assert found["models"][1] == {"name": "w/o STC", "source": str(model_dir), "options": {"stochastic": False}}
    printed = run(*argv, "--json", "-")
    assert json.loads(printed.out) == found


def test_search_options_are_for_all_models_without_their_own(run: Run, model_dir: Path, dialogues: Path) -> None:
    models = (f"a={model_dir}", f"b={model_dir},max_new_tokens=1", f"c={model_dir},max_new_tokens=2,min_new_tokens=1")
    outcome = run("cases", dialogues, "--models", *models, "--max-new-tokens", 3, "--min-new-tokens", 2, "--json", "-")
    assert outcome.code == 2 and "--min-new-tokens 2" in outcome.err  # b's own length is too short for it
    outcome = run("cases", dialogues, "--models", models[0], models[2], "--max-new-tokens", 2, "--json", "-")
    assert outcome.code == 0, outcome.err
    for case in json.loads(outcome.out)["cases"]:
        assert all(len(reply["text"].split()) <= 2 for reply in case["replies"].values())


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """One made-up conversation of every emotion in valid, two in test."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for split, talks in (("valid", 1), ("test", 2)):
        rows = ["conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags"]
        for label in LABELS:
            for talk in range(talks):
                rows += [
                    f"hit:{label}:{talk},1,{label},p,0,i am {label} .,,",
                    f"hit:{label}:{talk},2,{label},p,1,I see.,,",
                ]
        (folder / f"{split}.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_of_a_split(run: Run, model_dir: Path, corpus: Path) -> None:
    argv = ("cases", "--data", corpus, "--models", f"MIME={model_dir}", "--json", "-")
    every = json.loads(run(*argv).out)["cases"]
    assert len(every) == 32 and len({case["label"] for case in every}) == 32
    two = json.loads(run(*argv, "--split", "test", "--per-emotion", 2).out)["cases"]
    assert len(two) == 64
    chosen = json.loads(run(*argv, "--ids", "hit:sad:0", "hit:proud:0/2").out)["cases"]
    assert [case["id"] for case in chosen] == ["hit:sad:0/2", "hit:proud:0/2"]
    assert json.loads(run(*argv, "--ids", "hit:sad:0", "--ids", "hit:proud:0/2").out)["cases"] == chosen
    assert "'MIME'" in run(*argv, "--models", f"MIME={model_dir}").err  # two systems of one name
    assert next(case for case in every if case["label"] == "sad") == chosen[0]
    assert chosen[0]["gold"] == "I see."


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ((), "give FILE, or --data PATH"),
        (("d.jsonl", "--data", "x"), "give FILE, or --data PATH"),
        (("d.jsonl", "--ids", "a"), "choose from --data PATH"),
        (("d.jsonl", "--split", "test"), "choose from --data PATH"),
        (("--data", "x", "--context-column", "said"), "--context-column is of a FILE"),
        (("--data", "x", "--no-strict-turns"), "--no-strict-turns is of a FILE"),
        (("d.jsonl", "--per-emotion", "2"), "choose from --data PATH"),
        (("--data", "x", "--ids", "a", "--per-emotion", "2"), "must be one of the two, not both"),
        (("--data", "x", "--per-emotion", "0"), "--per-emotion 0"),
        (("d.jsonl", "--top", "20"), "--top 20"),
        (("d.jsonl", "--json", "-", "--out", "-"), "one of the two can go to standard output"),
        (("d.jsonl",), "d.jsonl: cannot be read"),
        (("d.jsonl", "--models", "mime-ed"), "'mime-ed': must be NAME=MODEL"),
        (("d.jsonl", "--models", "a=no-such-model"), "no model at 'no-such-model'"),
        (("d.jsonl", "--models", "a=mime-ed", "a=mime-ed"), "'a' given more than once"),
        (("--data", "no-such-folder"), "no-such-folder"),
    ],
)
def test_errors(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], told: str) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run("cases", *argv)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("mime-fast: error: ") and told in outcome.err
