"""What a job reports while it runs: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from mime_fast.corpora import progress
from mime_fast.corpora.chunks import CHUNK
from mime_fast.corpora.progress import ProgressBar
from mime_fast.corpora.summary import Tally
from tests.corpora.conftest import MakeJob
from tests.terminals import Terminal


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
    monkeypatch.setattr("mime_fast.corpora.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    shown = ProgressBar()
    shown.skip(100)
    shown.add(Tally(rows=100), 0)  # 10 s: too early for a line
    shown.add(Tally(rows=300, errors=7, tokens=2_000), 900)
    shown.close()
    expected = "mime-fast: 500 rows, 10 rows/s, 50 tokens/s, 7 errors, 56 % done, about 40 s left\n"
    assert capsys.readouterr().err == expected


def test_a_total_never_shrinks_and_ends_as_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    shown = ProgressBar()
    totals = []
    for estimate in (1_000, 1_400, 900, 0, 1_200):
        shown.add(Tally(rows=100), estimate)
        totals.append(shown._shown.bar.total)
    shown.done()
    assert totals == [1_000, 1_400, 1_400, 1_400, 1_400]
    assert shown._shown.bar.total == shown._shown.bar.n == 500
    shown.close()


def test_the_clock_starts_when_the_engine_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 110.0, 111.0, 120.0])
    monkeypatch.setattr("mime_fast.corpora.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    shown = ProgressBar(quiet=True)
    shown.loaded(10.0)
    shown.loaded(11.0)  # another worker's: the first rows have come before it
    assert (shown.load_seconds, shown.seconds) == (10.0, 1.0)
    shown.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_it_ticks_by_batches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_job: MakeJob, workers: int) -> None:
    ticks: list[int] = []
    add = ProgressBar.add

    def note(self: ProgressBar, tally: Tally, total: int) -> None:
        ticks.append(tally.rows)
        add(self, tally, total)

    monkeypatch.setattr(ProgressBar, "add", note)
    source = tmp_path / "in.jsonl"
    source.write_text('{"context": ["my cat ran away"]}\n' * 2 * CHUNK)
    summary = make_job(source, tmp_path / "out.jsonl", kind="classify", workers=workers, part_rows=2 * CHUNK).run()
    assert ticks == [CHUNK, CHUNK] and summary.rows == 2 * CHUNK
    assert summary.load_seconds > 0


def test_nothing_when_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    shown = ProgressBar(quiet=True)
    shown.add(Tally(rows=5), 10)
    shown.close()
    assert not re.search(r"\S", capsys.readouterr().err)
