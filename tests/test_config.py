"""Options: numbers of any library, and numbers that no option can have."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MimeConfig
from mime_fast.errors import ConfigError


def test_numbers_of_other_libraries_become_plain() -> None:
    given: dict[str, Any] = {
        "num_beams": np.int64(3),
        "top_p": np.float32(0.5),
        "temperature": Fraction(1, 2),
        "length_penalty": np.float64(0.25),
        "suppress_tokens": (np.int32(0), 5),
    }
    options = GenerationConfig(**given)
    plain = GenerationConfig(num_beams=3, top_p=0.5, temperature=0.5, length_penalty=0.25, suppress_tokens=(0, 5))
    assert options == plain
    assert json.loads(json.dumps(options.to_dict())) == json.loads(json.dumps(plain.to_dict()))
    vocab_size: Any = np.int64(20)
    sizes = MimeConfig.paper(vocab_size, dropout=np.float32(0.5))
    assert json.loads(json.dumps(sizes.to_dict())) == MimeConfig.paper(20, dropout=0.5).to_dict()


def test_ids_come_in_an_array_too() -> None:
    ids: Any = np.array([9, 12])
    assert GenerationConfig(suppress_tokens=ids) == GenerationConfig(suppress_tokens=(9, 12))


@pytest.mark.parametrize("values", [None, [], "x", 3])
def test_what_is_no_object_is_refused(values: Any) -> None:
    with pytest.raises(ConfigError, match=f"config is of type {type(values).__name__}; must be a JSON object"):
        GenerationConfig.from_dict(values)


def test_replace_names_unknown_keys() -> None:
    changes: Any = {"beams": 3, "top": 1}
    with pytest.raises(
        ConfigError, match="GenerationConfig: unknown key 'beams'; unknown key 'top'; allowed keys: num_b"
    ):
        GenerationConfig().replace(**changes)


def test_unknown_keys_of_any_type_are_named() -> None:
    values: Any = {1: 2, "a": 3}
    with pytest.raises(ConfigError, match="config: unknown key 'a'; unknown key 1; allowed keys: num_beams, "):
        GenerationConfig.from_dict(values)


@pytest.mark.parametrize("name", ["vocab_size", "hidden_size", "num_layers", "context_layers", "max_positions"])
def test_no_size_is_beyond_what_the_engine_takes(name: str) -> None:
    largest = MimeConfig.paper(20).replace(**{name: 2**20})
    with pytest.raises(ConfigError, match=rf"{name}=1048578: must be an integer of \d to 1048576"):
        largest.replace(**{name: 2**20 + 2})


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("temperature", "must be a finite number above 0"),
        ("top_p", "must be a finite number above 0 to 1"),
        ("length_penalty", "must be a finite number"),
    ],
)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, True, None, "1", 1j, [1], Decimal(1)])
def test_what_is_no_number_is_refused_with_what_is_allowed(name: str, allowed: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        GenerationConfig(**{name: value})
    assert str(caught.value) == f"{name}={value!r}: {allowed}"
