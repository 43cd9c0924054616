"""`mime-fast plot`."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mime_fast.emotions import LABELS
from tests.cli.conftest import Run

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def report(tmp_path: Path) -> Path:
    folder = tmp_path / "reports"
    folder.mkdir()
    size = len(LABELS)
    confusion = [[9 if row == column else 1 for column in range(size)] for row in range(size)]
    path = folder / "figures.json"
    path.write_text(json.dumps({"details": {"labels": LABELS, "confusion": confusion}}))
    return path


def test_embeddings(run: Run, model_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "picture.png"
    outcome = run("plot", "embeddings", "--model", model_dir, "--out", out, "--width", 500)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("tiny: silhouette of the groups ") and len(outcome.out.splitlines()) == 1
    content = out.read_bytes()
    assert content[:8] == PNG
    assert (int.from_bytes(content[16:20]), int.from_bytes(content[20:24])) == (500, 400)
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_with_an_odd_name(run: Run, model_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "picture.svg"
    shutil.copytree(model_dir, folder := tmp_path / "\x1b[31mmodel")
    outcome = run("plot", "embeddings", "--model", folder, "--out", out)
    assert (outcome.code, outcome.err) == (0, "") and outcome.out.startswith("\\x1b[31mmodel: silhouette")
    ElementTree.parse(out)


def test_embeddings_of_several_models(run: Run, model_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "picture.png"
    models = (f"with mimicry={model_dir}", "shipped=mime-ed")
    outcome = run("plot", "embeddings", "--models", *models, "--out", out)
    assert (outcome.code, outcome.err) == (0, "")
    assert [line.split(":")[0] for line in outcome.out.splitlines()] == ["with mimicry", "shipped"]
    content = out.read_bytes()
    assert (int.from_bytes(content[16:20]), int.from_bytes(content[20:24])) == (3200, 1280)
    again = tmp_path / "again.png"
    run("plot", "embeddings", "--models", *models, "--out", again)
    assert again.read_bytes() == content


def test_confusion(run: Run, report: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "picture.svg"
    out.write_text("what was there")
    outcome = run("plot", "confusion", "--report", report, "--out", out, "--force")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert b"<svg" in out.read_bytes()


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("plot",), "KIND"),
        (("plot", "loss"), "'loss'"),
        (("plot", "embeddings"), "--out"),
        (("plot", "confusion", "--out", "p.png"), "--report"),
        (("plot", "embeddings", "--out", "p.jpg"), "p.jpg: suffix '.jpg'; must be one of .png, .svg, .pdf"),
        (("plot", "embeddings", "--out", "p.png", "--width", "0"), "--width 0"),
        (("plot", "confusion", "--report", "no.json", "--out", "p.png"), "no.json: cannot be read"),
        (("plot", "embeddings", "--model", "no-such-model", "--out", "p.png"), "no-such-model"),
        (("plot", "embeddings", "--models", "a=no-such-model", "--out", "p.png"), "no model at 'no-such-model'"),
        (("plot", "embeddings", "--models", "mime-ed", "--out", "p.png"), "'mime-ed': must be NAME=MODEL"),
        (("plot", "embeddings", "--models", "a=mime-ed,seed=1", "--out", "p.png"), "must have no options here"),
        (("plot", "embeddings", "--model", "m", "--models", "a=mime-ed", "--out", "p.png"), "one of the two"),
    ],
)
def test_errors_leave_no_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], told: str
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    outcome = run(*argv)
    assert (outcome.code, outcome.out) == (2, "")
    assert "error: " in outcome.err and told in outcome.err and "Traceback" not in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_failed_plot_keeps_the_old_picture(run: Run, report: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report.write_text("{}")
    out = tmp_path / "picture.png"
    out.write_text("what was there")
    assert run("plot", "confusion", "--report", report, "--out", out).code == 2
    assert out.read_text() == "what was there"


def test_without_matplotlib(run: Run, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    outcome = run("plot", "confusion", "--report", report, "--out", tmp_path / "picture.png")
    assert outcome.code == 2
    assert outcome.err.startswith("mime-fast: error: plots need Matplotlib")
    assert outcome.err.endswith(": pip install 'mime-fast[plots]'\n")
    assert not (tmp_path / "picture.png").exists()
