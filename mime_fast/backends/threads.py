"""How many threads a process uses unless it is given a number."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from math import ceil
from pathlib import Path

ROOT = Path("/")  # of the files of Linux
MOST_THREADS = 4096  # csrc/bindings/native/released.h


def default_threads() -> int:
    """OMP_NUM_THREADS where it is a number; else the cores of this process, or its cgroup's quota if that is less."""
    return omp_threads(os.environ) or max(1, min(affinity(), ceil(cpu_quota(ROOT))))


def omp_threads(environment: Mapping[str, str]) -> int:
    """The number of OMP_NUM_THREADS (of its outermost level), 0 where it is none."""
    first = environment.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(int(first), MOST_THREADS) if first.isascii() and first.isdigit() and len(first) < 20 else 0


def affinity() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_quota(root: Path) -> float:
    """The CPUs that the cgroup of this process, or one above it, may use on average; infinite without a quota."""
    return min((quota for quota in _quotas(root) if quota > 0), default=float(os.cpu_count() or 1))


def _quotas(root: Path) -> Iterator[float]:
    """In CPUs, of all cgroups that this process is in; of cgroup v1 and v2."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            for folder in _upwards(root / "sys/fs/cgroup", path):
                yield _ratio(*_text(folder / "cpu.max").split()[:2])
        elif "cpu" in controllers.split(","):
            for mount in dict.fromkeys((controllers, "cpu", "cpu,cpuacct")):
                for folder in _upwards(root / "sys/fs/cgroup" / mount, path):
                    yield _ratio(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """A cgroup's folder and those above it, the mount last: inside a container only that may be there."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:depth])


def _ratio(quota: str = "", period: str = "") -> float:
    """Quota by period; 0 where there is none ("max", -1, or no such file)."""
    try:
        return int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return 0.0


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")  # names of groups are bytes
    except OSError:
        return ""
