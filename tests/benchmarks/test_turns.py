"""Processes in turn: time that a process did not run does not count."""

from __future__ import annotations

from itertools import pairwise

import pytest

from benchmarks.turns import Ran, in_turn

WORKER = """
import json, time
events = [(time.monotonic(), time.process_time(), 0)]
for rows in range(1, 31):
    until = time.process_time() + 0.02
    while time.process_time() < until:
        pass
    events.append((time.monotonic(), time.process_time(), rows))
print(json.dumps({"events": events}))
"""


def test_only_turns_count() -> None:
    ran = Ran([], turns=[(0.0, 2.0), (10.0, 12.0), (20.0, 21.0)])
    ran.printed = [{"events": [(1.0, 5.0, 100), (11.0, 6.0, 130), (20.5, 6.5, 205)]}]
    assert ran.rates() == {"wall": 105 / 3.5, "cpu": 105 / 1.5}
    assert ran.rates(1) == {"wall": 75 / 1.5, "cpu": 75 / 0.5}
    ran.printed.append({"events": [(0.0, 0.0, 0), (11.0, 1.0, 30)]})
    assert ran.rates() == {"wall": 105 / 3.5 + 30 / 3, "cpu": 105 / 1.5 + 30}


def test_processes_take_turns() -> None:
    found = in_turn({"one": [["-c", WORKER]], "two": [["-c", WORKER]] * 2}, 0.1)
    turns = sorted(turn for ran in found.values() for turn in ran.turns)
    assert all(stop <= start for (_, stop), (start, _) in pairwise(turns))
    assert [len(found[name].printed) for name in ("one", "two")] == [1, 2]
    assert all(len(ran.turns) > 3 for ran in found.values())
    assert found["one"].rates()["cpu"] == pytest.approx(50, rel=0.1)


def test_a_child_that_fails_is_told() -> None:
    with pytest.raises(AssertionError, match="KeyError"):
        in_turn({"one": [["-c", "{}['x']"]]}, 1.0)
