"""ThreadSanitizer on the beam step: no race, and one as soon as any of its barriers is left out."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BARRIERS = (ROOT / "csrc" / "include" / "mime_fast" / "beam_step_core.h").read_text().count("team.sync();")


def run(program: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TSAN_OPTIONS": "halt_on_error=1 exitcode=66"}
    return subprocess.run(
        [str(program), *words], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, compiled for ThreadSanitizer."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler here")
    folder = tmp_path_factory.mktemp("races")
    flags = ["-std=c++17", "-O1", "-g", "-pthread", "-fsanitize=thread"]
    empty = folder / "empty.cpp"
    empty.write_text("int main() { return 0; }\n")
    built = subprocess.run(
        [compiler, *flags, str(empty), "-o", str(folder / "empty")], capture_output=True, text=True, check=False
    )
    if built.returncode or run(folder / "empty").returncode:
        pytest.skip("no ThreadSanitizer here")
    source, program = ROOT / "tests" / "cuda" / "beam_races.cpp", folder / "races"
    warnings = ["-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'csrc' / 'include'}"]
    subprocess.run([compiler, *flags, *warnings, str(source), "-o", str(program)], check=True)
    return program


def test_no_race(searches: Path) -> None:
    done = run(searches)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-3000:]


@pytest.mark.parametrize("barrier", range(BARRIERS))
def test_no_barrier_can_be_left_out(searches: Path, barrier: int) -> None:
    done = run(searches, str(barrier))
    assert done.returncode == 66 and "data race" in done.stderr, done.stderr[-3000:]


def test_the_program_knows_all_barriers() -> None:
    source = (ROOT / "tests" / "cuda" / "beam_races.cpp").read_text()
    assert f"kBarriers = {BARRIERS};" in source
