"""What all configs share: their JSON form, and checks of single values."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Self

from mime_fast.errors import ConfigError

MAX_SEED = 2**64 - 1


class Config:
    """JSON form and replacement shared by the configs; unknown keys are errors, never ignored."""

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, where: str = "config") -> Self:
        """Build from a JSON object.

        Raises:
            ConfigError: it is none, a key is unknown or missing (one message names all), or a value is not allowed.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"{where} is of type {type(values).__name__}; must be a JSON object (dict)")
        fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(map(repr, set(values) - set(fields)))
        missing = sorted(
            name
            for name, field in fields.items()
            if name not in values
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        )
        faults = [f"unknown key {name}" for name in unknown] + [f"missing key {name!r}" for name in missing]
        if faults:
            raise ConfigError(f"{where}: {'; '.join(faults)}; allowed keys: {', '.join(fields)}")
        try:
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()  # type: ignore[call-overload]
        }

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed (and validated).

        Raises:
            ConfigError: an unknown key (one message names all), or a value that is not allowed.
        """
        fields = [field.name for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        unknown = sorted(changes.keys() - fields)
        if unknown:
            faults = "; ".join(f"unknown key {name!r}" for name in unknown)
            raise ConfigError(f"{type(self).__name__}: {faults}; allowed keys: {', '.join(fields)}")
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def _make_plain(self) -> None:
        """Turn numbers of other libraries into Python's own, which JSON can represent."""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Real) and not isinstance(value, bool | int | float):
                object.__setattr__(self, field.name, int(value) if isinstance(value, Integral) else float(value))


def check_int(name: str, value: object, low: int, high: int | None = None) -> None:
    bound = f"{low} or more" if high is None else f"{low} to {high}"
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or int(value) < low or (high is not None and int(value) > high):  # type: ignore[call-overload]
        raise ConfigError(f"{name}={value!r}: must be an integer of {bound}")


def check_float(name: str, value: object, low: float, high: float, *, open_low: bool = False) -> None:
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # an integer beyond all floats
            number = float(value)
    if not math.isfinite(number) or not low <= number <= high or (open_low and number == low):
        bound = "" if math.isinf(low) else f" {'above' if open_low else 'from'} {low:g}"
        bound += "" if math.isinf(high) else f" to {high:g}"
        raise ConfigError(f"{name}={value!r}: must be a finite number{bound}")


def check_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"{name}={value!r}: must be true or false")


def check_path(name: str, value: object) -> None:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str) or "\0" in path:
        raise ConfigError(f"{name}={value!r}: must be a path, a str or Path without NUL characters")
