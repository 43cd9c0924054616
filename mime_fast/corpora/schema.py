"""The columns of a job's records: nested for Parquet, flat for tables of text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mime_fast.emotions import LABELS, NEGATIVE, POSITIVE

TEXT, INTEGER, UNSIGNED, NUMBER = "string", "int64", "uint64", "float64"
Columns = dict[str, Any]  # by name: a type, a list of one type, or columns within it

_CANDIDATE: Columns = {
    "text": TEXT,
    "score": NUMBER,
    "logprob": NUMBER,
    "num_tokens": INTEGER,
    "finish_reason": TEXT,
}
_BODIES: dict[str, Columns] = {
    "score": {"logprob": NUMBER, "perplexity": NUMBER, "tokens": [TEXT], "token_logprobs": [NUMBER]},
    "generate": {"seed": UNSIGNED, **_CANDIDATE, "candidates": [_CANDIDATE]},
    "classify": {},
}
_MIXTURE: Columns = {
    "polarity": TEXT,
    "mimic_share": NUMBER,
    "positive": dict.fromkeys(POSITIVE, NUMBER),
    "negative": dict.fromkeys(NEGATIVE, NUMBER),
}


def columns_of(kind: str) -> Columns:
    """The columns of a task's records; ids are text."""
    return {
        "id": TEXT,
        "row": INTEGER,
        **_BODIES[kind],
        "emotion": TEXT,
        "emotion_probs": dict.fromkeys(LABELS, NUMBER),
        "polarity": TEXT,
        **({} if kind == "classify" else {"mixture": _MIXTURE}),
    }


def arrow_schema(kind: str) -> Any:
    """The pyarrow schema of a task's records."""
    import pyarrow as pa

    return pa.schema([(name, _arrow(each)) for name, each in columns_of(kind).items()])


def flat_names(kind: str) -> list[str]:
    """The header of a table; `a.b` is the value `b` in `a`."""
    return [".".join(path) for path in _leaves(columns_of(kind))]


def flat_values(kind: str, record: Mapping[str, Any]) -> list[object]:
    """A record's cells; a list is JSON in its cell, and what is not there is empty."""
    return [_cell(_at(record, path)) for path in _leaves(columns_of(kind))]


def _leaves(columns: Columns, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, each in columns.items():
        if isinstance(each, dict):
            yield from _leaves(each, (*before, name))
        else:
            yield (*before, name)


def _at(record: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = record
    for name in path:
        value = None if value is None else value.get(name)
    return value


def _cell(value: Any) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


def _arrow(column: Any) -> Any:
    import pyarrow as pa

    if isinstance(column, dict):
        return pa.struct([(name, _arrow(each)) for name, each in column.items()])
    if isinstance(column, list):
        return pa.list_(_arrow(column[0]))
    return getattr(pa, column)()
