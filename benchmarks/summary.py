"""The README's speed chart and table, from the reports of several instruction sets.

    python -m benchmarks.summary benchmarks/results/cpu-avx512.json benchmarks/results/cpu-avx2.json

draws `docs/images/speed.png` and prints the table.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.chart import COLOURS
from benchmarks.figures import CTRANSLATE2, OURS

NAMES = {"avx512": "AVX-512", "avx2": "AVX2"}
TASK = "beam"
BATCHES = (1, 64)
SYSTEMS = (
    (OURS, "float32"),
    (OURS, "screened"),
    (OURS, "int8"),
    (CTRANSLATE2, "float32"),
    (CTRANSLATE2, "int8"),
)
PICTURE = Path(__file__).resolve().parents[1] / "docs/images/speed.png"


@dataclass(frozen=True)
class Report:
    """What the README takes from one report: replies per core-second by (engine, precision, batch)."""

    name: str  # of the instruction set
    rates: dict[tuple[str, str, int], float]

    @classmethod
    def read(cls, path: Path) -> Report:
        """Raises KeyError where the file is none of `make bench`'s."""
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        rates = {
            (each["engine"], each["precision"], each["batch"]): float(each["per_core_second"])
            for each in found["figures"]
            if each["kind"] == "rate" and each["task"] == TASK
        }
        isa = path.stem.removeprefix("cpu-")
        return cls(NAMES.get(isa, isa), rates)


def table(reports: Sequence[Report]) -> str:
    """Markdown: a row per system, a column per instruction set and batch, then the ratios to CTranslate2."""
    columns = [(report, batch) for report in reports for batch in BATCHES]
    head = ["replies per core-second", *(f"{report.name}, batch {batch}" for report, batch in columns)]
    rows = [head, ["---"] * len(head)]
    for engine, precision in SYSTEMS:
        name = f"{engine} {precision}"
        values = [report.rates.get((engine, precision, batch)) for report, batch in columns]
        rows.append([f"**{name}**" if engine == OURS else name, *("-" if x is None else f"{x:.3g}" for x in values)])
    for ours, theirs in (("float32", "float32"), ("screened", "float32"), ("int8", "int8")):
        values = [_ratio(report, ours, theirs, batch) for report, batch in columns]
        name = f"*{ours} over CTranslate2 {theirs}*"
        rows.append([name, *("-" if x is None else f"{x:.2f}" for x in values)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def draw(reports: Sequence[Report], path: Path) -> None:
    """A panel per instruction set."""
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(4.6 * len(reports), 2.9), layout="constrained")
    panels = canvas.subplots(1, len(reports), squeeze=False)[0]
    width = 0.84 / len(SYSTEMS)
    for report, panel in zip(reports, panels, strict=True):
        for place, system in enumerate(SYSTEMS):
            left = [i + (place - (len(SYSTEMS) - 1) / 2) * width for i in range(len(BATCHES))]
            heights = [report.rates.get((*system, batch), 0.0) for batch in BATCHES]
            bars = panel.bar(left, heights, width, label=" ".join(system), color=COLOURS[system])
            panel.bar_label(bars, [f"{height:.0f}" if height else "" for height in heights], fontsize=7)
        panel.set_title(report.name, fontsize=10)
        panel.set_xticks(range(len(BATCHES)), [f"batch {batch}" for batch in BATCHES], fontsize=9)
        panel.tick_params(axis="y", labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("replies per core-second", fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=len(SYSTEMS), fontsize=8, frameon=False)
    canvas.savefig(path, dpi=110)


def _ratio(report: Report, ours: str, theirs: str, batch: int) -> float | None:
    mine, other = report.rates.get((OURS, ours, batch)), report.rates.get((CTRANSLATE2, theirs, batch))
    return None if mine is None or other is None else mine / other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", type=Path, help="cpu-ISA.json")
    parser.add_argument("--out", type=Path, default=PICTURE, help="the picture (default: docs/images/speed.png)")
    args = parser.parse_args()
    reports = []
    for path in args.reports:
        try:
            reports.append(Report.read(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            parser.error(f"{path}: no report of make bench ({error!r})")
        if not any((*system, batch) in reports[-1].rates for system in SYSTEMS for batch in BATCHES):
            parser.error(f"{path}: has none of the rates that the picture shows; must be cpu-ISA.json")
    draw(reports, args.out)
    print(table(reports), end="")


if __name__ == "__main__":
    main()
