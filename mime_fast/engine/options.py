"""From the model's defaults and a call's options to one checked GenerationConfig."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from mime_fast.config.generation import GenerationConfig, Search
from mime_fast.errors import ConfigError

SAMPLING = ("top_k", "top_p", "temperature")


class SearchOptions(TypedDict, total=False):
    """The search options of a call; None: the model's own value."""

    num_beams: int | None
    max_new_tokens: int | None
    min_new_tokens: int | None
    do_sample: bool | None
    top_k: int | None
    top_p: float | None
    temperature: float | None
    length_penalty: float | None
    no_repeat_ngram_size: int | None
    num_return_sequences: int | None


def resolve_options(
    defaults: GenerationConfig, search: Search, given: Mapping[str, Any], max_positions: int
) -> GenerationConfig:
    """The options of a call; None in `given` means the model's default.

    `search="mime"` starts from the defaults' beams (the paper's 5 where they sample) and length alone. Where only one
    of `do_sample` and `num_beams` is given, the other gives way: sampling has one beam, several beams do not sample.

    Raises:
        ConfigError: an option, or a combination of them, is not allowed.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    if search == "mime":
        num_beams = GenerationConfig.num_beams if defaults.do_sample else defaults.num_beams
        base = GenerationConfig(num_beams=num_beams, max_new_tokens=defaults.max_new_tokens, search="mime")
        changes = chosen
    else:
        base = defaults
        changes = {"search": search, **_settle(defaults, chosen)}
    options = base.replace(**changes)
    if options.max_new_tokens > max_positions:
        raise ConfigError(f"max_new_tokens={options.max_new_tokens}: at most {max_positions} positions are allowed")
    return options


def _settle(defaults: GenerationConfig, chosen: dict[str, Any]) -> dict[str, Any]:
    """The call's options with what follows from them; options that would have no effect are refused."""
    if chosen.get("do_sample") and "num_beams" not in chosen:
        return {**chosen, "num_beams": 1}
    beams = chosen.get("num_beams", defaults.num_beams)
    if defaults.do_sample and "do_sample" not in chosen and beams != 1:
        chosen = {**chosen, "do_sample": False}
    if not chosen.get("do_sample", defaults.do_sample):
        idle = [f"{name}={chosen[name]!r}" for name in SAMPLING if name in chosen]
        if idle:
            raise ConfigError(f"{', '.join(idle)} without do_sample=True: sampling options need it")
    return chosen
