"""tools/gpu_check.py goes through all its stages on the CPU, and says that this shows nothing about a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mime_fast.engine.load import PRETRAINED

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("machine", "build", "tests", "sanitize", "parity", "speed", "profile")


def test_the_dry_run(tmp_path: Path) -> None:
    if not any(PRETRAINED.glob("*")):
        pytest.skip("no weights ship with this package")
    out = tmp_path / "report.json"
    command = [sys.executable, str(ROOT / "tools" / "gpu_check.py"), "--dry-run", "--out", str(out)]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.startswith("DRY RUN: nothing ran on a device")
    assert done.stdout.rstrip().endswith("no figure below says anything about a GPU")
    report = json.loads(out.read_text())
    assert report["dry_run"] is True and "nothing ran on a device" in report["note"]
    assert all("failed" not in report[stage] for stage in STAGES)
    assert {row["task"] for row in report["speed"]["figures"]} == {"beam 5", "greedy", "score"}
    assert report["parity"]["replies"] and report["profile"]["a step of 1"]


def test_an_unknown_stage_is_refused() -> None:
    command = [sys.executable, str(ROOT / "tools" / "gpu_check.py"), "--stages", "machine,brew"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "brew" in done.stderr and "sanitize" in done.stderr
