"""What each system of a study replies: a model's own generation, or a file of replies that were made elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mime_fast.data.dialogue_checks import check_encodable
from mime_fast.data.dialogues import parse_line
from mime_fast.engine.engine import Engine
from mime_fast.errors import DataError, InputError
from mime_fast.evaluation.human.sampling import Instance
from mime_fast.evaluation.systems import System

_SHOWN = 10  # missing ids that a message names


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
    # the files first: what is wrong in one is said before a model has worked
    read = {system.name: read_replies(system.source, instances) for system in systems if system.is_file}
    said: dict[str, list[str]] = {}
    for system in systems:
        tell(f"{system.name}: {system.source}")
        said[system.name] = read[system.name] if system.is_file else _generate(system.load(), system, instances, seed)
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
            raise DataError(f"{path}, line {number}: a second, different reply to {reply_id!r}; there must be only one")
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
        reply_id, text = values.get("id"), values.get("text")
        if not isinstance(reply_id, str | int) or isinstance(reply_id, bool):
            raise InputError(f"id={reply_id!r}; the id of a dialogue is expected")
        if not isinstance(text, str):
            raise InputError(f"text={text!r}; the text of a reply is expected")
        check_encodable(str(reply_id), "id")
        check_encodable(text, "text")
    except InputError as error:
        raise DataError(f"{where}: {error}") from None
    return str(reply_id), text.strip()


def _generate(engine: Engine, system: System, instances: Sequence[Instance], seed: int) -> list[str]:
    contexts = [instance.context for instance in instances]
    return [reply.text for reply in engine.generate(contexts, **({"seed": seed} | system.generate_options))]
