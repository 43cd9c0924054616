"""The worked example of docs/corpora.md: its commands, and what it says they print."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mime_fast.cli.main import main

ROOT = Path(__file__).parents[2]


def test_the_worked_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    text = (ROOT / "docs" / "corpora.md").read_text().split("## A worked example")[1].split("\n## ")[0]
    commands, printed = re.findall(r"```\n(.*?)```", text, re.S)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    output = ""
    for command in commands.splitlines():
        program, *arguments = command.split()
        if program == "mime-fast":
            assert main(arguments) == 0
        else:
            environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
            output += subprocess.check_output([sys.executable, *arguments], text=True, env=environment)
    assert output == printed
    assert [line.split("/")[1] for line in output.splitlines()[:2]] == ["off", "off"]
    assert (tmp_path / "emotions.png").read_bytes()[:4] == b"\x89PNG"
