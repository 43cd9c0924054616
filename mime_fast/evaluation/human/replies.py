"""What each system of a study replies: a model's own generation, or a file of replies that were made elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mime_fast.data.dialogues import parse_line
from mime_fast.engine.engine import Engine
from mime_fast.engine.load import find_model, load
from mime_fast.errors import ConfigError, DataError, InputError
from mime_fast.evaluation.human.sampling import Instance

LOAD_OPTIONS = ("device", "precision", "threads", "backend", "isa")
GENERATE_OPTIONS = (
    *("stochastic", "seed", "search", "num_beams", "max_new_tokens", "min_new_tokens", "do_sample", "top_k", "top_p"),
    *("temperature", "length_penalty", "no_repeat_ngram_size"),
)
_FORBIDDEN = ":=,"  # they part names from paths, options and other names
_SHOWN = 10  # missing ids that a message names


@dataclass(frozen=True)
class System:
    """One system to be judged: its name in reports, a model (folder or shipped name) or a file, and options."""

    name: str
    source: str
    options: Mapping[str, Any]

    @property
    def is_file(self) -> bool:
        return Path(self.source).is_file()


def parse_system(text: str) -> System:
    """NAME=MODEL_OR_FILE[,option=value...], for instance `MIME w/o STC=mime-ed,stochastic=false`.

    Options are those of `mime_fast.load` and `Engine.generate`; values are read as JSON, else as text. A comma that is
    not followed by `word=` belongs to the path.

    Raises:
        ConfigError: no name or source, a sign in the name that parts names, an unknown option, or one given twice.
    """
    name, sign, rest = text.partition("=")
    name = name.strip()
    if not sign or not name or not rest or any(mark in name for mark in _FORBIDDEN) or not name.isprintable():
        raise ConfigError(f"{text!r}: NAME=MODEL_OR_FILE is allowed, without any of {_FORBIDDEN!r} in the name")
    pieces = rest.split(",")
    given: dict[str, Any] = {}
    while len(pieces) > 1 and _is_option(pieces[-1]):
        key, _, value = pieces.pop().partition("=")
        if key in given:
            raise ConfigError(f"{text!r}: {key} is given twice")
        given[key] = _value(value)
    unknown = [key for key in given if key not in (*LOAD_OPTIONS, *GENERATE_OPTIONS)]
    if unknown:
        raise ConfigError(
            f"{text!r}: unknown option {unknown[0]!r}; {', '.join((*LOAD_OPTIONS, *GENERATE_OPTIONS))} are allowed"
        )
    system = System(name, ",".join(pieces), dict(sorted(given.items())))
    if given and system.is_file:
        raise ConfigError(f"{text!r}: options are for models; {system.source} is a file of replies")
    return system


def check_systems(systems: Sequence[System]) -> None:
    """ConfigError or CheckpointError before any work: none, a name twice, or a source that is not there."""
    if not systems:
        raise ConfigError("no models; at least one NAME=MODEL_OR_FILE is allowed")
    names = [system.name for system in systems]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"models: {', '.join(map(repr, twice))} given more than once; names must differ")
    for system in systems:
        if not system.is_file:
            find_model(system.source)


def replies_of(
    systems: Sequence[System],
    instances: Sequence[Instance],
    seed: int,
    *,
    tell: Callable[[str], object] = lambda _: None,
) -> dict[str, list[str]]:
    """By system's name, its reply to each instance.

    A model gets the instance's place as request id, so `mime-fast generate` with the same seed and options gives the
    same replies to the drawn dialogues.

    Args:
        seed: of models without a `seed` of their own.
        tell: is called with a line on each system before it is asked.

    Raises:
        DataError: a file that cannot be read, has a broken line, two replies to one instance, or none to some.
        CheckpointError, ConfigError, InputError: a model or its options cannot be used, or it cannot read a dialogue.
    """
    said: dict[str, list[str]] = {}
    for system in systems:
        tell(f"{system.name}: {system.source}")
        if system.is_file:
            said[system.name] = read_replies(system.source, instances)
        else:
            options = {name: value for name, value in system.options.items() if name in LOAD_OPTIONS}
            said[system.name] = _generate(load(system.source, **options), system, instances, seed)
    return said


def read_replies(path: str, instances: Sequence[Instance]) -> list[str]:
    """Replies to the instances from JSON lines {"id", "text"}, as `mime-fast generate` writes; other ids are left."""
    wanted = {instance.id for instance in instances}
    found: dict[str, str] = {}
    try:
        lines = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        reply_id, text = _reply(line, f"{path}, line {number}")
        if reply_id not in wanted:
            continue
        if found.get(reply_id, text) != text:
            raise DataError(f"{path}, line {number}: a second, different reply to {reply_id!r}; one is allowed")
        found[reply_id] = text
    missing = [instance.id for instance in instances if instance.id not in found]
    if missing:
        named = ", ".join(missing[:_SHOWN]) + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
        raise DataError(
            f"{path}: no reply to {len(missing)} of {len(instances)} dialogues: {named}; "
            "mime-fast human sample --dialogues FILE writes the dialogues to answer"
        )
    return [found[instance.id] for instance in instances]


def _reply(line: bytes, where: str) -> tuple[str, str]:
    try:
        values = parse_line(line)
    except InputError as error:
        raise DataError(f"{where}: {error}") from None
    reply_id, text = values.get("id"), values.get("text")
    if not isinstance(reply_id, str | int) or isinstance(reply_id, bool):
        raise DataError(f"{where}: id={reply_id!r}; the id of a dialogue is expected")
    if not isinstance(text, str):
        raise DataError(f"{where}: text={text!r}; the text of a reply is expected")
    return str(reply_id), text.strip()


def _generate(engine: Engine, system: System, instances: Sequence[Instance], seed: int) -> list[str]:
    options = {name: value for name, value in system.options.items() if name in GENERATE_OPTIONS}
    contexts = [instance.context for instance in instances]
    return [reply.text for reply in engine.generate(contexts, **({"seed": seed} | options))]


def _is_option(piece: str) -> bool:
    key, sign, _ = piece.partition("=")
    return bool(sign) and key.isidentifier()


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
