"""The child process of test_peak_memory: loads one engine, decodes, prints MiB as JSON."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from benchmarks.engines import Contender, Files, Unavailable, load
from benchmarks.figures import CTRANSLATE2, HUGGING_FACE
from benchmarks.tasks import random_work, task_of

MODULES = {CTRANSLATE2: "benchmarks.peer_ctranslate2", HUGGING_FACE: "benchmarks.peer_hugging_face"}
STATUS = Path("/proc/self/status")


def peak() -> float:
    """The most that was resident, in MiB. Not ru_maxrss where it can be had: on Linux that begins at the parent's."""
    if STATUS.is_file():
        return (
            int(next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) / 2**10
        )
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main(wanted: dict[str, object]) -> dict[str, object]:
    contender = Contender(str(wanted["engine"]), str(wanted["precision"]))
    paths = Path(str(wanted["mime"])), Path(str(wanted["ctranslate2"]))
    files = Files(*paths, int(str(wanted["vocab_size"])), str(wanted["isa"]))
    batch = int(str(wanted["batch"]))
    task = task_of("beam")
    try:
        importlib.import_module(MODULES.get(contender.engine, "mime_fast.engine.load"))
        imported = peak()
        runner = load(contender, files, batch, 1)
    except (ImportError, Unavailable) as error:
        return {"unavailable": str(error)}
    work = random_work([f"w{i}" for i in range(files.vocab_size - 7)])
    for chunk in work.first(2 * batch).chunks(batch):
        runner.decode(task, chunk)
    return {"imported": imported, "peak": peak()}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
