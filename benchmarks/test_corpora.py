"""Corpus jobs from file to file: their rate beside the back end's own, several workers, and their memory."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Note
from benchmarks.corpus_run import Run
from benchmarks.figures import CorpusMemory, CorpusRate
from benchmarks.race import CLOCK
from benchmarks.random_mime import TINY_VOCABULARY, make_tiny_mime
from benchmarks.subjects import Effort
from benchmarks.tasks import ROOT, real_dialogues

pytest.importorskip("resource", reason="this system has no resource module")
pytestmark = pytest.mark.benchmark(timer=CLOCK.now)
CASES = [
    ("score", "float32", {}),
    ("score", "int8", {}),
    ("generate", "int8", {}),
    ("generate", "int8", {"num_beams": 1, "do_sample": False}),
]


def child(run: Run) -> dict[str, float]:
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.corpus_run", json.dumps(dataclasses.asdict(run))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    values: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return values


def write_rows(path: Path, count: int, vocabulary: int | None = None) -> Path:
    """Validation pairs over and over, or rows of a tiny vocabulary's words."""
    if vocabulary is None:
        _, contexts, responses = real_dialogues(count)
    else:
        words = [f"w{i}" for i in range(vocabulary)]
        contexts = [[" ".join(words[(7 * i + j) % vocabulary] for j in range(3 + i % 9))] for i in range(997)]
        responses = [" ".join(words[(5 * i + j) % vocabulary] for j in range(1 + i % 7)) for i in range(997)]
    pairs = islice(cycle(zip(contexts, responses, strict=True)), count)
    with path.open("w") as stream:
        for i, (context, response) in enumerate(pairs):
            stream.write(json.dumps({"id": i, "context": context, "response": response}) + "\n")
    return path


def more(long: dict[str, float], short: dict[str, float], name: str) -> float:
    return max(long[name] - short[name], 1e-6)  # a quick run's rows are lost in the noise of loading


@pytest.mark.parametrize(("kind", "precision", "search"), CASES, ids=["score-float32", "score", "generate", "greedy"])
def test_rate(
    benchmark: BenchmarkFixture,
    note: Note,
    effort: Effort,
    tmp_path: Path,
    kind: str,
    precision: str,
    search: dict[str, object],
) -> None:
    """The rows that a longer job answers more, over the seconds it takes more: loading falls out."""
    benchmark.group = "corpora"
    few, many = effort.corpus_rows
    sources = {count: str(write_rows(tmp_path / f"{count}.jsonl", count)) for count in (few, many)}

    def run(count: int, workers: int, output: str | None) -> dict[str, float]:
        return child(Run(kind, None, precision, sources[count], output, workers, search))  # type: ignore[arg-type]

    output = str(tmp_path / "out.jsonl")
    arrays, machine, one, two, cpu = [], [], [], [], []
    workers = 2 if len(os.sched_getaffinity(0)) > 1 else 1
    for _ in range(effort.corpus_rounds):
        alone = run(many, 1, None)
        with ThreadPoolExecutor(workers) as pool:
            together = list(pool.map(lambda _: run(many, 1, None), range(workers)))
        short, long = run(few, 1, output), run(many, 1, output)
        shorter, longer = (run(count, workers, output) for count in (few, many)) if workers > 1 else (short, long)
        arrays.append((alone["seconds"] / many, alone["cpu"] / many))
        machine.append(sum(many / each["seconds"] for each in together))
        one.append(more(long, short, "seconds") / (many - few))
        two.append(more(longer, shorter, "seconds") / (many - few))
        cpu.append(more(long, short, "cpu") / (many - few))
    figure = CorpusRate(
        f"{kind} {'greedy' if search else ''}".strip(),
        precision,
        many,
        workers,
        arrays_wall=1 / median(seconds for seconds, _ in arrays),
        arrays_cpu=1 / median(seconds for _, seconds in arrays),
        job_wall=1 / median(one),
        job_cpu=1 / median(cpu),
        workers_wall=1 / median(two),
        machine_wall=median(machine),
    )
    note(figure, one)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_memory(benchmark: BenchmarkFixture, note: Note, effort: Effort, tmp_path: Path, place: int) -> None:
    benchmark.group = "corpora"
    count = effort.memory_rows[place]
    model = make_tiny_mime(tmp_path / "tiny")
    source = write_rows(tmp_path / "in.jsonl", count, vocabulary=TINY_VOCABULARY)
    found = child(Run("score", str(model), "float32", str(source), str(tmp_path / "out.parquet")))
    rate = count / found["seconds"]
    note(CorpusMemory("score", count, source.stat().st_size / 2**20, found["peak"], rate), [found["seconds"]])
