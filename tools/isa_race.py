"""Replies per core-second of one instruction set beside CTranslate2 held to the same; docs/engine.md has what was seen.

python -m tools.isa_race avx2 CACHE_FOLDER [--tasks beam,greedy,score] [--batches 1,64,256] [--precisions float32,int8]

Beside `avx2` and `avx2_vnni` CTranslate2 and its matrix products are held to AVX2; beside others they choose. Random
weights of the paper's sizes, V = 24,640, 16 tokens forced, one thread. The engines take turns; medians of CPU time.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.engines import OUR_PRECISIONS
from benchmarks.instructions import peer_settings
from benchmarks.race import race_all
from benchmarks.subjects import random_subject
from benchmarks.tasks import TASKS, Work, task_of
from tools.arguments import some_of

ROUNDS, BUDGET = 5, 20.0  # seconds of an engine at one task and batch
REPLIES = {1: 16, 16: 32, 64: 64, 256: 256}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("isa", help="avx2, for example; `mime-fast info` lists them")
    parser.add_argument("cache", type=Path, help="where the models are made, and found the next time")
    for name, known, default in (
        ("tasks", [task.key for task in TASKS if task.model == "random"], "beam,greedy,score"),
        ("batches", list(map(str, REPLIES)), "1,64,256"),
        ("precisions", list(OUR_PRECISIONS), "float32,int8"),
    ):
        about = f"some of {', '.join(known)}, with commas between (default: {default})"
        parser.add_argument(f"--{name}", type=some_of(known), default=default.split(","), help=about)
    given = parser.parse_args()
    os.environ |= peer_settings(given.isa)
    given.cache.mkdir(parents=True, exist_ok=True)
    subject = random_subject(given.cache)
    from benchmarks.engines import MimeRunner, Runner, run
    from benchmarks.peer_ctranslate2 import CTranslate2Runner
    from mime_fast import load

    class Ours(MimeRunner):
        def __init__(self, precision: str, batch: int) -> None:
            self.engine = load(
                subject.files.mime, device="cpu", precision=precision, threads=1, batch_size=batch, isa=given.isa
            )
            self.torch_threads = None

    def once(runner: Runner, task: str, work: Work, batch: int) -> Callable[[], None]:
        def call() -> None:
            for chunk in work.chunks(batch):
                run(runner, task_of(task), chunk)

        return call

    print("task\tbatch\tprecision\tmime_fast\tCTranslate2\tratio", flush=True)
    peers = {
        precision: CTranslate2Runner(subject.files.ctranslate2, precision, 1)
        for precision in given.precisions
        if precision in ("float32", "int8")
    }
    for batch in map(int, given.batches):
        ours = {precision: Ours(precision, batch) for precision in given.precisions}
        work = subject.work.first(REPLIES[batch])
        for task in given.tasks:
            runs = {("ours", name): once(runner, task, work, batch) for name, runner in ours.items()}
            runs |= {("peer", name): once(runner, task, work, batch) for name, runner in peers.items()}
            rates = {key: len(work) / median(rounds.cpu) for key, rounds in race_all(runs, ROUNDS, BUDGET).items()}
            for precision in ours:
                rate, peer = rates["ours", precision], rates.get(("peer", precision))
                beside = f"{peer:.1f}\t{rate / peer:.2f}" if peer else "\t"
                print(f"{task}\t{batch}\t{precision}\t{rate:.1f}\t{beside}", flush=True)


if __name__ == "__main__":
    main()
