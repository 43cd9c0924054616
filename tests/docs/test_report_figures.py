"""Figures that the docs copy from the kept reports of benchmarks are theirs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from tests.docs.test_tables import page, table
from tools.docs_blocks import ROOT

BATCHES = (1, 16, 64, 256)
TASKS = {"5 beams": "beam", "greedy": "greedy", "scoring": "score"}
MIME, PEER = "mime_fast", "CTranslate2"
PRODUCTS = "| | MIME | the transformer that CTranslate2 runs |"
SHARES = "| | goals | share of the ceiling that they take | that is reached |"


def rates(isa: str) -> dict[tuple[str, str, str, int], float]:
    """Replies per core-second by task, engine, precision and batch."""
    report = json.loads((ROOT / f"benchmarks/results/cpu-{isa}.json").read_text(encoding="utf-8"))
    figures = [each for each in report["figures"] if each["kind"] == "rate"]
    return {
        (each["task"], each["engine"], each["precision"], each["batch"]): each["per_core_second"] for each in figures
    }


def ratios(isa: str, task: str, ours: str, theirs: str, batches: Iterable[int] = BATCHES) -> list[str]:
    found = rates(isa)
    return [f"{found[task, MIME, ours, n] / found[task, PEER, theirs, n]:.2f}" for n in batches]


def test_ratios_with_avx2() -> None:
    rows = table("engine.md", "| | batch 1 | batch 16 | batch 64 | batch 256 |")
    assert len(rows) == 7
    for name, *cells in rows:
        what, task = name.split(", ")
        ours, _, theirs = what.replace("`", "").replace("CTranslate2's ", "").partition(" over ")
        assert [cell.split()[0] for cell in cells] == ratios("avx2", TASKS[task], ours, theirs or ours), name


def test_ratios_with_avx512() -> None:
    text = " ".join(page("engine.md").partition("### AVX-512")[2].split())
    listed = r"([\d.]+ / [\d.]+ / [\d.]+ / [\d.]+)"
    for name, task in TASKS.items():
        (found,) = re.findall(rf"{name} {listed} in float32 and {listed} in int8", text)
        for said, precision in zip(found, ("float32", "int8"), strict=True):
            assert said.split(" / ") == ratios("avx512", task, precision, precision), (name, precision)
    (found,) = re.findall(rf"CTranslate2's int8, 5 beams: {listed}; over its float32 {listed}", text)
    for said, theirs in zip(found, ("int8", "float32"), strict=True):
        assert said.split(" / ") == ratios("avx512", "beam", "screened", theirs)


def test_shares_of_the_ceiling() -> None:
    """Goals times the peer's rate, and the rate reached, times MIME's multiply-adds of a reply."""
    found = rates("avx2")
    text = " ".join(page("engine.md").split())
    (ceilings,) = re.findall(r"that Zen 4: (\d+) GFLOP/s in float32, (\d+) in int8", text)
    ceiling = dict(zip(("float32", "int8"), map(float, ceilings), strict=True))
    products = {name: float(mime) for name, mime, _ in table("engine.md", PRODUCTS)[-2:]}
    beams, others = (next(products[name] for name in products if name.startswith(kind)) for kind in ("5", "greedy"))
    for name, goals, taken, reached in table("engine.md", SHARES):
        precision, task, batches = name.split(", ", 2)
        numbers = [int(batch) for batch in re.findall(r"\d+", batches)]
        wanted = [float(goal) for goal in goals.split(", ")] * (1 if "," in goals else len(numbers))
        one = 0.2 * (beams if task == "5 beams" else others) / ceiling[precision]  # % of the ceiling for a reply
        for said, engine, factors in ((taken, PEER, wanted), (reached, MIME, [1.0] * len(numbers))):
            each = [f * one * found[TASKS[task], engine, precision, n] for f, n in zip(factors, numbers, strict=True)]
            assert said.split(", ") == [f"{share:.0f} %" for share in each], name


def test_the_last_of_repeated_ratios() -> None:
    for name, *cells in table("performance.md", "| over CTranslate2 | float32 | int8 |"):
        task, batch = name.split(", batch ")
        for cell, precision in zip(cells, ("float32", "int8"), strict=True):
            assert cell.split(", ")[-1:] == ratios("avx2", TASKS[task], precision, precision, [int(batch)]), name


def test_what_precisions_keep_of_beams() -> None:
    rows = {
        names.strip("`"): said
        for names, _, said in table("engine.md", "| `precision` | weights and activations of the products | contract |")
    }
    for precision in ("bfloat16", "int8"):
        for isa in ("avx512", "avx2"):
            report = (ROOT / f"benchmarks/results/cpu-{isa}.md").read_text(encoding="utf-8")
            (share,) = re.findall(rf"\| {precision} beside float32 \| ([\d.]+) % of 500 ", report)
            assert re.search(rf"\b{share} ", rows[precision]), (precision, isa)
