"""How far a job is: a bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from mime_fast.corpora.summary import Tally
from mime_fast.progress import Bar

Loaded = TypeVar("Loaded")
EVERY = 30.0  # seconds between plain lines


class ProgressBar:
    """Rows, tokens and errors so far, and the seconds that they took; to be closed.

    Attributes:
        load_seconds: what came before the first row; 0 where nobody said so.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._shown = Bar(unit=" rows", show=False if quiet else None)
        self._plain = not self._shown.shown and not quiet
        self._started = self._told = time.monotonic()
        self._known = self._rows = self._tokens = self._errors = 0
        self.load_seconds = 0.0

    @property
    def seconds(self) -> float:
        """Since the first row, or since the engine was loaded."""
        return max(time.monotonic() - self._started, 1e-9)

    def timed(self, load: Callable[[], Loaded]) -> Loaded:
        """What `load` makes, and how long it took."""
        started = time.monotonic()
        made = load()
        self.loaded(time.monotonic() - started)
        return made

    def loaded(self, seconds: float) -> None:
        """An engine is there after so many seconds; the clock of the rows starts with the first one."""
        if not self.load_seconds:
            self.load_seconds = seconds
            self.start()

    def start(self) -> None:
        """The clock of the rows starts now."""
        self._started = time.monotonic()
        self._shown.restart()

    def skip(self, rows: int) -> None:
        """Rows that an earlier run has done."""
        self._known += rows
        self._shown.skip(rows)

    def add(self, tally: Tally, total: int) -> None:
        """More rows are done, of about `total` in all; 0 where nobody knows."""
        self._rows += tally.rows
        self._tokens += tally.tokens
        self._errors += tally.errors
        done = self._known + self._rows
        if total:
            self._shown.grow(max(done, total))
        now = time.monotonic()
        seconds = max(now - self._started, 1e-9)
        figures = {"tokens/s": int(self._tokens / seconds), "errors": self._errors}
        self._shown.update(tally.rows, **figures)
        if self._plain and now - self._told >= EVERY:
            self._told = now
            self.note("mime-fast: " + self._line(done, seconds, total))

    def note(self, text: str) -> None:
        """A line on standard error."""
        self._shown.note(text)

    def done(self) -> None:
        """All rows are: what was estimated is known."""
        self._shown.finish()

    def close(self) -> None:
        self._shown.close()

    def _line(self, done: int, seconds: float, total: int) -> str:
        rate = self._rows / seconds
        text = f"{done} rows, {rate:.0f} rows/s, {self._tokens / seconds:.0f} tokens/s, {self._errors} errors"
        if total > done and rate > 0:
            text += f", {100 * done / total:.0f} % done, about {(total - done) / rate:.0f} s left"
        return text
