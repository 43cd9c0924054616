"""Milliseconds that one dialogue takes, on one core and on all."""

from __future__ import annotations

import time

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Note
from benchmarks.engines import Contender, Unavailable, load
from benchmarks.figures import Agreement, Latency
from benchmarks.race import CLOCK
from benchmarks.subjects import Effort, Subject
from benchmarks.tasks import task_of
from mime_fast.backends.threads import affinity

BUDGET = 2.5  # seconds
WARM_UP = 3

pytestmark = pytest.mark.benchmark(timer=CLOCK.now)


@pytest.mark.parametrize("threads", sorted({1, affinity()}))
def test_latency(
    benchmark: BenchmarkFixture,
    note: Note,
    effort: Effort,
    random_subject: Subject,
    parity: list[Agreement],
    contender: Contender,
    threads: int,
) -> None:
    benchmark.group = f"latency, {threads} threads"
    task = task_of("beam")
    try:
        runner = load(contender, random_subject.files, 1, threads)
    except Unavailable as error:
        pytest.skip(str(error))
    singles = random_subject.work.first(effort.calls).chunks(1)
    for one in singles[:WARM_UP]:
        runner.decode(task, one)
    seconds: list[float] = []
    for one in singles:
        start = time.perf_counter()
        runner.decode(task, one)
        seconds.append(time.perf_counter() - start)
        if sum(seconds) > BUDGET:
            break
    p50, p99 = (float(value) * 1000 for value in np.percentile(seconds, [50, 99]))
    note(Latency(contender.engine, contender.precision, threads, len(seconds), p50, p99), seconds)
