"""Imports only look down, implementations are chosen in one place, and only the bindings know Python or torch."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "mime_fast"

# Lowest first. A level is a folder or a file; those of one row do not import each other.
LEVELS = (
    ("errors", "_version"),
    ("files", "locks"),
    ("output_checks", "streams", "terminal"),
    ("progress",),
    ("emotions", "extras"),
    ("config", "needs_torch"),  # MoEL has a listener for each emotion
    ("text",),
    ("data",),
    ("reference",),
    ("_native", "_native_dev", "_cuda"),
    ("checkpoints", "kernels"),
    ("backends",),
    ("engine",),
    ("evaluation",),
    ("corpora",),
    ("training", "distributed"),  # training validates with evaluation's metrics
    ("cli",),
    ("__init__", "__main__"),
)
RANK = {name: rank for rank, row in enumerate(LEVELS) for name in row}
CHOOSERS = ("backends/", "kernels/select.py")


def imported(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Every module of the package that is imported, as a dotted name below it, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, node.module) if node.module else base)
            names = [f"{module}.{alias.name}" for alias in node.names] if module == PACKAGE else [module]
        else:
            continue
        for name in names:
            if name.startswith(f"{PACKAGE}."):
                yield name.removeprefix(f"{PACKAGE}."), node.lineno


def import_faults(root: Path) -> list[str]:
    faults = []
    for file in sorted((root / PACKAGE).rglob("*.py")):
        path = file.relative_to(root / PACKAGE)
        level = path.parts[0].removesuffix(".py")
        if level not in RANK:
            faults.append(f"{path}: {level!r} has no level; give it one in {Path(__file__).name}")
            continue
        used = {}
        for name, line in imported(ast.parse(file.read_text()), (PACKAGE, *path.parts[:-1])):
            target = name.split(".")[0]
            used[target] = line
            if target in RANK and target != level and RANK[target] >= RANK[level]:
                faults.append(f"{path}:{line}: {level} imports {target}, which is not below it")
        if "reference" in used and used.keys() & {"kernels", "_native"} and not str(path).startswith(CHOOSERS):
            faults.append(f"{path}: knows two implementations; backends and kernels/select.py choose")
    return faults


def source_faults(root: Path) -> list[str]:
    faults = []
    for file in sorted((root / "csrc").rglob("*")):
        path = file.relative_to(root / "csrc")
        if not file.is_file() or path.parts[0] == "bindings":
            continue
        for number, line in enumerate(file.read_text().splitlines(), start=1):
            if re.search(r"pybind11|\bPython\.h\b|\bPy_|\bPyObject\b|[<\"](torch|ATen|c10)/|\b(torch|at|c10)::", line):
                faults.append(f"csrc/{path}:{number}: only csrc/bindings may know Python or torch")
    return faults


def test_imports_look_down() -> None:
    assert import_faults(ROOT) == []


def test_only_the_bindings_know_python_and_torch() -> None:
    assert source_faults(ROOT) == []


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("config/a.py", "from mime_fast.errors import ConfigError", None),
        ("emotions.py", "from mime_fast.config.model import MimeConfig", "emotions imports config"),
        ("text/a.py", "from mime_fast.text.b import c", None),
        ("text/a.py", "from .b import c", None),
        ("text/a.py", "from ..data.b import c", "text imports data"),
        ("text/a.py", "from .. import cli", "text imports cli"),
        ("reference/a.py", "import mime_fast.engine.b", "reference imports engine"),
        ("reference/a.py", "from mime_fast import kernels", "reference imports kernels"),
        ("reference/a.py", "def f():\n    from mime_fast import _native", "reference imports _native"),
        ("evaluation/a.py", "import mime_fast.training.b", "evaluation imports training"),
        ("training/a.py", "import mime_fast.evaluation.b", None),
        ("training/a.py", "import mime_fast.reference.b\nimport mime_fast.kernels.b", "knows two implementations"),
        ("backends/a.py", "import mime_fast.reference.b\nimport mime_fast.kernels.b", None),
        ("kernels/select.py", "import mime_fast.reference.b\nimport mime_fast._native", None),
        ("helpers.py", "", "has no level"),
    ],
)
def test_the_import_check_sees_faults(tmp_path: Path, path: str, source: str, fault: str | None) -> None:
    file = tmp_path / PACKAGE / path
    file.parent.mkdir(parents=True)
    file.write_text(source)
    faults = import_faults(tmp_path)
    assert faults == [] if fault is None else len(faults) == 1 and fault in faults[0]


@pytest.mark.parametrize(
    "line", ["#include <pybind11/numpy.h>", '#include "torch/all.h"', "at::Tensor x;", "PyObject* o;"]
)
def test_the_source_check_sees_faults(tmp_path: Path, line: str) -> None:
    for folder in ("bindings", "cpu"):
        (tmp_path / "csrc" / folder).mkdir(parents=True)
        (tmp_path / "csrc" / folder / "a.cpp").write_text(f"int a;\n{line}\n")
    assert source_faults(tmp_path) == ["csrc/cpu/a.cpp:2: only csrc/bindings may know Python or torch"]
