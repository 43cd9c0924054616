"""`pytest --benchmark` is `pytest benchmarks --benchmark-only`; plain `pytest` takes nothing from there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def collected(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def files(found: subprocess.CompletedProcess[str]) -> set[str]:
    assert found.returncode == 0, found.stdout + found.stderr
    return {line.split("::")[0] for line in found.stdout.splitlines() if "::" in line}


@pytest.mark.usefixtures("benchmark_plugin")
def test_benchmark_takes_the_benchmarks_alone() -> None:
    expected = {f"benchmarks/{path.name}" for path in (ROOT / "benchmarks").glob("test_*.py")}
    assert files(collected("--benchmark")) == expected


@pytest.mark.usefixtures("benchmark_plugin")
def test_paths_still_count() -> None:
    assert files(collected("--benchmark", "benchmarks/test_tokenizer_speed.py")) == {
        "benchmarks/test_tokenizer_speed.py"
    }


def test_without_the_plugin() -> None:
    path = "tests/benchmarks/test_race.py"
    assert files(collected("-p", "no:benchmark", path)) == {path}
    found = collected("-p", "no:benchmark", "--benchmark", path)
    assert found.returncode != 0 and "needs pytest-benchmark" in found.stderr


def test_plain_pytest_collects_no_benchmark(request: pytest.FixtureRequest) -> None:
    assert request.config.getini("testpaths") == ["tests"]


@pytest.fixture
def benchmark_plugin() -> None:
    pytest.importorskip("pytest_benchmark")
