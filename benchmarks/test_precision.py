"""What the precisions keep: replies and scores beside the reference's, and of the shipped weights beside float32's."""

from __future__ import annotations

import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Note
from benchmarks.engines import Contender, Unavailable, load
from benchmarks.figures import OURS, Agreement
from benchmarks.parity import agreement
from benchmarks.race import CLOCK
from benchmarks.subjects import BATCH, Effort, Subject
from benchmarks.tasks import task_of

pytestmark = pytest.mark.benchmark(timer=CLOCK.now, group="agreement")


@pytest.mark.parametrize("model", [0, 1], ids=["random", "shipped"])
def test_parity(benchmark: BenchmarkFixture, note: Note, parity: list[Agreement], model: int) -> None:
    if not parity:
        pytest.skip("there is no native back end to compare")
    note(parity[model], [0.0])


@pytest.mark.parametrize("precision", ["screened", "bfloat16", "int8"])
def test_agreement(
    benchmark: BenchmarkFixture,
    note: Note,
    effort: Effort,
    shipped_subject: Subject,
    parity: list[Agreement],
    precision: str,
) -> None:
    task = task_of("shipped-beam")
    work = shipped_subject.work.first(effort.contexts)
    try:
        runners = [load(Contender(OURS, name), shipped_subject.files, BATCH, 1) for name in (precision, "float32")]
    except Unavailable as error:
        pytest.skip(str(error))
    start = time.perf_counter()
    found, expected = ((runner.decode(task, work), runner.score(work)) for runner in runners)
    figure = agreement(precision, "float32", shipped_subject.contexts, found, expected)
    note(figure, [time.perf_counter() - start])
