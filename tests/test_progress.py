"""Bars: where they are shown, and a clock that moves."""

from __future__ import annotations

import io
import re
import time

import pytest

from mime_fast import progress
from mime_fast.progress import Bar, followed
from tests.terminals import Terminal


def test_the_clock_moves_between_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(progress, "TICK", 0.02)
    with Bar(10, title="steps", unit=" steps") as bar:
        bar.bar.start_t -= 65  # it began a minute ago
        deadline = time.monotonic() + 20
        while not (moved := re.search(r"01:(0[5-9]|[1-5]\d)", terminal.getvalue())) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert moved and "steps:" in terminal.getvalue()


def test_where_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal, asked, expected in (
        (True, None, True),
        (False, None, False),
        (False, True, True),
        (True, False, False),
    ):
        monkeypatch.setattr("sys.stderr", Terminal() if terminal else io.StringIO())
        with Bar(3, unit=" rows", show=asked) as bar:
            assert bar.shown is expected
            bar.update(1, loss="1.5")
            bar.note("a line")


def test_values_are_followed_and_a_bar_may_go(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert list(followed([3, 1, 2], title="validation", unit=" batches", leave=False)) == [3, 1, 2]
    assert "validation:   0%" in terminal.getvalue() and re.search(r"\r *\r$", terminal.getvalue())


class Full(Terminal):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("kind", [Full, Terminal, None])
def test_a_full_or_closed_standard_error_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, kind: type[Terminal] | None
) -> None:
    stream = None if kind is None else kind()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(progress, "TICK", 0.01)
    for show in (True, False):
        with Bar(3, unit=" rows", show=show) as bar:
            if kind is Terminal and stream is not None:
                stream.close()
            bar.update(1, loss="1.5")
            bar.note("a line")
            time.sleep(0.05)
            bar.finish()
        assert show is False or bar.bar.n == 1
        if kind is Terminal:
            monkeypatch.setattr("sys.stderr", stream := Terminal())
