"""The searches that figures are of: three that are the same for all models, and each model's own default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from mime_fast.config.generation import OPTIONS, GenerationConfig

Search = Literal["greedy", "beam", "long", "default"]

BEAM: dict[str, Any] = {  # the paper's search, whatever the model's own defaults are, but for words it never says
    name: getattr(GenerationConfig, name)
    for name, option in OPTIONS.items()
    if not option.sampling and name != "suppress_tokens"
}
LONG = BEAM | {"length_penalty": 1.5, "no_repeat_ngram_size": 3}  # replies about as long as people's, without loops
SEARCHES: Mapping[Search, Mapping[str, Any]] = {
    "greedy": BEAM | {"num_beams": 1},
    "beam": BEAM,
    "long": LONG,
    "default": {},
}
