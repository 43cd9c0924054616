"""Processes that run in turn, some seconds each, so that a machine whose speed drifts is the same to all of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from benchmarks.tasks import ROOT


@dataclass(frozen=True)
class Event:
    """That a child has done so many rows; when, and how much CPU time it had used by then."""

    time: float  # time.monotonic
    cpu: float
    rows: int


@dataclass
class Ran:
    """Processes that ran at once, when they did, and what they printed."""

    processes: list[subprocess.Popen[str]]
    turns: list[tuple[float, float]] = field(default_factory=list)
    printed: list[dict[str, object]] = field(default_factory=list)

    @property
    def running(self) -> bool:
        return any(process.poll() is None for process in self.processes)

    def signal(self, number: signal.Signals) -> None:
        """To all processes, and to theirs."""
        for process in self.processes:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)

    def turn(self, seconds: float) -> None:
        self.signal(signal.SIGCONT)
        began = time.monotonic()
        while self.running and time.monotonic() < began + seconds:
            time.sleep(0.01)
        self.signal(signal.SIGSTOP)
        self.turns.append((began, time.monotonic()))

    def rates(self, first: int = 0) -> dict[str, float]:
        """Rows per second, by wall and CPU time, from each child's event `first` to its last; at once: added up."""
        wall = cpu = 0.0
        for printed in self.printed:
            events = [Event(*event) for event in printed["events"]]  # type: ignore[attr-defined]
            begin, end = events[first], events[-1]
            rows = end.rows - begin.rows
            wall += rows / self._seconds(begin.time, end.time)
            cpu += rows / max(end.cpu - begin.cpu, 1e-9)
        return {"wall": wall, "cpu": cpu}

    def _seconds(self, begin: float, end: float) -> float:
        """How long these processes ran between two times."""
        return sum(max(0.0, min(end, stop) - max(begin, start)) for start, stop in self.turns)


def in_turn(arguments: Mapping[str, Sequence[Sequence[str]]], seconds: float) -> dict[str, Ran]:
    """Run Python with each list of arguments, those of one name at once, and the names in turn until all are done."""
    found: dict[str, Ran] = {}
    try:
        for name, each in arguments.items():
            found[name] = Ran([_start(one) for one in each])
            found[name].signal(signal.SIGSTOP)
        while running := [ran for ran in found.values() if ran.running]:
            for ran in running:
                ran.turn(seconds)
        for ran in found.values():
            for process in ran.processes:
                out, errors = process.communicate()
                assert process.returncode == 0, errors
                ran.printed.append(json.loads(out.splitlines()[-1]))
    finally:
        for ran in found.values():
            ran.signal(signal.SIGKILL)
    return found


def _start(arguments: Sequence[str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdout=pipe, stderr=pipe, text=True, process_group=0
    )
