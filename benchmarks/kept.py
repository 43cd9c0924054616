"""What a run has found so far, also where it ends early: figures and failures as they come, one JSON line each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import chart, report
from benchmarks.figures import Failure, Figure, to_json
from benchmarks.machine import Facts


@dataclass
class Kept:
    """The figures of a run; with a `stem` they are kept in STEM.jsonl too, until the report is written."""

    stem: Path | None = None
    figures: list[Figure] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def add(self, found: Figure | Failure) -> None:
        begins = not (self.figures or self.failures)
        if isinstance(found, Failure):
            self.failures.append(found)
        else:
            self.figures.append(found)
        if self.stem:
            self.stem.parent.mkdir(parents=True, exist_ok=True)
            with self.lines(self.stem).open("w" if begins else "a", encoding="utf-8") as stream:
                stream.write(json.dumps(to_json(found)) + "\n")

    @staticmethod
    def lines(stem: Path) -> Path:
        return stem.with_name(stem.name + ".jsonl")

    def write(self, facts: Facts, engines: Mapping[str, object], ended: str) -> str:
        """STEM.md, .json and .png; returns why there is no picture, or nothing.

        Args:
            ended: how a run ended that did not finish; empty if it did.
        """
        if not self.stem or not (self.figures or self.failures):
            return ""
        text = report.markdown(self.figures, facts, self.failures, ended)
        self.stem.with_name(self.stem.name + ".md").write_text(text, encoding="utf-8")
        numbers = report.as_json([*self.figures, *self.failures], facts, dict(engines))
        self.stem.with_name(self.stem.name + ".json").write_text(numbers, encoding="utf-8")
        self.lines(self.stem).unlink(missing_ok=True)
        try:
            chart.draw(self.figures, self.stem.with_name(self.stem.name + ".png"))
        except Exception as error:  # the tables are there; a picture is not worth the run
            return f"no picture: {type(error).__name__}: {error}"
        return ""
