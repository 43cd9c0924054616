"""What an answerer is made of, in this process or in another, and what tells two of them apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from mime_fast.corpora.answering import Answerer
from mime_fast.corpora.tasks import Task
from mime_fast.errors import DataError

if TYPE_CHECKING:
    from mime_fast.engine.engine import Engine


@dataclass(frozen=True)
class AnswererSpec:
    """A task, and the engine it wants."""

    task: Task
    model: str | None = None
    load_options: Mapping[str, Any] = field(default_factory=dict)  # of mime_fast.load
    strict: bool = False
    provenance: Mapping[str, Any] | None = None  # what made the rows that are done

    def make(self) -> Answerer:
        """Load the engine. DataError: it is not `provenance`."""
        from mime_fast.engine.load import load

        engine = load(self.model, **self.load_options)
        if self.provenance is not None:
            check_provenance(self.provenance, provenance_of(engine))
        return Answerer(self.task, engine, strict=self.strict)


def provenance_of(engine: Engine) -> dict[str, Any]:
    """What decides the last digits of an engine's figures."""
    facts = engine.describe()
    provenance = {name: facts[name] for name in ("device", "backend", "isa", "precision") if name in facts}
    return provenance | ({} if "isa" in facts else {"torch": version("torch")})


def check_provenance(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """DataError where two makers would share an output, whose bytes would then depend on who made what."""
    if now != before:
        raise DataError(
            f"rows that are done were made by {_listed(before)}, others would be by {_listed(now)}: "
            "name the same (--device, --backend, --isa), or --restart begins anew"
        )


def _listed(provenance: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in provenance.items())
