"""What a figure depends on: processor, load, versions, command. No name of a host or a path."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mime_fast.backends.threads import affinity

PACKAGES = ("mime-fast", "ctranslate2", "torch", "transformers", "numpy", "pytest-benchmark")
EXTENSIONS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")


@dataclass(frozen=True)
class Facts:
    processor: str
    cores: int
    extensions: tuple[str, ...]
    l3: str
    memory_gib: float
    system: str
    versions: dict[str, str]
    command: str
    date: str
    isa: str = ""  # that all engines are held to, or this project's chose; empty: not said
    peer_settings: dict[str, str] = field(default_factory=dict)


def facts(arguments: Iterable[str], isa: str = "", peer_settings: dict[str, str] | None = None) -> Facts:
    cpu = _cpu_info()
    return Facts(
        processor=processor_name(cpu),
        cores=affinity(),
        extensions=tuple(name for name in EXTENSIONS if name in cpu.get("flags", "").split()),
        l3=_text("/sys/devices/system/cpu/cpu0/cache/index3/size"),
        memory_gib=round(_total_memory() / 2**30, 1),
        system=f"{platform.system()} {platform.machine()}",
        versions={"python": platform.python_version(), **_versions()},
        command=command(arguments),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        isa=isa,
        peer_settings=peer_settings or {},
    )


def command(arguments: Iterable[str]) -> str:
    """How pytest was called, without the folders of absolute paths."""
    return shlex.join(["pytest", *(_without_folders(argument) for argument in arguments)])


def processor_name(cpu: Mapping[str, str]) -> str:
    """`cpu`: what /proc/cpuinfo says. A virtual machine's name may be that of several generations ("AMD EPYC")."""
    name = cpu.get("model name", platform.processor() or platform.machine())
    if "cpu family" not in cpu or "model" not in cpu:
        return name
    return f"{name} (family {cpu['cpu family']}, model {cpu['model']})"


def load_average() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _without_folders(argument: str) -> str:
    name, equals, value = argument.rpartition("=")
    return f"{name}{equals}{Path(value).name}" if Path(value).is_absolute() else argument


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _cpu_info() -> dict[str, str]:
    lines = (line.split(":", 1) for line in _text("/proc/cpuinfo").splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in lines}


def _total_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError:
        return ""
