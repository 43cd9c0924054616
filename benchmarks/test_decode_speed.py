"""Replies and scored pairs per core-second, beside the peers of the same run; OPS in the table are that rate.

pytest benchmarks/test_decode_speed.py --benchmark-only -k "beam and 64"
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Note
from benchmarks.engines import Contender
from benchmarks.figures import Rate
from benchmarks.machine import load_average
from benchmarks.race import CLOCK, Rounds
from benchmarks.subjects import Effort
from benchmarks.tasks import Task

pytestmark = pytest.mark.benchmark(timer=CLOCK.now)


def test_rate(
    benchmark: BenchmarkFixture,
    note: Note,
    effort: Effort,
    rounds: Rounds,
    task: Task,
    batch: int,
    contender: Contender,
) -> None:
    benchmark.group = f"{task.title}, batch {batch}"
    replies = effort.replies[batch]
    figure = Rate(
        task=task.key,
        engine=contender.engine,
        precision=contender.precision,
        batch=batch,
        replies=replies,
        cpu=tuple(rounds.cpu),
        wall=tuple(rounds.wall),
        load=load_average(),
    )
    note(figure, [seconds / replies for seconds in rounds.cpu])
    assert figure.per_core_second > 0
