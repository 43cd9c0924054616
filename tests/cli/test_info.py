"""`mime-fast info`."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest
import torch

from mime_fast._version import __version__
from mime_fast.backends.select import CONTRACTS
from tests.cli.conftest import Run


def test_info_names_versions_implementations_and_the_model(run: Run, model_dir: Path) -> None:
    outcome = run("info", "--model", model_dir, "--device", "cpu", "--threads", 1)
    assert (outcome.code, outcome.err) == (0, "")
    for part in (__version__, platform.python_version(), torch.__version__, str(model_dir), "paper", "cpu (asked for)"):
        assert part in outcome.out
    assert "\n  decode " in outcome.out
    assert "not stated (the folder has no LICENSE)" in outcome.out


def test_info_says_which_back_end_runs_and_why(run: Run, model_dir: Path) -> None:
    out = run("info", "--model", model_dir, "--device", "cpu", "--backend", "reference", "--batch-size", 9).out
    lines = dict(line.split(maxsplit=1) for line in out.splitlines() if len(line.split()) > 1)
    assert lines["backend"] == "reference (asked for)"
    assert lines["precision"].startswith("float32 (the reference's tokens")
    assert out.count("asked for") == 2  # for the device and the back end, not again for every operation
    assert "\nbatch size      9\n" in out
    auto = json.loads(run("info", "--model", model_dir, "--device", "cpu", "--json").out)["model"]
    assert (auto["backend"], auto["backend_reason"]) == ("native", "the fastest that can run here")
    assert auto["contract"] == CONTRACTS["float32"]


def test_info_as_json(run: Run, model_dir: Path) -> None:
    facts = json.loads(run("info", "--model", model_dir, "--json").out)
    assert facts["mime_fast"] == __version__
    assert facts["model"]["preset"] == "paper"
    assert facts["model"]["parameters"] > 0
    assert all({"choice", "reason"} <= found.keys() for found in facts["model"]["implementations"].values())


def test_info_names_the_licence(run: Run, model_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in model_dir.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "LICENSE").write_text("\nOnly for cats\nand dogs\n")
    assert json.loads(run("info", "--model", folder, "--json").out)["model"]["weights_license"] == "Only for cats"
    (folder / "LICENSE").write_bytes(b"\xa9 me\n")
    assert json.loads(run("info", "--model", folder, "--json").out)["model"]["weights_license"] == "\ufffd me"


def test_info_without_weights(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mime_fast.engine.load.PRETRAINED", tmp_path)
    outcome = run("info")
    assert outcome.code == 0
    assert "none: no model at " in outcome.out
    assert torch.__version__ in outcome.out
    assert "no model at " in json.loads(run("info", "--json").out)["model"]["missing"]
