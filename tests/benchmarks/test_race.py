"""Rounds in turn, the clock that shows them, and the parity gate."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from types import SimpleNamespace

import pytest

from benchmarks.figures import Agreement
from benchmarks.parity import BOUND, faults
from benchmarks.race import Clock, race, race_all
from benchmarks.tasks import ROOT, TASKS, Work, made_up_dialogues, random_work, real_dialogues


def test_engines_take_turns() -> None:
    turns: list[str] = []
    found = race({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, rounds=3, budget=60.0)
    assert turns == ["a", "b"] * 3
    assert [len(rounds.cpu) for rounds in found.values()] == [3, 3]


@pytest.mark.parametrize(("budget", "rounds"), [(0.005, 1), (0.05, 2), (60.0, 3)])
def test_a_slow_engine_stops_early(monkeypatch: pytest.MonkeyPatch, budget: float, rounds: int) -> None:
    clock = Clock()
    monkeypatch.setattr("benchmarks.race.time", SimpleNamespace(perf_counter=clock.now, process_time=clock.now))
    found = race({"slow": lambda: clock.advance(0.04), "quick": lambda: None}, rounds=3, budget=budget)
    assert found["slow"].wall == pytest.approx([0.04] * rounds)
    assert len(found["quick"].wall) == 3


def test_clock_shows_what_was_measured() -> None:
    clock = Clock()
    start = clock.now()
    clock.advance(0.25)
    assert clock.now() - start == 0.25


HOLDS = Agreement("float32", "torch reference", "random words", 64, 64, 1e-6, 1e-6, 1e-6)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, ""),
        ({"equal": 63}, ""),  # a tie
        ({"equal": 32}, "32 of 64"),
        ({"score_difference": 2 * BOUND}, "scores of replies"),
        ({"token_difference": float("nan")}, "log-probs of tokens"),
    ],
)
def test_parity_gate(changes: dict[str, float], named: str) -> None:
    fault = faults(dataclasses.replace(HOLDS, **changes))  # type: ignore[arg-type]
    assert named in fault and bool(fault) == bool(named)


def test_random_work_is_what_the_report_says() -> None:
    work = random_work([f"w{i}" for i in range(1000)])
    lengths = [len(source) for source in work.sources]
    assert len(work) == 512 and min(lengths) >= 10 and max(lengths) <= 120
    assert abs(sum(lengths) / len(lengths) - 40) < 1
    assert random_work([f"w{i}" for i in range(1000)]) == work


def test_chunks_keep_the_order_and_the_mean_length() -> None:
    work = Work([[[str(i)]] for i in range(5)], [["x"]] * 5, [2, 4, 6, 8, 10])
    parts = work.chunks(2)
    assert [source for part in parts for source in part.sources] == work.sources
    assert [part.steps for part in parts] == [3, 7, 10]


def test_made_up_dialogues() -> None:
    dialogues, responses = made_up_dialogues(300)
    assert len(dialogues) == len(responses) == 300 and {len(turns) for turns in dialogues} == {1, 3}


def test_a_race_of_which_all_are_needed_says_what_failed() -> None:
    with pytest.raises(RuntimeError, match="bad: ZeroDivisionError: "):
        race_all({"bad": lambda: print(1 // 0), "good": lambda: None}, rounds=2, budget=60.0)


def test_small_data_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as were asked for: rates divide by that number."""
    monkeypatch.setenv("MIME_FAST_DATA", str(ROOT / "examples" / "made-up"))
    where, dialogues, responses = real_dialogues(100)
    assert where == "validation contexts" and len(dialogues) == len(responses) == 100
    pairs = list(zip(map(tuple, dialogues), responses, strict=True))
    assert pairs[:20] == list(dict.fromkeys(pairs))[:20] and len(set(pairs)) < 100


def test_tasks_have_one_title_each() -> None:
    assert len({task.key for task in TASKS}) == len({task.title for task in TASKS}) == len(TASKS)


def test_peak_memory_is_this_process_alone() -> None:
    """Not of the one that starts it, which has 300 MiB more."""
    program = """
import subprocess, sys
from benchmarks.peak_memory import peak
ballast = bytearray(b"x") * (300 << 20)
shown = [sys.executable, "-c", "from benchmarks.peak_memory import peak; print(peak())"]
print(subprocess.run(shown, capture_output=True, text=True, check=True).stdout, peak())
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    child, parent = map(float, shown.split())
    assert 10 < child < parent - 250
