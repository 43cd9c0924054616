"""Systems side by side: NAME=MODEL with options after it, as `evaluate`, `cases` and `human sample` take them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mime_fast.config.generation import OPTIONS as SEARCH_OPTIONS
from mime_fast.engine.engine import Engine
from mime_fast.engine.load import find_model, load
from mime_fast.errors import ConfigError

LOAD_OPTIONS = ("device", "precision", "threads", "backend", "isa")
GENERATE_OPTIONS = ("stochastic", "seed", *(name for name in SEARCH_OPTIONS if name != "num_return_sequences"))
OPTIONS = (*LOAD_OPTIONS, *GENERATE_OPTIONS)
_SEPARATOR = re.compile(r",(?![^\[\]]*\])")  # a comma that is in no [list]
_FORBIDDEN = ":=,"  # they part names from paths, options and other names


@dataclass(frozen=True)
class System:
    """One system beside others: its name in reports, a model (folder or shipped name) or a file, and options."""

    name: str
    source: str
    options: Mapping[str, Any]

    @property
    def is_file(self) -> bool:
        return Path(self.source).is_file()

    @property
    def load_options(self) -> dict[str, Any]:
        return {name: value for name, value in self.options.items() if name in LOAD_OPTIONS}

    @property
    def generate_options(self) -> dict[str, Any]:
        return {name: value for name, value in self.options.items() if name in GENERATE_OPTIONS}

    def load(self, **defaults: Any) -> Engine:
        """The engine; the system's own options of `mime_fast.load` replace the defaults."""
        return load(self.source, **(defaults | self.load_options))


def parse_system(text: str, options: Sequence[str] = OPTIONS, *, files: bool = False) -> System:
    """NAME=MODEL[,option=value...], for instance `MIME w/o STC=mime-ed,stochastic=false`.

    Values are read as JSON, else as text. A comma that is not followed by `word=` belongs to the path.

    Args:
        options: those of `mime_fast.load` and `Engine.generate` that are allowed.
        files: a file may take the place of a model, without options.

    Raises:
        ConfigError: no name or source, a sign in the name that parts names, an unknown option, or one given twice.
    """
    name, sign, rest = text.partition("=")
    name = name.strip()
    if not sign or not name or not rest or any(mark in name for mark in _FORBIDDEN) or not name.isprintable():
        form = "NAME=MODEL_OR_FILE" if files else "NAME=MODEL"
        raise ConfigError(f"{text!r}: must be {form}, without any of {_FORBIDDEN!r} in the name")
    pieces = _SEPARATOR.split(rest)
    given: dict[str, Any] = {}
    while len(pieces) > 1 and _is_option(pieces[-1]):
        key, _, value = pieces.pop().partition("=")
        if key in given:
            raise ConfigError(f"{text!r}: {key} is given twice")
        given[key] = _value(value)
    unknown = [key for key in given if key not in options]
    if unknown:
        allowed = f"must be one of {', '.join(options)}" if options else "must have no options here"
        what = "option" if unknown[0] in OPTIONS else "unknown option"
        raise ConfigError(f"{text!r}: {what} {unknown[0]!r}; {allowed}")
    system = System(name, ",".join(pieces), dict(sorted(given.items())))
    if given and files and system.is_file:
        raise ConfigError(f"{text!r}: options are for models; {system.source} is a file of replies")
    return system


def check_systems(systems: Sequence[System], *, files: bool = False) -> None:
    """ConfigError or CheckpointError before any work: none, a name twice, or a source that is not there."""
    if not systems:
        raise ConfigError(f"no models; there must be at least one {'NAME=MODEL_OR_FILE' if files else 'NAME=MODEL'}")
    names = [system.name for system in systems]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"models: {', '.join(map(repr, twice))} given more than once; names must differ")
    for system in systems:
        if not (files and system.is_file):
            find_model(system.source)


def _is_option(piece: str) -> bool:
    key, sign, _ = piece.partition("=")
    return bool(sign) and key.isidentifier()


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
