"""Rows to records: a thread runs the engine on a chunk while the caller's reads the next and writes the last."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mime_fast.corpora.chunks import CHUNK, full
from mime_fast.corpora.tasks import Ready, Task
from mime_fast.data.dialogues import Row
from mime_fast.data.reading.rows import BadRow, RawRow, bad_row, check
from mime_fast.engine.results import Classification
from mime_fast.errors import BackendError, ConfigError, DataError, InputError, MimeFastError

if TYPE_CHECKING:
    from mime_fast.backends.protocol import Stop
    from mime_fast.engine.engine import Engine
    from mime_fast.engine.results import Reply, Score


Found = tuple[list[Row | BadRow], Ready | None, Any]  # rows, the good ones as the back end took them, what it returned


@dataclass(frozen=True)
class RowResult:
    """A row's record and what is counted of it, or the bad row."""

    place: int  # over all inputs, from 0
    record: dict[str, Any] | None
    bad: BadRow | None = None
    tokens: int = 0  # scored or generated, the end mark counted
    logprob: float = 0.0  # their sum

    @classmethod
    def of(cls, place: int, record: dict[str, Any], answer: Score | Reply | Classification) -> RowResult:
        """The result of a row that was answered."""
        if isinstance(answer, Classification):
            return cls(place, record)
        return cls(place, record, None, len(answer.token_logprobs), answer.logprob)


class Answerer:
    """A task on an engine; what it gives for a row does not depend on the rows beside it."""

    def __init__(self, task: Task, engine: Engine, *, strict: bool = False) -> None:
        self.task = task
        self.engine = engine
        self.strict = strict

    def answers(self, rows: Iterable[RawRow]) -> Generator[list[RowResult], None, None]:
        """The rows in chunks and in order, each answered; see `answers_of`."""
        return self.answers_of(full(rows))

    def answers_of(self, chunks: Iterable[list[RawRow]]) -> Generator[list[RowResult], None, None]:
        """The rows of each chunk, answered. A short chunk says that the next may be long in coming: none is waited for.

        What the back end works on is stopped when the generator fails or is closed: who may leave it early closes it.

        Raises:
            DataError: a row is bad, if `strict`.
        """
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mime_fast corpora")
        running: list[tuple[list[RawRow], Future[Found]]] = []
        stop: Stop = np.zeros(1, np.uint8)
        try:
            for chunk in chunks:
                numbered = [self.task.numbered(row) for row in chunk]
                running.append((chunk, pool.submit(self._run, stop, numbered, *self._ready(numbered))))
                while len(running) > (1 if len(chunk) == CHUNK else 0):
                    yield self._results(*running.pop(0))
            for one in running:
                yield self._results(*one)
        finally:
            stop[0] = 1
            pool.shutdown(cancel_futures=True)

    def _run(self, stop: Stop, chunk: Sequence[RawRow], rows: list[Row | BadRow], ready: Ready | None) -> Found:
        """What the back end finds; rows that it cannot answer (no word is left, NaN) are bad, the others go again."""
        while ready is not None:
            try:
                return rows, ready, self.task.run(self.engine, ready, stop)
            except (BackendError, ConfigError) as error:
                if not error.dialogues:
                    raise
                rows = _without(chunk, rows, error)
                self._refuse_bad(rows)
                ready = self._fitting(rows)
        return rows, None, None

    def _results(self, chunk: Sequence[RawRow], running: Future[Found]) -> list[RowResult]:
        rows, ready, found = running.result()
        answers = iter(()) if ready is None else self.task.answers(self.engine, ready, found)
        results = []
        for raw, row in zip(chunk, rows, strict=True):
            if isinstance(row, BadRow):
                results.append(RowResult(raw.index, None, row))
            else:
                answer = next(answers)
                results.append(RowResult.of(raw.index, self.task.record(row, answer), answer))
        return results

    def checked(self, rows: Sequence[RawRow]) -> list[Row | BadRow]:
        """The rows as `answers` would take them, or why they are bad, as far as that shows before they are answered.

        Raises:
            DataError: a row is bad, if `strict`.
        """
        return self._ready([self.task.numbered(row) for row in rows])[0]

    def _ready(self, chunk: Sequence[RawRow]) -> tuple[list[Row | BadRow], Ready | None]:
        """The rows, checked, and those that are good as the back end takes them."""
        task = self.task
        rows = [
            check(raw, task.columns, need_response=task.kind == "score", strict_turns=task.strict_turns)
            for raw in chunk
        ]
        try:
            ready = self._fitting(rows)
        except InputError:
            rows = [self._alone(raw, row) for raw, row in zip(chunk, rows, strict=True)]
            ready = self._fitting(rows)
        self._refuse_bad(rows)
        return rows, ready

    def _refuse_bad(self, rows: Sequence[Row | BadRow]) -> None:
        first = next((row for row in rows if isinstance(row, BadRow)), None)
        if self.strict and first is not None:
            raise DataError(f"{first} (the first bad row; a job that is not strict leaves it out)")

    def _fitting(self, rows: Sequence[Row | BadRow]) -> Ready | None:
        good = [row for row in rows if isinstance(row, Row)]
        return self.task.ready(self.engine, good) if good else None

    def _alone(self, raw: RawRow, row: Row | BadRow) -> Row | BadRow:
        """The row, or why it does not fit the model."""
        if isinstance(row, BadRow):
            return row
        try:
            self._fitting([row])
        except InputError as error:
            reason = str(error).replace("dialogue 0", "context").replace("response 0", "response")
            return bad_row(raw, row.id, reason, malformed=False)
        return row


def _without(chunk: Sequence[RawRow], rows: Sequence[Row | BadRow], error: MimeFastError) -> list[Row | BadRow]:
    """The rows, those that the error is about as bad ones; it counts only good rows."""
    reason = error.unnumbered()
    good = [place for place, row in enumerate(rows) if isinstance(row, Row)]
    left = list(rows)
    for dialogue in error.dialogues:
        place = good[dialogue]
        left[place] = bad_row(chunk[place], rows[place].id, reason, malformed=False)
    return left
