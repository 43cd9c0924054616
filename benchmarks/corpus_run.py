"""A child process of test_corpora: a job, or only the back end on the same rows; prints what was done when."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal

from benchmarks.peak_memory import peak
from mime_fast import load
from mime_fast.corpora.chunks import CHUNK
from mime_fast.corpora.job import CorpusJob
from mime_fast.corpora.parts import PART_ROWS
from mime_fast.corpora.tasks import Task
from mime_fast.engine.reading import Given, Reading

EVERY = 0.05  # seconds between looks at the finished parts


@dataclass(frozen=True)
class Run:
    """What the child does with the rows of `source`."""

    kind: Literal["score", "generate"]
    model: str | None
    precision: str
    source: str
    output: str | None  # None: only the back end, arrays in and arrays out
    workers: int = 1
    search: dict[str, Any] = field(default_factory=dict)
    part_rows: int = PART_ROWS
    chunks: int = 0  # for only the back end: how many it gets


class PartTimes:
    """What was done when: one event per finished part. The CPU time is only this process's."""

    def __init__(self, folder: Path, part_rows: int) -> None:
        self.events: list[tuple[float, float, int]] = []
        self._folder = folder
        self._part_rows = part_rows
        self._over = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            yield
        finally:
            self._over.set()
            watcher.join()

    def _watch(self) -> None:
        over = False
        while not over:
            over = self._over.wait(EVERY)
            done = sum(1 for _ in self._folder.glob("_part-*[0-9].json"))
            for count in range(len(self.events) + 1, done + 1):
                self.events.append((time.monotonic(), time.process_time(), count * self._part_rows))


def main(run: Run) -> dict[str, object]:
    options = {"precision": run.precision, "threads": 1, "device": "cpu"}
    if run.output is None:
        return {"events": _arrays(run, options)}
    task = Task(run.kind, search=run.search)
    times = PartTimes(Path(run.output), run.part_rows)
    with times.watched():
        summary = CorpusJob(
            task,
            run.source,
            run.output,
            run.model,
            options,
            workers=run.workers,
            part_rows=run.part_rows,
            restart=True,
            quiet=True,
        ).run()
    assert summary.errors == 0, summary
    return {"events": times.events, "peak": peak(), "rate": summary.rows_per_second}


def _arrays(run: Run, options: dict[str, Any]) -> list[tuple[float, float, int]]:
    """An event a chunk that the back end was given, as a job would."""
    engine = load(run.model, **options)
    rows = [json.loads(line) for line in Path(run.source).read_text().splitlines()]
    contexts, responses = ([row[name] for row in rows] for name in ("context", "response"))
    reading = Reading(engine.tokenizer, engine.config.max_positions - 1, True, None)
    windows = list(reading.windows(contexts, Given.with_list(contexts, None, responses=responses), CHUNK))
    targets = [window.targets(engine.tokenizer) for window in windows]
    search = engine.generation_config.replace(**run.search)
    events = [(time.monotonic(), time.process_time(), 0)]
    for window, target in islice(cycle(zip(windows, targets, strict=True)), run.chunks):
        if run.kind == "score":
            engine.backend.score(window.contexts, window.requests, *target)
        else:
            engine.backend.generate(window.contexts, window.requests, search, None)
        events.append((time.monotonic(), time.process_time(), events[-1][2] + len(window.requests.seeds)))
    return events


if __name__ == "__main__":
    print(json.dumps(main(Run(**json.loads(sys.argv[1])))))
