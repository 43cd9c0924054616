"""Peak memory of a process that loads an engine and decodes two batches."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Note
from benchmarks.engines import Contender
from benchmarks.figures import Memory
from benchmarks.race import CLOCK
from benchmarks.subjects import Effort, Subject
from benchmarks.tasks import ROOT

pytestmark = pytest.mark.benchmark(timer=CLOCK.now)


def test_peak_memory(
    benchmark: BenchmarkFixture, note: Note, effort: Effort, random_subject: Subject, contender: Contender
) -> None:
    pytest.importorskip("resource", reason="this system has no resource module")
    benchmark.group = "a process that loads and decodes"
    batch = min(64, effort.batches[-1])
    files = random_subject.files
    wanted = {
        "engine": contender.engine,
        "precision": contender.precision,
        "mime": str(files.mime),
        "ctranslate2": str(files.ctranslate2),
        "vocab_size": files.vocab_size,
        "batch": batch,
        "isa": files.isa,
    }
    start = time.perf_counter()
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.peak_memory", json.dumps(wanted)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    assert child.returncode == 0, child.stderr
    found = json.loads(child.stdout.splitlines()[-1])
    if "unavailable" in found:
        pytest.skip(found["unavailable"])
    note(Memory(contender.engine, contender.precision, batch, found["imported"], found["peak"]), [seconds])
