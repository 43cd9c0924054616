"""What a job reports while it runs: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re

import pytest

from mime_fast.corpora import progress
from mime_fast.corpora.progress import ProgressBar
from mime_fast.corpora.summary import Tally


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TQDM_MININTERVAL", "0")
    monkeypatch.setenv("COLUMNS", "120")
    shown = ProgressBar()
    shown.skip(500)
    shown.add(Tally(rows=250, errors=2, tokens=3_000), 1_000)
    shown.note("a note")
    shown.close()
    last = terminal.getvalue().replace("\n", "\r").split("\r")
    assert "a note" in last
    assert any("75%" in line and "750/1000" in line and "errors=2" in line and "tokens/s=" in line for line in last)


def test_plain_lines_elsewhere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([100.0, 110.0, 140.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    shown = ProgressBar()
    shown.skip(100)
    shown.add(Tally(rows=100), 0)  # 10 s: too early for a line
    shown.add(Tally(rows=300, errors=7, tokens=2_000), 900)
    shown.close()
    expected = "mime-fast: 500 rows, 10 rows/s, 50 tokens/s, 7 errors, 56 % done, about 40 s left\n"
    assert capsys.readouterr().err == expected


def test_nothing_when_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    shown = ProgressBar(quiet=True)
    shown.add(Tally(rows=5), 10)
    shown.close()
    assert not re.search(r"\S", capsys.readouterr().err)
