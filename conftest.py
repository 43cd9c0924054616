"""Options for pytest: `pytest --benchmark` is `pytest benchmarks --benchmark-only`."""

from __future__ import annotations

import os

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
        help="Write STEM.md, STEM.json and STEM.png, whatever fails; {isa} in it stands for avx2, avx512, ...",
    )
    group.addoption(
        "--benchmark-isa",
        metavar="ISA",
        default="auto",
        dest="mime_benchmark_isa",
        help="The instruction set of our engine (`mime-fast info` lists them); avx2 holds the peers to AVX2 as well.",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("mime_benchmark"):
        return
    if not hasattr(config.option, "benchmark_only"):
        raise pytest.UsageError("--benchmark needs pytest-benchmark: pip install '.[bench]'")
    config.option.benchmark_only = True
    _hold_to_isa(config.getoption("mime_benchmark_isa"))
    if config.args_source != pytest.Config.ArgsSource.ARGS:
        config.args = ["benchmarks"]


def _hold_to_isa(isa: str) -> None:
    """Before the peers are imported: they read their settings then."""
    if isa == "auto":
        return
    from benchmarks.instructions import peer_settings, resolved
    from mime_fast.errors import ConfigError

    try:
        os.environ |= peer_settings(resolved(isa))
    except ConfigError as error:
        raise pytest.UsageError(f"--benchmark-isa: {error}") from None
