"""How far a job is: a bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from typing import Any

from mime_fast.corpora.summary import Tally

EVERY = 30.0  # seconds between plain lines


class ProgressBar:
    """Rows, tokens and errors so far; to be closed."""

    def __init__(self, *, quiet: bool = False) -> None:
        from tqdm import tqdm

        self._bar: Any = tqdm(unit=" rows", disable=quiet or None)
        self._plain = bool(self._bar.disable) and not quiet
        self._started = self._told = time.monotonic()
        self._known = self._rows = self._tokens = self._errors = 0

    def skip(self, rows: int) -> None:
        """Rows that an earlier run has done."""
        self._known += rows
        for name in ("n", "initial", "last_print_n"):  # so that they do not count in its rate
            setattr(self._bar, name, getattr(self._bar, name, 0) + rows)

    def add(self, tally: Tally, total: int) -> None:
        """More rows are done, of about `total` in all; 0 where nobody knows."""
        self._rows += tally.rows
        self._tokens += tally.tokens
        self._errors += tally.errors
        done = self._known + self._rows
        if total:
            self._bar.total = max(done, total)
        now = time.monotonic()
        seconds = max(now - self._started, 1e-9)
        if not self._bar.disable:
            self._bar.set_postfix({"tokens/s": int(self._tokens / seconds), "errors": self._errors}, refresh=False)
        self._bar.update(tally.rows)
        if self._plain and now - self._told >= EVERY:
            self._told = now
            self.note("mime-fast: " + self._line(done, seconds, total))

    def note(self, text: str) -> None:
        """A line on standard error."""
        self._bar.write(text, file=sys.stderr)

    def close(self) -> None:
        self._bar.close()

    def _line(self, done: int, seconds: float, total: int) -> str:
        rate = self._rows / seconds
        text = f"{done} rows, {rate:.0f} rows/s, {self._tokens / seconds:.0f} tokens/s, {self._errors} errors"
        if total > done and rate > 0:
            text += f", {100 * done / total:.0f} % done, about {(total - done) / rate:.0f} s left"
        return text
