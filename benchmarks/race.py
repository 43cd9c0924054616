"""Rounds of several engines in turn, so that what else the machine does hits all of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass
class Rounds:
    """Seconds per round."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    error: str = ""  # why there are no more

    def add(self, run: Callable[[], None]) -> None:
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        self.cpu.append(time.process_time() - cpu)
        self.wall.append(time.perf_counter() - wall)


def race(runs: Mapping[Key, Callable[[], None]], rounds: int, budget: float) -> dict[Key, Rounds]:
    """Run each `rounds` times in turn, but a slow one no further than `budget` seconds.

    One that raises is left there, and the others go on. A slow one stops at the round that would pass the budget; a
    second round is made if the first took no more than twice as long.
    """
    found = {key: Rounds() for key in runs}
    gc.collect()
    gc.freeze()  # or the engines and their libraries would be looked through before every round, and within some
    try:
        _take_turns(runs, found, rounds, budget)
    finally:
        gc.unfreeze()
    return found


def race_all(runs: Mapping[Key, Callable[[], None]], rounds: int, budget: float) -> dict[Key, Rounds]:
    """As `race`, of runs that must all end well.

    Raises:
        RuntimeError: one raised; which, and what.
    """
    found = race(runs, rounds, budget)
    if errors := [f"{key}: {rounds.error}" for key, rounds in found.items() if rounds.error]:
        raise RuntimeError("; ".join(errors))
    return found


def _take_turns(
    runs: Mapping[Key, Callable[[], None]], found: Mapping[Key, Rounds], rounds: int, budget: float
) -> None:
    for turn in range(rounds):
        for key, run in runs.items():
            walls = found[key].wall
            allowed = 4 * budget if turn == 1 else budget
            if turn == 0 or (not found[key].error and len(walls) == turn and sum(walls) * (turn + 1) / turn <= allowed):
                try:
                    found[key].add(run)
                except Exception as error:  # the others go on
                    found[key].error = f"{type(error).__name__}: {error}"


class Clock:
    """A timer for pytest-benchmark that shows times which were measured in a race."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


CLOCK = Clock()
