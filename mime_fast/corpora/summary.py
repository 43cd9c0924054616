"""What a job counts, and the figures that come of it."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any

from mime_fast.corpora.answering import RowResult
from mime_fast.engine.results import perplexity
from mime_fast.errors import DataError

MAX_BYTES = 1 << 20  # a summary is far smaller
_NOUNS = {
    "generate": ("reply", "replies"),
    "score": ("response scored", "responses scored"),
    "classify": ("dialogue classified", "dialogues classified"),
}


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
    mean NLL; both are None where nothing was scored. `seconds` and the rates are only of this run, which read
    `rows_now` of the rows and answered `answered_now`; the others were there already. They count from the first row:
    `load_seconds` came before it. `task` is what was done.
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
    task: str = "generate"
    answered_now: int = 0
    load_seconds: float = 0.0

    @classmethod
    def of(cls, tally: Tally, now: Tally, seconds: float, *, task: str, load_seconds: float = 0.0) -> Summary:
        """The figures of a job of which this run did `now`, in `seconds` from its first row on."""
        answered = tally.rows - tally.errors
        known = task == "score" and answered > 0
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
            task=task,
            answered_now=now.rows - now.errors,
            load_seconds=round(load_seconds, 3),
        )

    def there_already(self) -> Summary:
        """The summary of a run that found all of this done, and did nothing itself."""
        return replace(
            self, rows_now=0, answered_now=0, seconds=0.0, load_seconds=0.0, rows_per_second=0.0, tokens_per_second=0.0
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        loaded = f"loaded in {_time(self.load_seconds)}; " if self.load_seconds else ""
        text = f"{loaded}{_counted(self.answered_now, *_NOUNS[self.task])} in {_time(self.seconds)}"
        if self.rows and not self.rows_now:
            text = _counted(self.answered, *_NOUNS[self.task])
        if self.answered_now > 1:
            text += f", {self.answered_now / max(self.seconds, 1e-3):,.0f} per second"
        if self.perplexity_micro is not None and self.perplexity_macro is not None:
            text += f"; perplexity {self.perplexity_micro:.2f} over tokens, {self.perplexity_macro:.2f} over rows"
        if self.rows_now < self.rows:
            there = self.rows - self.rows_now
            text += f"; {_counted(there, 'row was', 'rows were')} there already"
        text += f"; {_counted(self.errors, 'bad row', 'bad rows')} left out" if self.errors else ""
        lost = f"; about {_counted(self.lost, 'more row is', 'more rows are')} lost in damaged files"
        return text + (lost if self.lost else "")


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _time(seconds: float) -> str:
    if seconds < 0.005:
        return "less than 0.01 s"
    return f"{seconds:.{2 if seconds < 0.995 else 1}f} s"


def refuse_other_file(path: str) -> None:
    """Raise a DataError for a file that a summary would replace and that is none itself; an empty one may be."""
    if not os.path.isfile(path) or not os.path.getsize(path):
        return
    try:
        with open(path, "rb") as stream:
            found = json.loads(stream.read(MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        found = None
    names = {field.name for field in fields(Summary)}
    needed = {field.name for field in fields(Summary) if field.default is MISSING}
    if not isinstance(found, dict) or not needed <= found.keys() <= names:
        raise DataError(
            f"{path}: exists and is no summary of a job; give another summary_file, or force=True replaces it"
        )
