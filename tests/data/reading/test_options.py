"""How files are to be read: values that nobody can mean are refused."""

from __future__ import annotations

from typing import Any

import pytest

from mime_fast.data.reading.options import Columns, Reading
from mime_fast.errors import ConfigError


@pytest.mark.parametrize("wrong", [{"encoding": None}, {"delimiter": 5}, {"recursive": "yes"}, {"quoting": None}])
def test_values_of_another_type_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Reading(**wrong)


@pytest.mark.parametrize("wrong", [{"context": 5}, {"separator": 5}, {"turns": 1}])
def test_columns_of_another_type_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Columns(**wrong)
