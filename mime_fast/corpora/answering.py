"""Rows to records: a thread runs the engine on a chunk while the caller's reads the next and writes the last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from mime_fast.corpora.rows import BadRow, RawRow, bad_row, check
from mime_fast.corpora.tasks import Task
from mime_fast.data.dialogues import Row
from mime_fast.errors import DataError, InputError

if TYPE_CHECKING:
    from mime_fast.engine.engine import Engine

CHUNK = 512  # rows that the engine gets at once, and sorts by length among themselves


@dataclass(frozen=True)
class Answered:
    """A row's record and what is counted of it, or the bad row."""

    row: int  # over all inputs
    record: dict[str, Any] | None
    bad: BadRow | None = None
    tokens: int = 0  # scored or generated, the end mark counted
    logprob: float = 0.0  # their sum


class Answerer:
    """A task on an engine; what it gives for a row does not depend on the rows beside it."""

    def __init__(self, task: Task, engine: Engine, *, strict: bool = False) -> None:
        self.task = task
        self.engine = engine
        self.strict = strict

    def answers(self, rows: Iterable[RawRow], size: int | None = None) -> Iterator[list[Answered]]:
        """The rows in chunks and in order, each answered.

        Raises:
            DataError: a row is bad, if `strict`.
        """
        coming = iter(rows)
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mime_fast corpora")
        running: tuple[list[Row | BadRow], Future[Any]] | None = None
        try:
            while chunk := list(islice(coming, size or CHUNK)):
                ready = self._ready(chunk)
                good = [row for row in ready if isinstance(row, Row)]
                following = ready, pool.submit(self.task.answer, self.engine, good)
                if running is not None:
                    yield self._records(*running)
                running = following
            if running is not None:
                yield self._records(*running)
        finally:
            pool.shutdown(cancel_futures=True)

    def _records(self, rows: Sequence[Row | BadRow], found: Future[Any]) -> list[Answered]:
        answers = iter(found.result())
        records = []
        for row in rows:
            if isinstance(row, BadRow):
                records.append(Answered(row.index, None, row))
            else:
                answer = next(answers)
                record = self.task.record(row, answer)
                records.append(Answered(row.index, record, None, len(answer.token_logprobs), answer.logprob))
        return records

    def _ready(self, chunk: Sequence[RawRow]) -> list[Row | BadRow]:
        ready = [self._prepared(raw) for raw in chunk]
        if self.strict:
            first = next((row for row in ready if isinstance(row, BadRow)), None)
            if first is not None:
                raise DataError(f"{first} (the first bad row; without --strict it would be left out)")
        return ready

    def _prepared(self, raw: RawRow) -> Row | BadRow:
        """The row, checked, cut into tokens and known to fit the model."""
        from mime_fast.engine.inputs import prepare_responses

        task, engine = self.task, self.engine
        row = check(raw, task.columns, need_response=task.kind == "score", strict_turns=task.strict_turns)
        if isinstance(row, BadRow):
            return row
        try:
            context = engine.prepare(row.context, strict_turns=task.strict_turns, truncation=task.truncation)
            response = None
            if row.response is not None:
                (response,) = prepare_responses([row.response], engine.tokenizer, engine.config.max_positions - 1)
        except InputError as error:
            reason = str(error).replace("dialogue 0", "context").replace("response 0", "response")
            return bad_row(raw, row.id, reason, malformed=False)
        return replace(row, context=list(context), response=response)
