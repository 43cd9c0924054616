"""tools/gpu_check.py: all its stages on the CPU, and what becomes of rows and time where a stage fails or hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mime_fast.engine.load import PRETRAINED
from mime_fast.kernels.select import plain_ops
from tools import gpu_parity, gpu_smoke
from tools.gpu_check import STAGES, Stage, check
from tools.gpu_setting import Setting

ROOT = Path(__file__).resolve().parents[2]
TOOLS = str(ROOT / "tools")


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_the_dry_run(tmp_path: Path) -> None:
    """Every stage runs by itself, in the order of the two calls."""
    if not any(PRETRAINED.glob("*")):
        pytest.skip("no weights ship with this package")
    out = tmp_path / "rows.jsonl"
    for call in ("a", "b"):
        command = [sys.executable, f"{TOOLS}/gpu_check.py", "--dry-run", "--call", call, "--out", str(out)]
        done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert done.stdout.startswith("DRY RUN: nothing ran on a device")
        assert done.stdout.rstrip().endswith("no figure below says anything about a GPU")
    rows = rows_of(out)
    assert all("nothing ran on a device" in row["note"] for row in rows if row["stage"] == "check")
    assert [row["stage"] for row in rows if row.get("status") == "passed"] == [stage.name for stage in STAGES]
    by_stage = {stage.name: [row for row in rows if row["stage"] == stage.name] for stage in STAGES}
    assert {row["task"] for row in by_stage["speed"] if "task" in row} == {"beam 5", "greedy", "score"}
    assert {row["kernel"] for row in by_stage["kernels"][:-1]} >= {"decoder_step", "vocab_topk", "beam_step"}
    assert {row["result"] for row in by_stage["parity"] if row.get("precision") == "float32"} == {"passed"}
    assert {row["a step of"] for row in by_stage["profile"][:-1]} == {1, 3}
    assert (tmp_path / "parity.log").is_file()


def test_rows_go_to_one_file_from_any_folder(tmp_path: Path) -> None:
    command = [sys.executable, f"{TOOLS}/gpu_check.py", "--dry-run", "--stages", "machine", "--out", "there/rows.jsonl"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = rows_of(tmp_path / "there" / "rows.jsonl")
    assert [row["stage"] for row in rows[::2]] == ["check", "machine"] and len(rows) == 3  # the stage's own between


def test_an_unknown_stage_is_refused() -> None:
    command = [sys.executable, f"{TOOLS}/gpu_check.py", "--stages", "machine,brew"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "brew" in done.stderr and "sanitize" in done.stderr


STAND_INS = {
    "good": "write(1)",
    "bad": "write(1); raise RuntimeError(os.environ.get('CUDA_LAUNCH_BLOCKING', 'no blocking'))",
    "slow": "write(1); subprocess.Popen([sys.executable, '-c', grandchild]); time.sleep(60)",
    "late": "write(1)",
}
PROGRAM = """
import json, os, subprocess, sys, time
name, rows, again = sys.argv[1:]
grandchild = f"import time, pathlib; time.sleep(3); pathlib.Path({rows + '.grandchild'!r}).touch()"
def write(value):
    with open(rows, "a") as file:
        print(json.dumps({"stage": name, "value": value, "again": again}), file=file)
