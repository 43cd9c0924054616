"""Case sheets: what each of several models replies to a dialogue, and the emotions behind it (Tables 6 and 7)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mime_fast.data.dialogue_checks import Utterance
from mime_fast.data.dialogues import check_row
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.data.reading.options import Columns, Reading
from mime_fast.data.reading.reader import Reader
from mime_fast.data.reading.row_values import named_values
from mime_fast.data.reading.rows import RawRow
from mime_fast.data.reading.sources import find_sources
from mime_fast.emotions import LABELS, emotion_index
from mime_fast.engine.engine import Engine
from mime_fast.engine.records import record
from mime_fast.engine.results import Reply
from mime_fast.errors import DataError, InputError
from mime_fast.evaluation.human.sampling import draw_places, pair_id
from mime_fast.evaluation.systems import System, check_systems


@dataclass(frozen=True)
class Case:
    """A dialogue to answer, with its label and the listener's own response where they are known."""

    id: str
    request_id: int
    label: str | None
    context: list[Utterance]
    gold: Utterance | None
    seed: int | None = None  # in place of the sheet's
    emotion: str | int | None = None  # whose group is mimicked, in place of the predicted one's


@dataclass(frozen=True)
class SystemReplies:
    """One model and its replies, one a case."""

    system: System
    replies: list[Reply]
    mimicry: bool  # False: a model that mimics nothing, or mixes no emotions


def cases_by_id(pairs: Sequence[Pair], ids: Sequence[str]) -> list[Case]:
    """The pairs of conversations (`ID`: all of them), or single pairs (`ID/4`), as asked for.

    Raises:
        DataError: the split has no such conversation or pair; all that are missing are named.
    """
    places: dict[str, list[int]] = {}
    for place, pair in enumerate(pairs):
        places.setdefault(pair.conv_id, []).append(place)
        places.setdefault(pair_id(pair), []).append(place)
    missing = [repr(name) for name in ids if name not in places]
    if missing:
        form = "must be a conversation's id, or that with /N for its utterance N, one of the listener's (2, 4, ...)"
        raise DataError(f"not in the split: {', '.join(missing)}; {form}")
    wanted = dict.fromkeys(place for name in ids for place in places[name])
    return [_case(pairs, place) for place in wanted]


def cases_per_emotion(pairs: Sequence[Pair], per_emotion: int, seed: int) -> list[Case]:
    """`per_emotion` pairs of each emotion, those that `mime-fast human sample` draws with this seed."""
    return [_case(pairs, place) for place in draw_places(pairs, per_emotion, seed)]


def cases_of_file(
    path: str | os.PathLike[str],
    *,
    strict_turns: bool = True,
    columns: Columns | None = None,
    reading: Reading | None = None,
) -> list[Case]:
    """Rows as for `mime-fast generate`, where `response` is the gold one and `label` the user's emotion.

    Raises:
        DataError: the file cannot be read, a row cannot be used (the message names it), or there is none.
    """
    columns = columns or Columns()
    cases: list[Case] = []
    for raw in Reader(find_sources(path, reading), columns):
        try:
            cases.append(_case_of_row(raw, columns, strict_turns))
        except InputError as error:
            raise DataError(f"{raw.file}, line {raw.row}: {error}") from None
    if not cases:
        raise DataError(f"{path}: no dialogue; at least one row is expected")
    return cases


def answer_cases(
    systems: Sequence[System],
    cases: Sequence[Case],
    *,
    seed: int = 0,
    strict_turns: bool = False,
    load_options: dict[str, Any] | None = None,
    search: dict[str, Any] | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> list[SystemReplies]:
    """Each model's replies; one model is in memory at a time.

    Args:
        seed: of cases and models without their own.
        load_options, search: of `mime_fast.load` and `Engine.generate`, for models without their own.
        tell: is called with a line on each model before it is loaded.

    Raises:
        ConfigError, CheckpointError, BackendError: a model or its options cannot be used.
        InputError: a model cannot read a dialogue; the message names both.
    """
    check_systems(systems, load_options=load_options, search=search)
    answered = []
    for system in systems:
        tell(f"{system.name}: {system.source}")
        options = (search or {}) | system.generate_options
        options["seed"] = [one.seed if one.seed is not None else options.get("seed", seed) for one in cases]
        engine = system.load(**(load_options or {}))
        _check_readable(engine, system, cases, strict_turns)
        replies = engine.generate(
            [case.context for case in cases],
            request_ids=[case.request_id for case in cases],
            emotions=[case.emotion for case in cases],
            strict_turns=strict_turns,
            **options,
        )
        answered.append(SystemReplies(system, replies, engine.config.mimics))
    return answered


def cases_json(cases: Sequence[Case], answered: Sequence[SystemReplies]) -> list[dict[str, Any]]:
    """JSON-ready: each case with every model's reply, all emotion probabilities and weights; null for no mixture."""
    return [
        {
            "id": case.id,
            "label": case.label,
            "context": case.context,
            "gold": case.gold,
            "replies": {one.system.name: _reply_json(one.replies[place], one.mimicry) for one in answered},
        }
        for place, case in enumerate(cases)
    ]


def _case(pairs: Sequence[Pair], place: int) -> Case:
    pair = pairs[place]
    return Case(pair_id(pair), place, pair.emotion, list(pair.context), pair.response)


def _case_of_row(raw: RawRow, columns: Columns, strict_turns: bool) -> Case:
    found = raw.values()
    values = named_values(found, columns, need_response=False)
    has_response = values.get("response") is not None
    row = check_row(values, raw.row, raw.index, need_response=has_response, strict_turns=strict_turns)
    label = None if found.get("label") is None else LABELS[emotion_index(found["label"])]
    return Case(str(row.id), raw.index, label, row.context, row.response, row.seed, row.emotion)


def _check_readable(engine: Engine, system: System, cases: Sequence[Case], strict_turns: bool) -> None:
    for case in cases:
        try:
            engine.prepare(case.context, strict_turns=strict_turns)
        except InputError as error:
            raise InputError(f"{system.name} cannot read {case.id}: {error}") from None


def _reply_json(reply: Reply, mimicry: bool) -> dict[str, Any]:
    found = record(reply)
    if found["mixture"] is not None:
        found["mixture"] |= {"mimicry": mimicry}
    return found
