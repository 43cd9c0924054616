"""Progress bars whose clock moves, in a terminal or a notebook."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from mime_fast.terminal import is_terminal

Value = TypeVar("Value")

TICK = 1.0  # seconds from one look at the clock to the next


class Bar:
    """A bar, to be closed. Between two updates a thread moves its clock.

    Args:
        total: of all steps; None where nobody knows.
        title, unit: what is before and after the figures.
        show: None shows it on a terminal and in a notebook only; True everywhere; False nowhere.
        leave: whether it stays when it is closed.
    """

    def __init__(
        self, total: int | None = None, *, title: str = "", unit: str, show: bool | None = None, leave: bool = True
    ) -> None:
        alive = in_notebook() or is_terminal(sys.stderr)
        hidden = not (alive if show is None else show)
        where = {} if in_notebook() else {"file": _Tolerant(sys.stderr), "dynamic_ncols": True}
        self.bar: Any = _tqdm()(total=total, desc=title or None, unit=unit, disable=hidden, leave=leave, **where)
        self._closed = threading.Event()
        self._clock: threading.Thread | None = None
        if self.shown and alive:
            self._clock = threading.Thread(target=self._tick, name="mime_fast progress", daemon=True)
            self._clock.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def shown(self) -> bool:
        return not self.bar.disable

    def grow(self, total: int) -> None:
        """The total as it is known now; one that is smaller than before changes nothing."""
        if total > (self.bar.total or 0):
            self.bar.total = total

    def skip(self, steps: int) -> None:
        """Steps that were done before; they do not count in the rate."""
        for name in ("n", "initial", "last_print_n"):
            setattr(self.bar, name, getattr(self.bar, name, 0) + steps)

    def restart(self) -> None:
        """The clock starts now."""
        if self.shown:
            self.bar.start_t = self.bar.last_print_t = time.time()

    def finish(self) -> None:
        """All is done: a total that was estimated becomes what was counted."""
        if self.shown and self.bar.total is not None:
            self.bar.total = self.bar.n
            self.bar.refresh()

    def update(self, steps: int = 1, **figures: object) -> None:
        """More steps are done; `figures` are shown after the rate."""
        if figures and self.shown:
            self.bar.set_postfix(figures, refresh=False)
        self.bar.update(steps)

    def note(self, text: str) -> None:
        """A line on standard error, above the bar."""
        note(text)

    def close(self) -> None:
        self._closed.set()
        if self._clock is not None:
            self._clock.join()
            self._clock = None
        self.bar.close()

    def _tick(self) -> None:
        while not self._closed.wait(TICK):
            self.bar.refresh()


def note(text: str) -> None:
    """A line on standard error, above all bars."""
    _tqdm().write(text, file=_Tolerant(sys.stderr))


@dataclass(frozen=True)
class _Tolerant:
    """Standard error, which may be closed or full. An error in it would leave tqdm's lock taken."""

    stream: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError, AttributeError):
            self.stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError, AttributeError):
            self.stream.flush()


def followed(
    values: Collection[Value], *, title: str, unit: str, show: bool | None = None, leave: bool = True
) -> Iterator[Value]:
    """The values, with a bar that counts those that are done with."""
    with Bar(len(values), title=title, unit=unit, show=show, leave=leave) as bar:
        for value in values:
            yield value
            bar.update()


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel."""
    kernel = sys.modules.get("ipykernel.zmqshell")
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return kernel is not None and isinstance(shell, kernel.ZMQInteractiveShell)


def _tqdm() -> Any:
    """The notebook's bar in a notebook; `tqdm.auto` elsewhere would only take longer to import."""
    if in_notebook():
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    return tqdm
