"""What an answerer is made of, in this process or in another, and what distinguishes two of them."""

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

_NAMED = ("device", "backend", "isa", "precision")  # options of `load` that decide the last digits
_EXACT = "exact_logprobs"  # another, which is named only where it is on


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
    provenance = {name: facts[name] for name in (*_NAMED, _EXACT) if name in facts}
    return provenance | ({} if "isa" in facts else {"torch": version("torch")})


def check_asked(asked: Mapping[str, Any], before: Mapping[str, Any], output: str) -> None:
    """DataError where the options of `mime_fast.load` name another back end than the one that made rows of `output`."""
    precise = {"precision": "float32"} | {name: value for name, value in asked.items() if value is not None}
    for name in _NAMED:
        wanted, made = precise.get(name, "auto"), before.get(name, "auto")
        if made == "auto":
            continue
        if wanted not in ("auto", made) and not (name == "device" and str(made).startswith(f"{wanted}:")):
            raise DataError(
                f"{output}: was made by {_listed(before)}, and {name} {wanted} is asked for: name the same"
                f"{_options(before)}, give another OUT, or restart=True begins anew"
            )
    exact, made_exact = bool(asked.get(_EXACT)), _EXACT in before
    if before.get("precision") == "screened" and exact != made_exact:
        made, wanted = (f"with{'' if on else 'out'} exact log-probs" for on in (made_exact, exact))
        cure = "name" if made_exact else "leave out"
        raise DataError(
            f"{output}: was made {made}, and is asked for {wanted}: {cure} exact_logprobs, give another OUT, or "
            "restart=True begins anew"
        )


def check_provenance(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """DataError where two makers would share an output, whose bytes would then depend on who made what."""
    if now != before:
        raise DataError(
            f"rows that are done were made by {_listed(before)}, others would be by {_listed(now)}: name the same"
            f"{_options(before)}, or restart=True begins anew"
        )


def _options(provenance: Mapping[str, Any]) -> str:
    options = [f"{name}={provenance[name]!r}" for name in (*_NAMED, _EXACT) if name in provenance]
    return f" ({' '.join(options)})" if options else ""


def _listed(provenance: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in provenance.items())