"""


def checked(out: Path, budget: float, **limits: tuple[int, int]) -> list[str]:
    """Stand-ins for stages, with their limits and the least time for them."""
    stages = [Stage(name, "a", *limit, "", name == "bad") for name, limit in limits.items()]

    def command(stage: Stage, again: bool) -> list[str]:
        return [sys.executable, "-c", PROGRAM + STAND_INS[stage.name], stage.name, str(out), str(again)]

    return check(stages, command, out, budget)


def test_a_stage_that_fails_runs_once_more_and_the_others_run(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    assert checked(out, 60, bad=(30, 1), good=(30, 1)) == ["bad"]
    first, failed, second, again, good, passed = rows_of(out)
    assert (first["value"], second["value"], good["value"]) == (1, 1, 1)  # written before the failure
    assert (first["again"], second["again"]) == ("False", "True")
    assert failed["status"] == "failed" and "RuntimeError: no blocking" in failed["end of log"]
    assert again["status"] == "failed" and "RuntimeError: 1" in again["end of log"]
    assert "no CUDA graphs" in again["again"]
    assert passed == {"stage": "good", "status": "passed", "seconds": passed["seconds"]}
    assert "RuntimeError: no blocking" in (tmp_path / "bad.log").read_text()


def test_a_stage_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    assert checked(out, 60, slow=(2, 1), good=(30, 1)) == ["slow"]
    first, slow, _, passed = rows_of(out)
    assert first["value"] == 1 and slow["status"] == "took too long" and slow["limit"] == 2
    assert passed["status"] == "passed"
    time.sleep(3)
    assert not Path(f"{out}.grandchild").exists()


def test_what_the_budget_has_no_time_for_is_left_out(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    assert checked(out, 3, slow=(60, 1), late=(30, 2), good=(30, 50)) == ["slow"]
    left_out = [row for row in rows_of(out) if row.get("status") == "left out"]
    assert [row["stage"] for row in left_out] == ["late", "good"]
    assert "it needs 50" in left_out[1]["why"]


def test_a_kernel_that_is_wrong_is_named() -> None:
    ops = plain_ops("for tests")
    for name in gpu_smoke.CASES:

        def wrong(*given: Any, name: str = name) -> Any:
            found = getattr(ops, name)(*given)
            first = found[0] if isinstance(found, tuple) else found
            first.view(-1)[0] += 0.2
            return found

        for op, result in ((getattr(ops, name), "passed"), (wrong, "failed")):
            known = {"dry": True, "device": "cpu", "config": Setting.of(True).config}
            setting: Any = SimpleNamespace(**known, ops=SimpleNamespace(**{name: op}))
            row = gpu_smoke.kernel(setting, name, "bfloat16")
            assert (row["kernel"], row["result"]) == (name, result), row


def reply(tokens: str, log_probs: list[float]) -> Any:
    return SimpleNamespace(tokens=tokens.split(), token_logprobs=log_probs, score=sum(log_probs), finish_reason="eos")


@pytest.mark.parametrize(
    ("search", "found", "gap", "result"),
    [
        ("greedy", reply("a b", [-1.0, -2.0, -1.0]), 0.0, "passed"),
        ("greedy", reply("a b", [-1.0, -2.001, -1.0]), 0.0, "failed"),  # the same words, another log-prob
        ("greedy", reply("a c", [-1.0, -9.0, -9.0]), 0.5, "failed"),  # the CPU gives "c" -2.5
        ("greedy", reply("a d", [-1.0, -9.0, -9.0]), 0.0, "passed"),  # a tie
        ("greedy", reply("a", [-1.0, -9.0]), 1.0, "failed"),  # EOS, which the CPU gives -3
        ("beam 5", reply("x", [-1.5, -2.5]), 0.0, "passed"),  # another reply of the same score
        ("beam 5", reply("x", [-1.5, -2.6]), 0.1, "failed"),
        ("sampling", reply("a c", [-1.0, -9.0, -9.0]), 0.5, "passed"),
        ("sampling", reply("a c", [-1.1, -9.0, -9.0]), 0.5, "failed"),
    ],
)
def test_parity_judges_the_gap_where_replies_part(search: str, found: Any, gap: float, result: str) -> None:
    scores = {"a b": [-1.0, -2.0, -1.0], "a c": [-1.0, -2.5, 0.0], "a d": [-1.0, -2.0, 0.0], "a": [-1.0, -3.0]}

    def score(dialogues: Any, responses: list[list[str]], request_ids: list[int]) -> list[Any]:
        assert request_ids == [1] and dialogues == [["two"]]
        return [SimpleNamespace(token_logprobs=scores[" ".join(tokens)]) for tokens in responses]

    equal = reply("a b", [-1.0, -2.0, -1.0])
    cpu: Any = SimpleNamespace(score=score)
    row = gpu_parity.compare(cpu, [["one"], ["two"]], [equal, found], [equal, equal], search)
    assert row["gap, largest"] == pytest.approx(gap) and row["result"] == result


def test_a_kernel_without_a_gpu_fails_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setattr(gpu_smoke, "NAMES", ("vocab_logits",))
    monkeypatch.setattr(gpu_smoke, "PRECISIONS", ("float32",))
    (row,) = gpu_smoke.all_kernels(Setting.of(False))
    assert row["result"] == "failed" and "CUDA" in row["why"]
