"""`mime-fast evaluate --models`: several models side by side on made-up dialogues."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

TURNS = ["I lost my dog today.", "Oh no_comma_ did you hear that?", "I am so sorry.", "I am happy to hear it!"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A made-up split of three conversations."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    rows = ["conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags"]
    for talk, emotion in enumerate(("sad", "annoyed", "hopeful")):
        rows += [f"t:{talk},{turn},{emotion},p,{turn % 2},{text},," for turn, text in enumerate(TURNS, start=1)]
    (folder / "valid.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_tables_figures_and_a_picture(run: Run, model_dir: Path, corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    models = (f"MIME={model_dir}", f"w/o STC={model_dir},stochastic=false")
    argv = ("evaluate", "--data", corpus, "--models", *models, "--noise-seeds", 2, "--seed", 4)
    outputs = [("--json", tmp_path / f"{i}.json", "--png", tmp_path / f"{i}.png", "--width", 640) for i in (0, 1)]
    outcome = run(*argv, *outputs[0])
    assert outcome.code == 0, outcome.err
    assert "6 pairs of the valid split: 2 with a positive, 4 with a negative emotion" in outcome.out
    assert "| w/o STC | yes | yes | none: one value |" in outcome.out
    assert outcome.err == f"mime-fast: MIME: {model_dir}\nmime-fast: w/o STC: {model_dir}\n"  # bars are for terminals
    figures = json.loads((tmp_path / "0.json").read_text())
    assert (figures["split"], figures["n"]) == ("valid", 6)
    first, second = figures["models"]
    assert (first["seeds"], second["seeds"]) == ([4, 5], [4])
    assert first["figures"]["all"]["top5"] == second["figures"]["all"]["top5"]
    assert (tmp_path / "0.png").read_bytes()[16:20] == (640).to_bytes(4)
    again = run(*argv, *outputs[1], "--markdown", tmp_path / "tables.md", "--batch-size", 2)
    assert (again.code, again.out) == (0, "")
    assert (tmp_path / "tables.md").read_text().partition("\n<!-- made by ")[0] == outcome.out
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "0.png").read_bytes()


def test_json_to_standard_output(run: Run, model_dir: Path, corpus: Path) -> None:
    argv = ("evaluate", "--data", corpus, "--models", f"a={model_dir}", "--metrics", "diversity", "--limit", 3)
    outcome = run(*argv, "--json", "-")
    figures = json.loads(outcome.out)
    assert figures["n"] == 3
    assert figures["models"][0]["figures"]["all"]["ppl"] is None
    assert figures["models"][0]["figures"]["all"]["distinct_replies"] > 0


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("--model", "m", "--models", "a=mime-ed"), "--model m and --models: must be one of the two, not both"),
        (("--models", "mime-ed"), "'mime-ed': must be NAME=MODEL"),
        (
            ("--models", "a=mime-ed,seed=1"),
            "option 'seed'; must be one of 'device', 'precision', 'threads', 'batch_size', 'backend', 'isa', "
            "'exact_logprobs', 'stochastic'",
        ),
        (("--models", "a=mime-ed,num_beams=1"), "option 'num_beams'"),
        (("--models", "a=no-such-model"), "no model at 'no-such-model'"),
        (("--models", "a=mime-ed", "a=mime-ed"), "'a' given more than once"),
        (("--models", "a=mime-ed", "--metrics", "seed_effect"), "'seed_effect'; must be some of likelihood"),
        (("--models", "a=mime-ed", "--png", "p.jpg"), "p.jpg: suffix '.jpg'"),
        (("--models", "a=mime-ed", "--json", "-", "--markdown", "-"), "one of the two can go to standard output"),
        (("--models", "a=mime-ed", "--noise-seeds", "0"), "--noise-seeds 0"),
        (("--models", "a=mime-ed", "--width", "10"), "--width 10"),
        (("--models", "a=mime-ed", "--width", "800"), "it goes with --png OUT"),
        (("--noise-seeds", "3"), "--noise-seeds goes with --models"),
        (("--markdown", "t.md"), "--markdown goes with --models"),
        (("--png", "t.png"), "--png goes with --models"),
    ],
)
def test_errors_leave_no_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], told: str
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    outcome = run("evaluate", "--data", "no-such-data", *argv)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("mime-fast: error: ") and told in outcome.err
    assert list(tmp_path.iterdir()) == []
