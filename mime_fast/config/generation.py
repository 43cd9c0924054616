"""Options of a search: names, defaults, and what is allowed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mime_fast.config.checks import Config, check_bool, check_float, check_int
from mime_fast.errors import ConfigError

Search = Literal["standard", "mime"]

MAX_HYPOTHESES = 10_000  # beams, or returned sequences, of one dialogue


@dataclass(frozen=True)
class GenerationConfig(Config):
    """Search options, named as in Hugging Face's GenerationConfig where it has one.

    The defaults are the paper's: 5 beams, 30 tokens, nothing else on.
    """

    num_beams: int = 5
    max_new_tokens: int = 30  # the EOS counts
    min_new_tokens: int = 0  # no EOS before so many tokens
    do_sample: bool = False
    top_k: int = 0  # 0: off
    top_p: float = 1.0
    temperature: float = 1.0
    length_penalty: float = 1.0  # score = logprob / count ** length_penalty
    no_repeat_ngram_size: int = 0  # 0: off
    num_return_sequences: int = 1
    suppress_tokens: tuple[int, ...] = ()  # ids that are never generated
    search: Search = "standard"

    def __post_init__(self) -> None:
        if isinstance(self.suppress_tokens, str) or not isinstance(self.suppress_tokens, Sequence):
            raise ConfigError(f"suppress_tokens={self.suppress_tokens!r}: a list of token ids is allowed")
        object.__setattr__(self, "suppress_tokens", tuple(self.suppress_tokens))
        check_int("max_new_tokens", self.max_new_tokens, 1)
        for name in ("num_beams", "num_return_sequences"):
            check_int(name, getattr(self, name), 1, MAX_HYPOTHESES)
        for name in ("min_new_tokens", "top_k", "no_repeat_ngram_size"):
            check_int(name, getattr(self, name), 0)
        check_bool("do_sample", self.do_sample)
        check_float("top_p", self.top_p, 0.0, 1.0, open_low=True)
        check_float("temperature", self.temperature, 0.0, math.inf, open_low=True)
        check_float("length_penalty", self.length_penalty, -math.inf, math.inf)
        for token in self.suppress_tokens:
            check_int("suppress_tokens", token, 0)
        if self.search not in ("standard", "mime"):
            raise ConfigError(f"search={self.search!r}: 'standard' or 'mime' is allowed")
        object.__setattr__(self, "suppress_tokens", tuple(map(int, self.suppress_tokens)))
        self._check_together()
        self._make_plain()

    def _check_together(self) -> None:
        if self.min_new_tokens >= self.max_new_tokens:
            raise ConfigError(
                f"min_new_tokens={self.min_new_tokens}: less than max_new_tokens={self.max_new_tokens} is allowed"
            )
        if self.do_sample and self.num_beams > 1:
            raise ConfigError(f"do_sample=True with num_beams={self.num_beams}: sampling takes num_beams=1")
        if not self.do_sample and self.num_return_sequences > self.num_beams:
            raise ConfigError(
                f"num_return_sequences={self.num_return_sequences}: at most num_beams={self.num_beams} is allowed "
                "without do_sample"
            )
        if self.search == "mime":
            allowed = ("num_beams", "max_new_tokens", "min_new_tokens", "num_return_sequences", "search")
            changed = [
                f"{field.name}={getattr(self, field.name)!r}"
                for field in dataclasses.fields(self)
                if field.name not in allowed and getattr(self, field.name) != field.default
            ]
            if changed:
                raise ConfigError(
                    f"search='mime' is the released beam: it takes num_beams, max_new_tokens, min_new_tokens and "
                    "num_return_sequences, "
                    f"not {', '.join(changed)}"
                )
