"""Systems side by side: NAME=MODEL with options after it, as `evaluate`, `cases` and `human sample` take them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mime_fast.backends.select import Wanted
from mime_fast.checkpoints.model_folder import GENERATION, read_json
from mime_fast.config.checks import MAX_SEED, check_bool, check_int
from mime_fast.config.generation import OPTIONS as SEARCH_OPTIONS
from mime_fast.config.generation import GenerationConfig
from mime_fast.engine.engine import Engine
from mime_fast.engine.load import LoadOptions, find_model, load
from mime_fast.engine.options import resolve_options
from mime_fast.errors import BackendError, ConfigError

LOAD_OPTIONS = ("device", "precision", "threads", "batch_size", "backend", "isa", "exact_logprobs")
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
    _check_names(given, options, where=repr(text))
    system = System(name, ",".join(pieces), dict(sorted(given.items())))
    if given and files and system.is_file:
        raise ConfigError(f"{text!r}: options are for models; {system.source} is a file of replies")
    return system


def systems_of(given: object) -> list[System]:
    """The systems as a list. ConfigError: something else than systems, and not several of them."""
    systems = list(given) if isinstance(given, Iterable) and not isinstance(given, str | bytes) else None
    if systems is None or not all(isinstance(system, System) for system in systems):
        raise ConfigError(f"systems={given!r:.80}: must be a list of System")
    for system in systems:
        for name, value in (("name", system.name), ("source", system.source)):
            if not isinstance(value, str):
                raise ConfigError(f"{name} of a System={value!r}: must be a str")
        if not isinstance(system.options, Mapping):
            raise ConfigError(f"{system.name}: options={system.options!r}: must be a dict")
    return systems


def check_systems(
    systems: Sequence[System],
    options: Sequence[str] = OPTIONS,
    *,
    load_options: Mapping[str, Any] | None = None,
    search: Mapping[str, Any] | None = None,
    files: bool = False,
) -> None:
    """What can be known of all systems before any work with one of them.

    Args:
        options, files: as for `parse_system`.
        load_options, search: of `mime_fast.load` and the search, for models without their own.

    Raises:
        ConfigError: no system, a name twice, or an option that is not allowed, has such a value, or does not go with
            the others and the model's own.
        CheckpointError: a source that is not there, or whose search options cannot be read.
        BackendError: what a model is to be loaded with cannot run here.
    """
    if not systems:
        raise ConfigError(f"no models; there must be at least one {'NAME=MODEL_OR_FILE' if files else 'NAME=MODEL'}")
    names = [system.name for system in systems]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"models: {', '.join(map(repr, twice))} given more than once; names must differ")
    _check_names(load_options or {}, tuple(LoadOptions.__annotations__), where="load_options")
    for system in systems:
        _check_names(system.options, options, where=system.name)
        if not (files and system.is_file):
            folder = find_model(system.source)
            _check_loading(system, load_options or {})
            _check_generating(system, folder, search or {})


def _check_names(given: Mapping[str, Any], allowed: Sequence[str], *, where: str) -> None:
    """ConfigError for the first option that is not among those allowed."""
    for name in given:
        if name not in allowed:
            what = "option" if name in OPTIONS else "unknown option"
            rule = f"must be one of {', '.join(map(repr, allowed))}" if allowed else "must have no options here"
            raise ConfigError(f"{where}: {what} {name!r}; {rule}")


def _check_loading(system: System, defaults: Mapping[str, Any]) -> None:
    wanted = dict(defaults) | system.load_options
    if not wanted:
        return
    try:
        Wanted(**wanted)
    except (ConfigError, BackendError) as error:
        if not system.load_options:
            raise
        raise type(error)(f"{system.name}: {error}") from None


def _check_generating(system: System, folder: Path, defaults: Mapping[str, Any]) -> None:
    given = dict(system.generate_options)
    try:
        check_bool("stochastic", given.pop("stochastic", True))
        check_int("seed", given.pop("seed", 0), 0, MAX_SEED)
        if given or defaults:
            own = GenerationConfig.from_dict(read_json(folder / GENERATION), where=GENERATION)
            resolve_options(own, {**defaults, **given}, sys.maxsize)
    except ConfigError as error:
        raise ConfigError(f"{system.name}: {error}") from None


def _is_option(piece: str) -> bool:
    key, sign, _ = piece.partition("=")
    return bool(sign) and key.isidentifier()


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
