"""Corpus jobs from file to file: their rate beside the back end's own, several workers, and their memory."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import cycle, islice
from pathlib import Path
from typing import Literal

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Note
from benchmarks.corpus_run import Run
from benchmarks.figures import CorpusMemory, CorpusRate
from benchmarks.race import CLOCK
from benchmarks.random_mime import TINY_VOCABULARY, make_tiny_mime
from benchmarks.subjects import Effort
from benchmarks.tasks import real_dialogues
from benchmarks.turns import in_turn
from mime_fast.backends.threads import affinity
from mime_fast.corpora.chunks import CHUNK

pytest.importorskip("resource", reason="this system has no resource module")
pytestmark = pytest.mark.benchmark(timer=CLOCK.now)
CASES = [
    ("score", "float32", {}),
    ("score", "int8", {}),
    ("generate", "int8", {"num_beams": 3, "do_sample": False, "length_penalty": 0.7, "no_repeat_ngram_size": 3}),
    ("generate", "int8", {"num_beams": 1, "do_sample": False}),
]


def command(run: Run) -> list[str]:
    return ["-m", "benchmarks.corpus_run", json.dumps(dataclasses.asdict(run))]


def write_rows(path: Path, count: int, vocabulary: int | None = None) -> Path:
    """A chunk of validation pairs over and over, so that all parts are equal work; or a tiny vocabulary's words."""
    if vocabulary is None:
        _, contexts, responses = real_dialogues(CHUNK)
    else:
        words = [f"w{i}" for i in range(vocabulary)]
        contexts = [[" ".join(words[(7 * i + j) % vocabulary] for j in range(3 + i % 9))] for i in range(997)]
        responses = [" ".join(words[(5 * i + j) % vocabulary] for j in range(1 + i % 7)) for i in range(997)]
    pairs = islice(cycle(zip(contexts, responses, strict=True)), count)
    with path.open("w") as stream:
        for i, (context, response) in enumerate(pairs):
            stream.write(json.dumps({"id": i, "context": context, "response": response}) + "\n")
    return path


@pytest.mark.parametrize(("kind", "precision", "search"), CASES, ids=["score-float32", "score", "generate", "greedy"])
def test_rate(
    benchmark: BenchmarkFixture,
    note: Note,
    effort: Effort,
    tmp_path: Path,
    kind: Literal["score", "generate"],
    precision: str,
    search: dict[str, object],
) -> None:
    """Only the back end, a job, several of the first at once and a job of several workers, in turn."""
    benchmark.group = "corpora"
    part, parts = effort.corpus_part_rows, effort.corpus_parts
    workers = 2 if affinity() > 1 else 1
    source = write_rows(tmp_path / "chunk.jsonl", CHUNK)
    arrays = command(Run(kind, None, precision, str(source), None, search=search, chunks=-(-parts * part // CHUNK)))

    def job(workers: int) -> list[str]:
        count = workers * (1 + parts) * part
        source, output = write_rows(tmp_path / f"{count}.jsonl", count), f"{tmp_path}/out{workers}/"
        return command(Run(kind, None, precision, str(source), output, workers, search, part))

    wanted = {"arrays": [arrays], "job": [job(1)], "machine": [arrays] * workers}
    found = in_turn(wanted | ({"workers": [job(workers)]} if workers > 1 else {}), effort.corpus_turn)
    alone, one = found["arrays"].rates(), found["job"].rates()
    figure = CorpusRate(
        f"{kind} {'greedy' if search.get('num_beams') == 1 else ''}".strip(),
        precision,
        real_dialogues(1)[0],
        parts * part,
        workers,
        arrays_wall=alone["wall"],
        arrays_cpu=alone["cpu"],
        job_wall=one["wall"],
        job_cpu=one["cpu"],
        workers_wall=found["workers"].rates(workers - 1)["wall"] if workers > 1 else one["wall"],
        machine_wall=found["machine"].rates()["wall"],
    )
    note(figure, [1 / one["wall"]])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_memory(benchmark: BenchmarkFixture, note: Note, effort: Effort, tmp_path: Path, place: int) -> None:
    benchmark.group = "corpora"
    count = effort.memory_rows[place]
    model = make_tiny_mime(tmp_path / "tiny")
    source = write_rows(tmp_path / "in.jsonl", count, vocabulary=TINY_VOCABULARY)
    run = Run("score", str(model), "float32", str(source), str(tmp_path / "out.parquet"))
    (found,) = in_turn({"job": [command(run)]}, math.inf)["job"].printed
    peak, rate = float(str(found["peak"])), float(str(found["rate"]))
    note(CorpusMemory("score", count, source.stat().st_size / 2**20, peak, rate), [count / rate])
