"""Search options: the one list of their names, types, defaults, checks and help.

`GenerationConfig` and `SearchOptions`, its twin for keyword arguments, are all there is to write for a new option: the
signatures of `Engine.generate` and its like, the command line, the options of systems and the checks follow from them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Real
from typing import Any, Literal, TypedDict

from mime_fast.config.checks import Config, check_bool, check_float, check_int
from mime_fast.errors import ConfigError

Search = Literal["standard", "mime"]

MAX_HYPOTHESES = 10_000  # beams, or returned sequences, of one dialogue
PENALTIES = 0.01, 100.0  # of repetition: what leaves all scores finite


@dataclass(frozen=True)
class Option:
    """What is known of an option besides its name, type and default.

    Attributes:
        help: what `--help` says.
        check: raises ConfigError for a name and a value that must not be.
        mime: whether `search="mime"` takes it.
        sampling: whether it does nothing without `do_sample`.
        engine: whether the engine sees to it, above the back ends, which never get it.
    """

    help: str
    check: Callable[[str, Any], None]
    mime: bool = False
    sampling: bool = False
    engine: bool = False


def _about(help: str, check: Callable[[str, Any], None], **which: bool) -> dict[str, Option]:
    return {"option": Option(help, check, **which)}


def _whole(low: int, high: int | None = None) -> Callable[[str, Any], None]:
    return partial(check_int, low=low, high=high)


def _number(low: float, high: float, *, open_low: bool = False) -> Callable[[str, Any], None]:
    return partial(check_float, low=low, high=high, open_low=open_low)


def _check_ids(name: str, ids: Any) -> None:
    each = ids.tolist() if hasattr(ids, "tolist") else ids  # an array, whose library costs --help a tenth of a second
    if isinstance(each, str | bytes) or not isinstance(each, Sequence):
        raise ConfigError(f"{name}={ids!r}: must be a list of token ids")
    for token in each:
        check_int(name, token, 0)


def _check_temperature(name: str, value: Any) -> None:
    if isinstance(value, Real) and value == 0 and not isinstance(value, bool):
        raise ConfigError(f"{name}={value!r}: must be above 0; the likeliest token every time is do_sample=False")
    check_float(name, value, 0.0, math.inf, open_low=True)


def _check_search(name: str, value: Any) -> None:
    if not isinstance(value, str) or value not in ("standard", "mime"):
        raise ConfigError(f"{name}={value!r}: must be 'standard' or 'mime'")


@dataclass(frozen=True)
class GenerationConfig(Config):
    """Search options, named as in Hugging Face's GenerationConfig where it has one. docs/search.md defines them.

    The defaults are the paper's: 5 beams, 30 tokens, nothing else on.
    """

    num_beams: int = field(default=5, metadata=_about("beams of the search", _whole(1, MAX_HYPOTHESES), mime=True))
    max_new_tokens: int = field(
        default=30, metadata=_about("longest reply, in tokens with the end mark", _whole(1), mime=True)
    )
    min_new_tokens: int = field(default=0, metadata=_about("shortest reply, in tokens", _whole(0), mime=True))
    do_sample: bool = field(default=False, metadata=_about("sample, or not", check_bool))
    top_k: int = field(
        default=0, metadata=_about("sample from the k likeliest tokens; 0: off", _whole(0), sampling=True)
    )
    top_p: float = field(
        default=1.0,
        metadata=_about(
            "sample from the likeliest tokens that make up this share of the probability; 1: off",
            _number(0.0, 1.0, open_low=True),
            sampling=True,
        ),
    )
    temperature: float = field(
        default=1.0,
        metadata=_about("divides the logits before sampling", _check_temperature, sampling=True),
    )
    length_penalty: float = field(
        default=1.0,
        metadata=_about("score = log-prob / length ** penalty; of no use with best_of", _number(-math.inf, math.inf)),
    )
    no_repeat_ngram_size: int = field(
        default=0, metadata=_about("no n-gram of this size twice in a reply; 0: off", _whole(0))
    )
    repetition_penalty: float = field(
        default=1.0,
        metadata=_about(
            "divides a positive score of a token that the reply already has, multiplies a negative one; 1: off",
            _number(*PENALTIES),
        ),
    )
    num_return_sequences: int = field(
        default=1,
        metadata=_about(
            "replies per dialogue, as 'candidates' in the output: best first, but samples without best_of as drawn",
            _whole(1, MAX_HYPOTHESES),
            mime=True,
        ),
    )
    best_of: int = field(
        default=1,
        metadata=_about(
            "sample so many replies, and keep the best by the model's reranker, or by likelihood and emotion; 1: off",
            _whole(1, MAX_HYPOTHESES),
            sampling=True,
            engine=True,
        ),
    )
    suppress_tokens: tuple[int, ...] = field(
        default=(), metadata=_about("ids of tokens that are never generated", _check_ids, mime=True)
    )
    search: Search = field(
        default="standard",
        metadata=_about("mime: the released code's beam, which takes only some of these", _check_search, mime=True),
    )

    def __post_init__(self) -> None:
        for name, option in OPTIONS.items():
            option.check(name, getattr(self, name))
        object.__setattr__(self, "suppress_tokens", tuple(map(int, self.suppress_tokens)))
        self._check_together()
        self._make_plain()

    def _check_together(self) -> None:
        if self.min_new_tokens > self.max_new_tokens:
            raise ConfigError(
                f"min_new_tokens={self.min_new_tokens}: must be at most max_new_tokens={self.max_new_tokens}"
            )
        if self.search == "mime":
            changed = [
                f"{name}={getattr(self, name)!r}"
                for name, option in OPTIONS.items()
                if not option.mime and getattr(self, name) != getattr(GenerationConfig, name)
            ]
            if changed:
                taken = ", ".join(name for name, option in OPTIONS.items() if option.mime and name != "search")
                raise ConfigError(f"search='mime' is the released beam: it takes {taken}, not {', '.join(changed)}")
        if self.do_sample and self.num_beams > 1:
            raise ConfigError(f"do_sample=True with num_beams={self.num_beams}: sampling takes num_beams=1")
        if self.do_sample and 1 < self.best_of < self.num_return_sequences:
            raise ConfigError(
                f"num_return_sequences={self.num_return_sequences}: must be at most best_of={self.best_of}"
            )
        if not self.do_sample and self.num_return_sequences > self.num_beams:
            raise ConfigError(
                f"num_return_sequences={self.num_return_sequences}: must be at most num_beams={self.num_beams} "
                "without do_sample"
            )

    def to_search(self) -> dict[str, Any]:
        """A JSON-ready dict of what a back end's search takes."""
        return {name: value for name, value in self.to_dict().items() if not OPTIONS[name].engine}


class SearchOptions(TypedDict, total=False):
    """The options of one call as keyword arguments; None: the model's own value."""

    num_beams: int | None
    max_new_tokens: int | None
    min_new_tokens: int | None
    do_sample: bool | None
    top_k: int | None
    top_p: float | None
    temperature: float | None
    length_penalty: float | None
    no_repeat_ngram_size: int | None
    repetition_penalty: float | None
    num_return_sequences: int | None
    best_of: int | None
    suppress_tokens: Sequence[int] | None
    search: Search | None


OPTIONS: dict[str, Option] = {field.name: field.metadata["option"] for field in dataclasses.fields(GenerationConfig)}
