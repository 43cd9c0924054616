"""One stage of tools/gpu_check.py, in its own process: `python tools/gpu_stage.py speed --rows rows.jsonl`."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TRITON_CACHE_DIR", str(ROOT / "build" / "gpu_check" / "triton"))  # can be carried with the tree

from tools.gpu_check import write_row  # noqa: E402  (the root is in the path only now)
from tools.gpu_setting import Setting  # noqa: E402

Row = dict[str, Any]
ON_A_GPU = (  # tests that show more where there is one
    "tests/cuda/test_cuda_loop.py",
    "tests/cuda/test_cuda_parity.py",
    "tests/kernels/test_decoder_step.py",
    "tests/kernels/test_encoder.py",
    "tests/kernels/test_gate_fusion.py",
    "tests/kernels/test_response_emotion.py",
    "tests/kernels/test_vocab.py",
)
SANITIZERS = ("memcheck", "synccheck")


def machine(setting: Setting) -> Iterator[Row]:
    """Versions and the card."""
    import torch

    from mime_fast.kernels.select import why_no_device_ops

    packages = {}
    for name in ("torch", "triton", "numpy", "pybind11", "setuptools", "pytest-xdist"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "missing"
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.sm", "--format=csv,noheader"]
    yield {
        "python": platform.python_version(),
        **packages,
        "cuda of torch": torch.version.cuda,
        "card": "none (dry run)" if setting.dry else output_of(query),
        "nvcc": output_of([nvcc(), "--version"]).splitlines()[-1] if nvcc() else "missing",
        "kernels": why_no_device_ops() or "installed",
        "cores": os.cpu_count(),
    }


def build(setting: Setting) -> Iterator[Row]:
    """The extensions: those that are there if they can run, else built in place. A dry run builds none."""
    probe = "from mime_fast import _cuda, _native; print(_cuda.architectures, _cuda.why_not())"
    wanted = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)
    if wanted.returncode and not setting.dry:
        subprocess.run([sys.executable, "setup.py", "build_ext", "--inplace"], cwd=ROOT, check=True)
        yield {"extensions": output_of([sys.executable, "-c", probe]), "built": "here"}
    else:
        yield {"extensions": (wanted.stdout or wanted.stderr).strip().splitlines()[-1], "built": "before"}


def kernels(setting: Setting) -> Iterator[Row]:
    """Every kernel in a process of its own, several at a time: they compile in parallel; a fault stops no other."""
    from tools import gpu_smoke

    yield from gpu_smoke.all_kernels(setting)


def smoke(setting: Setting) -> Iterator[Row]:
    from tools import gpu_smoke

    yield from gpu_smoke.dialogues(setting)


def speed(setting: Setting) -> Iterator[Row]:
    from tools import gpu_speed

    yield from gpu_speed.first_figures(setting)


def more_speed(setting: Setting) -> Iterator[Row]:
    from tools import gpu_speed

    yield from gpu_speed.other_figures(setting)


def profile(setting: Setting) -> Iterator[Row]:
    from tools import gpu_speed

    yield from gpu_speed.profile(setting)


def parity(setting: Setting) -> Iterator[Row]:
    from tools import gpu_parity

    yield from gpu_parity.rows(setting)


def tests(setting: Setting) -> Iterator[Row]:
    """With several processes where pytest-xdist is there; not those that need only a CPU."""
    chosen = ["tests/cuda/test_cuda_loop.py", "-k", "captured_after or guard"] if setting.dry else ON_A_GPU
    workers = [] if setting.dry or find_spec("xdist") is None else ["-n", "6"]
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", *workers, *chosen]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout)
    lines = done.stdout.strip().splitlines()
    yield {"summary": lines[-1], "failed": [line for line in lines if line.startswith("FAILED")][:20]}
    if done.returncode:
        sys.exit(1)


def sanitize(setting: Setting) -> Iterator[Row]:
    """compute-sanitizer on the beam step, whose results are compared, too, and on one eager `generate`."""
    python, dry = sys.executable, ["--cpu"] * setting.dry
    programs = {
        "beam step": [python, str(ROOT / "tools" / "gpu_beam_steps.py"), *dry],
        "generate": [python, str(ROOT / "tools" / "gpu_smoke.py"), "generate", *["--dry-run"] * setting.dry],
    }
    found = shutil.which("compute-sanitizer") or (str(Path(nvcc()).parent / "compute-sanitizer") if nvcc() else "")
    if not setting.dry and not Path(found).is_file():
        yield {"sanitizer": "compute-sanitizer is not installed: nothing was checked"}
        sys.exit(1)
    broken = False
    for tool in SANITIZERS:
        for name, program in programs.items():
            watched = [] if setting.dry else [found, "--tool", tool, "--error-exitcode", "9"]
            environment = os.environ | ({"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"} if tool == "memcheck" else {})
            done = subprocess.run([*watched, *program], stdout=subprocess.PIPE, text=True, env=environment, check=False)
            print(done.stdout, flush=True)
            lines = [line.strip("= ") for line in done.stdout.splitlines() if "SUMMARY" in line or setting.dry]
            yield {"tool": tool, "program": name, "code": done.returncode, "summary": (lines or ["no summary"])[-1]}
            broken |= done.returncode != 0
    if broken:
        sys.exit(1)


RUNS: dict[str, Callable[[Setting], Iterator[Row]]] = {
    stage.__name__: stage
    for stage in (machine, build, kernels, smoke, speed, profile, parity, tests, sanitize, more_speed)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=RUNS)
    parser.add_argument("--rows", type=Path, required=True, help="rows are appended to it as they come")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--no-graphs", action="store_true")
    args = parser.parse_args()
    setting = Setting.of(args.dry_run, graphs=not args.no_graphs)
    if args.dry_run and args.stage != "machine":
        import torch

        torch.set_num_threads(1)
    failed = False
    for row in RUNS[args.stage](setting):
        write_row(args.rows, {"stage": args.stage, **row})
        print(row, flush=True)
        failed |= row.get("result") == "failed"
    if failed:
        sys.exit(1)


def nvcc() -> str:
    """The compiler, or nothing."""
    named = os.environ.get("CUDA_HOME")
    places = [Path(named) / "bin" / "nvcc"] if named else [Path(shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc")]
    return next((str(place) for place in places if place.is_file()), "")


def output_of(command: list[str]) -> str:
    """Or why there is none."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"{Path(command[0]).name}: {error}"


if __name__ == "__main__":
    main()
