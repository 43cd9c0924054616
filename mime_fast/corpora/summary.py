"""What a job counts, and the figures that come of it."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mime_fast.corpora.answering import RowResult
from mime_fast.engine.results import perplexity
from mime_fast.errors import DataError

MAX_BYTES = 1 << 20  # a summary is far smaller


@dataclass
class Tally:
    """Counts and sums of some rows; those of parts add up to those of the job, in the order of the parts."""

    rows: int = 0  # read, bad ones too
    errors: int = 0
    lost: int = 0  # about so many more, which damaged files did not give
    tokens: int = 0  # scored or generated, end marks counted
    logprob: float = 0.0  # sum over tokens
    nll: float = 0.0  # sum over rows of the mean a token
    emotions: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, answered: Sequence[RowResult]) -> Tally:
        """The counts of some rows."""
        tally = cls()
        tally.add(answered)
        return tally

    def add(self, answered: Sequence[RowResult]) -> None:
        self.rows += len(answered)
        for one in answered:
            if one.record is None:
                self.errors += 1
                self.lost += one.bad.lost - 1 if one.bad is not None else 0
                continue
            emotion = one.record["emotion"]
            self.tokens += one.tokens
            self.logprob += one.logprob
            self.nll -= one.logprob / max(1, one.tokens)
            self.emotions[emotion] = self.emotions.get(emotion, 0) + 1

    @classmethod
    def total(cls, parts: Iterable[Tally]) -> Tally:
        whole, emotions = cls(), Counter[str]()
        logprobs, nlls = [], []
        for part in parts:
            whole.rows += part.rows
            whole.errors += part.errors
            whole.lost += part.lost
            whole.tokens += part.tokens
            emotions.update(part.emotions)
            logprobs.append(part.logprob)
            nlls.append(part.nll)
        whole.logprob, whole.nll = math.fsum(logprobs), math.fsum(nlls)
        whole.emotions = dict(sorted(emotions.items(), key=lambda item: (-item[1], item[0])))
        return whole

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Summary:
    """What a job did.

    `perplexity_micro` is exp of the mean NLL over all tokens, `perplexity_macro` exp of the mean over rows of a row's
    mean NLL; both are None where nothing was scored. `seconds` and the rates are only of this run, which answered
    `rows_now` of the rows; the others were there already.
    """

    rows: int
    answered: int
    errors: int
    lost: int
    tokens: int
    perplexity_micro: float | None
    perplexity_macro: float | None
    emotions: dict[str, int]
    seconds: float
    rows_now: int
    rows_per_second: float
    tokens_per_second: float

    @classmethod
    def of(cls, tally: Tally, now: Tally, seconds: float, *, scored: bool) -> Summary:
        answered = tally.rows - tally.errors
        known = scored and answered > 0
        return cls(
            rows=tally.rows,
            answered=answered,
            errors=tally.errors,
            lost=tally.lost,
            tokens=tally.tokens,
            perplexity_micro=perplexity(-tally.logprob / tally.tokens) if known else None,
            perplexity_macro=perplexity(tally.nll / answered) if known else None,
            emotions=tally.emotions,
            seconds=round(seconds, 3),
            rows_now=now.rows,
            rows_per_second=round(now.rows / max(seconds, 1e-9), 1),
            tokens_per_second=round(now.tokens / max(seconds, 1e-9), 1),
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        text = f"{self.answered} of {self.rows} rows answered in {self.seconds:.1f} s"
        text += f" ({self.rows_per_second:.0f} rows/s, {self.tokens_per_second:.0f} tokens/s)"
        if self.perplexity_micro is not None and self.perplexity_macro is not None:
            text += f"; perplexity {self.perplexity_micro:.2f} over tokens, {self.perplexity_macro:.2f} over rows"
        if self.rows_now < self.rows:
            text += f"; {self.rows - self.rows_now} rows were there already"
        text += f"; {self.errors} bad rows left out" if self.errors else ""
        return text + (f"; about {self.lost} rows more are lost in damaged files" if self.lost else "")


def refuse_other_file(path: str) -> None:
    """Raise a DataError for a file that a summary would replace and that is none itself; an empty one may be."""
    if not os.path.isfile(path) or not os.path.getsize(path):
        return
    try:
        with open(path, "rb") as stream:
            found = json.loads(stream.read(MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.keys() != {field.name for field in fields(Summary)}:
        raise DataError(f"{path}: exists and is no summary of a job; give another --summary, or --force replaces it")
