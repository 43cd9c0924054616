"""What is compiled anew after a change of a kernel: the one part (csrc/cpu/parts) that has its body."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CPU = Path(__file__).parents[2] / "csrc" / "cpu"
SHARED = {"tile", "partial_sum", "quantize", "math", "arrange", "exports", "includes", "target"}
BODIES = {file.stem for file in (CPU / "body").glob("*.h") if not file.stem.startswith("vec_")} - SHARED


def bodies_of(file: Path) -> set[str]:
    """The bodies that a file includes, those of its headers with them."""
    found: set[str] = set()
    for name in re.findall(r'^#include "body/(\w+)\.h"', file.read_text(), re.MULTILINE):
        found |= {name} | bodies_of(CPU / "body" / f"{name}.h")
    return found


@pytest.mark.parametrize("body", sorted(BODIES))
def test_one_part_has_the_body(body: str) -> None:
    assert len([part.stem for part in (CPU / "parts").glob("*.cpp") if body in bodies_of(part)]) == 1


def test_every_instruction_set_is_declared() -> None:
    declared = set(
        re.findall(r'^#define MIME_FAST_SET (\w+)\n#include "body/exports.h"', (CPU / "tables.h").read_text(), re.M)
    )
    assert declared == {file.stem for file in (CPU / "sets").glob("*.h")}
    for file in (CPU / "sets").glob("*.h"):
        assert re.search(rf"^#define MIME_FAST_SET {file.stem}$", file.read_text(), re.MULTILINE), file
