"""SIGTERM leaves no half-written file, and a job goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mime_fast import files
from mime_fast.cli.termination import Terminated, terminable
from tests.cli.conftest import Run, json_lines

ROW = {"context": ["my cat ran away ."]}


def test_a_file_that_is_written_is_cleared_away(tmp_path: Path) -> None:
    cleared = []
    with pytest.raises(Terminated), terminable(), files.whole_file(tmp_path / "a") as stream:
        try:
            stream.write(b"x")
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # as `timeout` does
            cleared.append(True)
    assert list(tmp_path.iterdir()) == [] and cleared == [True]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_handler_of_somebody_else_stays() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with terminable():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    found: list[object] = []

    def in_a_thread() -> None:
        with terminable():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]


def test_the_exit_code_and_a_job_that_goes_on(run: Run, tmp_path: Path, model_dir: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    options = ["--model", str(model_dir), "--threads", "1", "--part-rows", "1"]
    argv = [sys.executable, "-m", "mime_fast", "classify", "-", str(out), *options]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin
        process.stdin.write(json_lines([ROW] * 600).encode())
        end = time.monotonic() + 60
        while not list(tmp_path.glob("out.jsonl.parts/*.counts.json")) and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    assert not list(tmp_path.rglob("*.tmp")) and not out.exists()
    source.write_text(json_lines([ROW] * 600))
    outcome = run("classify", "-", out, *options, stdin=source.read_text())
    assert outcome.code == 0 and "going on: " in outcome.err
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == list(range(600))
