"""Everything that only a GPU can show, in one command and under ten minutes, without a network.

    python tools/gpu_check.py                   on a machine with a GPU, nvcc, PyTorch, Triton, pytest and hypothesis
    python tools/gpu_check.py --dry-run         every stage with tiny sizes on the CPU; shows nothing about a GPU

Builds the extensions in place, runs the tests of the device back end and of the kernels on the GPU, the beam step
under compute-sanitizer, the shipped weights against the CPU, and the benchmark; prints tables and writes one JSON file.
`--stages` chooses among them; one that fails does not keep the others from running, but the command ends with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
NOTHING_RAN = "DRY RUN: nothing ran on a device; no figure below says anything about a GPU"
LIMITS = {"build": 150, "tests": 200, "sanitize": 40}  # seconds


def machine(dry: bool) -> dict[str, Any]:
    """Versions and the card."""
    import torch

    from mime_fast.kernels.select import why_no_device_ops

    packages = {}
    for name in ("torch", "triton", "numpy", "pybind11"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "missing"
    found: dict[str, Any] = {"python": platform.python_version(), **packages, "cuda of torch": torch.version.cuda}
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    found["card"] = "none (dry run)" if dry else _output(query)
    found["nvcc"] = _output([_nvcc(), "--version"]).splitlines()[-1] if _nvcc() else "missing"
    found["kernels"] = why_no_device_ops() or "installed"
    return found


def build(dry: bool) -> dict[str, Any]:
    """Both extensions, in place. Not in a dry run, which takes those that are there."""
    if not dry:
        _run([sys.executable, "setup.py", "build_ext", "--inplace"], LIMITS["build"])
    probe = "from mime_fast import _cuda, _native; print(_cuda.architectures)"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)
    if not dry and done.returncode:
        raise RuntimeError(done.stderr.strip()[-500:])
    return {"extensions": done.stdout.strip() or done.stderr.strip().splitlines()[-1]}


def tests(dry: bool) -> dict[str, Any]:
    """tests/cuda and tests/kernels, which run on the GPU where there is one."""
    chosen = (
        ["tests/cuda/test_cuda_loop.py", "-k", "captured_after or guard"] if dry else ["tests/cuda", "tests/kernels"]
    )
    workers = [] if dry or not _has("xdist") else ["-n", "4"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *workers, *chosen]
    output = _run(command, LIMITS["tests"])
    return {"summary": output.strip().splitlines()[-1]}


def sanitize(dry: bool) -> dict[str, Any]:
    """The .cu kernels under compute-sanitizer's four tools; what they compute is compared, too."""
    program = [sys.executable, str(ROOT / "tools" / "gpu_beam_steps.py"), *(["--cpu"] if dry else [])]
    if dry:
        return {"without a sanitizer": _run(program, LIMITS["sanitize"]).strip().splitlines()[-1]}
    sanitizer = shutil.which("compute-sanitizer") or str(Path(_nvcc()).parent / "compute-sanitizer")
    found = {}
    for tool in ("memcheck", "racecheck", "synccheck", "initcheck"):
        narrowed = ["--kernel-name", "kernel_substring=beam_step", "--error-exitcode", "9"]
        output = _run([sanitizer, "--tool", tool, *narrowed, *program], LIMITS["sanitize"])
        summaries = [line for line in output.splitlines() if "SUMMARY" in line]
        found[tool] = summaries[-1].strip("= ") if summaries else "no summary"
    return found


def parity(dry: bool) -> dict[str, Any]:
    """The shipped weights: replies of the device beside those of the CPU."""
    import gpu_parity

    return gpu_parity.run(dry)


def speed(dry: bool) -> dict[str, Any]:
    """The benchmark, and what the card can do."""
    import gpu_speed

    return gpu_speed.run(dry)


def profile(dry: bool) -> dict[str, Any]:
    """Where the time of one decoding step goes."""
    import gpu_speed

    return gpu_speed.profile(dry)


STAGES: dict[str, Callable[[bool], dict[str, Any]]] = {
    stage.__name__: stage for stage in (machine, build, tests, sanitize, parity, speed, profile)
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes on the CPU")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu_check.json", help="(default: %(default)s)")
    parser.add_argument("--stages", default=",".join(STAGES), help="(default: all: %(default)s)")
    args = parser.parse_args()
    unknown = set(args.stages.split(",")) - STAGES.keys()
    if unknown:
        parser.error(f"--stages: {', '.join(sorted(unknown))}: {', '.join(STAGES)} are allowed")
    report: dict[str, Any] = {"date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "dry_run": args.dry_run}
    failed = []
    if args.dry_run:
        import torch

        torch.set_num_threads(1)
        print(NOTHING_RAN)
        report["note"] = NOTHING_RAN
    for name in args.stages.split(","):
        begun = time.perf_counter()
        try:
            report[name] = STAGES[name](args.dry_run)
        except Exception as error:  # the other stages still tell something
            report[name] = {"failed": f"{type(error).__name__}: {error}"[-3000:]}
            failed.append(name)
        seconds = round(time.perf_counter() - begun, 1)
        report[name]["seconds"] = seconds
        print(f"\n== {name} ({seconds} s)", table(report[name]), sep="\n", flush=True)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=2) + "\n")
    print(f"\nwritten: {args.out.name}" + (f"; FAILED: {', '.join(failed)}" if failed else ""))
    if args.dry_run:
        print(NOTHING_RAN)
    return 1 if failed else 0


def table(found: dict[str, Any]) -> str:
    """Plain values as lines, lists of rows as columns."""
    lines = []
    for name, value in found.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            heads = list(value[0])
            rows = [heads, *([_cell(row.get(head, "")) for head in heads] for row in value)]
            widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
            lines += [f"{name}:", *("  " + "  ".join(map(str.rjust, row, widths)) for row in rows)]
        else:
            lines.append(f"{name}: {_cell(value)}")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return str(value)


def _nvcc() -> str:
    named = os.environ.get("CUDA_HOME")
    places = [Path(named) / "bin" / "nvcc"] if named else [Path(shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc")]
    return next((str(place) for place in places if place.is_file()), "")


def _has(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"{Path(command[0]).name}: {error}"


def _run(command: list[str], limit: int) -> str:
    """Its output; RuntimeError with the end of it if it fails or takes too long."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{Path(command[0]).name} took more than {limit} s: {_tail(error.stdout)}") from None
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} ended with {done.returncode}: {_tail(done.stdout + done.stderr)}")
    return done.stdout + done.stderr


def _tail(output: str | bytes | None) -> str:
    text = output.decode(errors="replace") if isinstance(output, bytes) else output or ""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)[-2000:]


if __name__ == "__main__":
    sys.exit(main())
