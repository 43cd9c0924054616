"""Options for pytest: `pytest --benchmark` is `pytest benchmarks --benchmark-only`."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mime_fast benchmarks")
    group.addoption(
        "--benchmark", action="store_true", dest="mime_benchmark", help="Same as: benchmarks --benchmark-only."
    )
    group.addoption(
        "--benchmark-quick",
        action="store_true",
        dest="mime_benchmark_quick",
        help="Few dialogues and rounds: shows that the benchmarks run, not how fast anything is.",
    )
    group.addoption(
        "--benchmark-report",
        metavar="STEM",
        dest="mime_benchmark_report",
        help="Write STEM.md, STEM.json and STEM.png.",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("mime_benchmark"):
        return
    if not hasattr(config.option, "benchmark_only"):
        raise pytest.UsageError("--benchmark needs pytest-benchmark: pip install '.[bench]'")
    config.option.benchmark_only = True
    if config.args_source != pytest.Config.ArgsSource.ARGS:
        config.args = ["benchmarks"]
