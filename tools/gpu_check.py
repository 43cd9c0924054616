"""What only a GPU can show, in stages that a short loan of one has time for; no network is needed.

    python tools/gpu_check.py --call a --budget 300    what decides: do the kernels run, are replies right, how fast
    python tools/gpu_check.py --call b --budget 480    the rest: tests, sanitizer, all figures of speed
    python tools/gpu_check.py --stages smoke           one stage; what is built already is used
    python tools/gpu_check.py --dry-run                every stage with tiny sizes on the CPU; shows nothing about a GPU

It needs PyTorch, Triton, and nvcc unless the extensions are built; pytest and hypothesis for the tests. Every stage is
a process of its own with a limit. Its rows are written as they come, as JSON lines, with a log of each stage beside
them; so figures are there even if something fails. A stage that fails runs once more with CUDA_LAUNCH_BLOCKING=1 and no
CUDA graphs. Stages that the budget has no time for are left out, and named. Ends with 1 if a stage failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "gpu_check" / "rows.jsonl"
NOTHING_RAN = "DRY RUN: nothing ran on a device; no figure below says anything about a GPU"
BLOCKING = {"CUDA_LAUNCH_BLOCKING": "1"}


@dataclass(frozen=True)
class Stage:
    """A process of its own."""

    name: str
    call: str  # which of two calls it belongs to
    limit: int  # seconds
    least: int  # seconds without which it is not begun
    about: str
    again: bool = False  # whether it runs once more, without graphs, where it fails


STAGES = (
    Stage("machine", "a", 30, 5, "versions and the card"),
    Stage("build", "a", 150, 10, "imports the extensions, or builds them in place"),
    Stage("kernels", "a", 120, 20, "every kernel once, at shipped sizes, against its twin; compiled in parallel", True),
    Stage("smoke", "a", 60, 15, "twelve dialogues, and two, without and with CUDA graphs, against the CPU", True),
    Stage("speed", "a", 90, 20, "bfloat16, batches of 1 and 1,024", True),
    Stage("profile", "a", 45, 15, "kernels of a decoding step by their time", True),
    Stage("parity", "a", 120, 25, "replies of the shipped weights, and the gap where they differ from the CPU's", True),
    Stage("tests", "b", 240, 40, "the tests of the back end and of the kernels that use a GPU"),
    Stage("sanitize", "b", 180, 30, "memcheck and synccheck on the beam step and on one eager generate"),
    Stage("more_speed", "b", 240, 30, "other batches and precisions, eager PyTorch beside them", True),
)
Command = Callable[[Stage, bool], list[str]]  # of a stage, and whether it is its second try


def check(stages: Sequence[Stage], command: Command, out: Path, budget: float) -> list[str]:
    """Run the stages within `budget` seconds, append their rows to `out`, and return the names of those that failed."""
    deadline, failed = time.monotonic() + budget, []
    for stage in stages:
        left = deadline - time.monotonic()
        if left < stage.least:
            say(out, stage, {"status": "left out", "why": f"{left:.0f} s are left, and it needs {stage.least}"})
            continue
        passed = run(stage, command(stage, False), out, min(left, stage.limit), {})
        left = deadline - time.monotonic()
        if not passed:
            failed.append(stage.name)
            if stage.again and left >= stage.least:
                run(stage, command(stage, True), out, min(left, stage.limit), BLOCKING)
    return failed


def run(stage: Stage, command: list[str], out: Path, limit: float, more: dict[str, str]) -> bool:
    """One try of a stage; whether it passed."""
    log = out.parent / (f"{stage.name}.log" if not more else f"{stage.name}.again.log")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"} | more
    begun = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(limit)
            status = "passed" if code == 0 else "failed"
        except subprocess.TimeoutExpired:
            code, status = None, "took too long"
        finally:
            kill_group(process)
    row: dict[str, Any] = {"status": status, "seconds": round(time.monotonic() - begun, 1)}
    if more:
        row["again"] = "CUDA_LAUNCH_BLOCKING=1, no CUDA graphs"
    if status != "passed":
        row |= {"code": code, "limit": round(limit), "log": log.name, "end of log": tail(log)}
    say(out, stage, row)
    return status == "passed"


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """What the stage started, too: nothing of it may run beside the next one's timing."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def tail(log: Path) -> str:
    text = log.read_bytes()[-4000:].decode(errors="replace")
    return re.sub(r"\x1b\[[0-9;]*m", "", text)[-2000:]


def say(out: Path, stage: Stage, row: dict[str, Any]) -> None:
    """Write a row about a stage, and print it."""
    write_row(out, {"stage": stage.name, **row})
    print(f"== {stage.name}: " + ", ".join(f"{name} {value}" for name, value in row.items()), flush=True)


def write_row(out: Path, row: dict[str, Any]) -> None:
    """Appended and on disk when this returns."""
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())


def main() -> int:
    listed = "\n".join(f"  {stage.name:<11} {stage.call}  {stage.limit:>3} s  {stage.about}" for stage in STAGES)
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"stages, with call and limit:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--call", choices=("a", "b"), help="the stages of one of two calls (default: all)")
    parser.add_argument("--stages", metavar="A,B", help="these stages")
    parser.add_argument("--budget", type=float, default=480, metavar="SECONDS", help="for all (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, help="rows are appended to it (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes on the CPU")
    args = parser.parse_args()
    out = args.out.resolve()  # the stages run in another folder
    names = args.stages.split(",") if args.stages else [s.name for s in STAGES if args.call in (None, s.call)]
    if unknown := [name for name in names if name not in {stage.name for stage in STAGES}]:
        parser.error(f"--stages {','.join(unknown)}: must be among {', '.join(stage.name for stage in STAGES)}")
    out.parent.mkdir(parents=True, exist_ok=True)
    begun = {"stage": "check", "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "stages": names}
    write_row(out, begun | ({"note": NOTHING_RAN} if args.dry_run else {}))
    if args.dry_run:
        print(NOTHING_RAN)

    def command(stage: Stage, again: bool) -> list[str]:
        flags = ["--dry-run"] * args.dry_run + ["--no-graphs"] * again
        return [sys.executable, str(ROOT / "tools" / "gpu_stage.py"), stage.name, "--rows", str(out), *flags]

    failed = check([stage for stage in STAGES if stage.name in names], command, out, args.budget)
    print(f"rows and logs: {out.parent.name}/" + (f"; FAILED: {', '.join(failed)}" if failed else ""))
    if args.dry_run:
        print(NOTHING_RAN)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
