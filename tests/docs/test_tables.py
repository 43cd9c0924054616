"""Numbers and tables that the docs state are the code's."""

from __future__ import annotations

import re
from typing import get_args

import numpy as np
import pytest

from mime_fast.config.generation import OPTIONS, GenerationConfig
from mime_fast.corpora import writers
from mime_fast.corpora.schema import columns_of
from mime_fast.corpora.tasks import Kind
from mime_fast.data.reading import options
from mime_fast.reference.philox import gumbel, philox4x32, standard_normal
from tools.docs_blocks import ROOT


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def table(name: str, head: str) -> list[list[str]]:
    """The cells of the rows below a table's header."""
    lines = page(name).splitlines()
    rows = lines[lines.index(head) + 2 :]
    found = rows[: next(place for place, line in enumerate(rows) if not line.startswith("|"))]
    assert found
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in found]


def names(text: str) -> list[str]:
    """What is in backticks before anything in brackets explains it."""
    return re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", text))


def test_known_answers_of_philox() -> None:
    rows = re.findall(r"^((?:[0-9a-f]{8}\s+){9}[0-9a-f]{8})$", page("random.md"), re.MULTILINE)
    assert len(rows) == 3
    for row in rows:
        words = np.array([int(word, 16) for word in row.split()], dtype=np.uint32)
        assert philox4x32(words[:4], words[4:6]).tolist() == words[6:].tolist()


def test_known_normals() -> None:
    rows = table("random.md", "| seed | request id | purpose | step | sequence | normals |")
    assert len(rows) == 4
    for *where, normals in rows:
        seed, request, purpose, step, sequence = (2**64 - 1 if cell == "2^64 - 1" else int(cell) for cell in where)
        found = standard_normal([seed], [request], purpose, 4, step=step, sequence=sequence)[0]
        assert found == pytest.approx([float(number) for number in normals.split(", ")], rel=1e-14, abs=1e-14)


def test_known_gumbel_numbers() -> None:
    (said,) = re.findall(r"for seed 0, request id 1, step 2, sequence 1: ([^z]+?)\.\n", page("random.md"))
    found = gumbel([0], [1], [2], [1], np.arange(4)[None])[0]
    assert found == pytest.approx([float(number) for number in said.split(",")], rel=1e-14, abs=1e-14)


def test_defaults_of_the_search() -> None:
    said: dict[str, str] = {}
    for row in table("search.md", "| option | default | greedy | sampling | standard | mime |"):
        said |= dict(zip(names(row[0]), row[1].replace("`", "").split(", "), strict=True))
    assert said.keys() == OPTIONS.keys()
    words = {False: "no", (): "none"}
    for name in OPTIONS:
        default = getattr(GenerationConfig, name)
        shown = words.get(default, default) if isinstance(default, bool | tuple) else default
        assert said[name] == (f"{shown:g}" if isinstance(shown, int | float) else shown), name


@pytest.mark.parametrize("kind", get_args(Kind))
def test_keys_of_answers(kind: str) -> None:
    lines = {names(command)[0]: keys for command, keys in table("cli.md", "| command | keys of a line |")}
    first, _, rest = lines[kind].partition("; with `--num-return-sequences` above 1 also ")
    assert sorted(names(first) + names(rest)[:1]) == sorted(columns_of(kind))
    columns: list[str] = []
    for tasks, named in table("corpora.md", "| task | columns |"):
        columns += names(named) if tasks == "all" or kind in tasks else []
    assert sorted(columns) == sorted(columns_of(kind))


def test_limits_of_files() -> None:
    assert writers.ROW_GROUP == 10_000 and "row groups of 10,000 rows or more" in page("corpora.md")
    assert options.MAX_ROW_BYTES == 64 << 20 and "64 MiB (`--max-row-bytes`)" in page("corpora.md").replace("\n", " ")
