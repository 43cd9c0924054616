"""JSON in which a name that comes twice in one object has no value that could be read for the other."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Several:
    """The values of one name in one object. It is of no type that a dialogue has, so whoever reads it refuses it."""

    values: tuple[object, ...]

    def __repr__(self) -> str:
        return f"{len(self.values)} values of one name ({', '.join(map(repr, self.values))})"


def object_of(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The object with these names and values."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    values: dict[str, list[object]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return {name: many[0] if len(many) == 1 else Several(tuple(many)) for name, many in values.items()}


decoded = json.JSONDecoder(object_pairs_hook=object_of).decode
