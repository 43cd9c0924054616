"""What it takes to be ready: CPU seconds and peak memory of fresh processes that load the default model and reply once.

    python tools/startup.py [--runs 7]        needs ctranslate2; docs/performance.md has what was seen

Beside it, in turn: CTranslate2 with a plain transformer of the same sizes and vocabulary, the reference in PyTorch, and
`mime-fast --help`. Medians; one thread.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

REPORT = """
import os
times = os.times()
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(times.user + times.system, int(peak) / 1024)
"""
OURS = """
import mime_fast
mime_fast.load({arguments}, threads=1).generate([["I lost my wallet on the bus."]], num_beams=5)
"""
PEER = """
import ctranslate2
translator = ctranslate2.Translator({folder!r}, device="cpu", compute_type={precision!r}, intra_threads=1)
translator.translate_batch(["i lost my wallet on the bus .".split()], beam_size=5, max_decoding_length=16)
"""
HELP = """
import contextlib, io
from mime_fast.cli.main import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(["--help"])
"""


def programs(folder: Path) -> dict[str, str]:
    """What is run, by name."""
    from benchmarks.plain_transformer import make_ctranslate2_model
    from mime_fast.engine.load import find_model

    peer = str(make_ctranslate2_model(folder, find_model(None)))
    found = {"nothing (Python alone)": "", "import numpy": "import numpy", "mime-fast --help": HELP}
    for precision in ("float32", "int8"):
        found[f"mime_fast {precision}"] = OURS.format(arguments=f"precision={precision!r}")
        found[f"CTranslate2 {precision}"] = PEER.format(folder=peer, precision=precision)
    return found | {"the reference (PyTorch)": OURS.format(arguments="backend='reference'")}


def run(program: str) -> tuple[float, float]:
    """CPU seconds and MiB."""
    command = [sys.executable, "-c", program + REPORT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, peak = done.stdout.split()[-2:]
    return float(seconds), float(peak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, metavar="N", help="of each (default: %(default)s)")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        each = programs(Path(folder))
        seen: dict[str, list[tuple[float, float]]] = {name: [run(program)] for name, program in each.items()}
        for _ in range(runs - 1):  # in turn, so that what else runs on the machine is shared
            for name, program in each.items():
                seen[name].append(run(program))
    print("| a fresh process | CPU s | peak MiB |\n| --- | --- | --- |")
    for name, figures in seen.items():
        seconds, peak = (statistics.median(column) for column in zip(*figures, strict=True))
        print(f"| {name} | {seconds:.2f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
