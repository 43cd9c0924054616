"""A child process of test_corpora: a job, or the back end alone on the same rows; prints seconds and MiB as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.peak_memory import peak


@dataclass(frozen=True)
class Run:
    """What the child does with the rows of `source`."""

    kind: Literal["score", "generate"]
    model: str | None
    precision: str
    source: str
    output: str | None  # None: the back end alone, arrays in and arrays out
    workers: int = 1
    search: dict[str, Any] = field(default_factory=dict)


def main(run: Run) -> dict[str, float]:
    options = {"precision": run.precision, "threads": 1, "device": "cpu"}
    started, used = time.perf_counter(), _cpu()
    if run.output is None:
        seconds, cpu = _arrays(run, options)
        return {"seconds": seconds, "cpu": cpu, "peak": peak()}
    from mime_fast.corpora.job import CorpusJob
    from mime_fast.corpora.tasks import Task

    task = Task(run.kind, search=run.search)
    summary = CorpusJob(
        task, run.source, run.output, run.model, options, workers=run.workers, restart=True, quiet=True
    ).run()
    assert summary.errors == 0, summary
    return {"seconds": time.perf_counter() - started, "cpu": _cpu() - used, "peak": peak()}


def _arrays(run: Run, options: dict[str, Any]) -> tuple[float, float]:
    """Seconds and CPU time of the back end for the chunks that a job would give it."""
    from mime_fast import load
    from mime_fast.corpora.answering import CHUNK
    from mime_fast.engine.reading import Given, Reading

    engine = load(run.model, **options)
    rows = [json.loads(line) for line in Path(run.source).read_text().splitlines()]
    contexts, responses = ([row[name] for row in rows] for name in ("context", "response"))
    reading = Reading(engine.tokenizer, engine.config.max_positions - 1, True, None)
    windows = list(reading.windows(contexts, Given.with_list(contexts, None, responses=responses), CHUNK))
    targets = [window.targets(engine.tokenizer) for window in windows]
    search = engine.generation_config.replace(**run.search)
    started, used = time.perf_counter(), _cpu()
    for window, target in zip(windows, targets, strict=True):
        if run.kind == "score":
            engine.backend.score(window.contexts, window.requests, *target)
        else:
            engine.backend.generate(window.contexts, window.requests, search, None)
    return time.perf_counter() - started, _cpu() - used


def _cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    print(json.dumps(main(Run(**json.loads(sys.argv[1])))))
