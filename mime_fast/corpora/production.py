"""The parts of a job that are not done, made in this process, in several, or of answers that come from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, count, groupby, islice
from typing import Any, NamedTuple

from mime_fast.corpora.answerer_spec import check_provenance
from mime_fast.corpora.answering import CHUNK, RowResult
from mime_fast.corpora.part_work import Digest, PartWork
from mime_fast.corpora.parts import PartResult, Parts
from mime_fast.corpora.pool import Pool
from mime_fast.corpora.progress import ProgressBar
from mime_fast.corpora.summary import Tally
from mime_fast.data.reading.reader import Reader
from mime_fast.data.reading.rows import RawRow
from mime_fast.errors import DataError


class ResultChunk(NamedTuple):
    """ResultChunk to rows that follow each other, and what made them (`provenance_of`)."""

    provenance: dict[str, Any]
    answered: list[RowResult]


@dataclass(frozen=True)
class PendingParts:
    """What is left of a job of parts."""

    reader: Reader
    parts: Parts
    work: PartWork
    part_rows: int
    progress: ProgressBar

    def here(self, workers: int) -> Iterator[tuple[int, PartResult]]:
        """The parts as they are done, made in this process or in several of this machine."""
        work = self._going_on()
        todo = self._todo()
        if workers == 1:
            answerer = None
            for number, rows in todo:
                answerer = answerer or work.spec.make()
                yield number, work.make(answerer, number, rows, self._watch)
            return
        with Pool(work, workers) as pool:
            for number, made in pool.make(todo):
                self.progress.add(made.tally, self.reader.estimated_rows())
                yield number, made

    def of_answers(self, coming: Iterable[ResultChunk], total: int) -> Iterator[tuple[int, PartResult]]:
        """The parts, made of the answers, in order, to all rows of parts that are not done; the input has `total` rows.

        Raises:
            DataError: the answers are by two makers, or to other rows. What `coming` raises.
        """
        seen = [self.parts.provenance] if self.parts.provenance else []
        rows = self._watched(coming, seen, total)
        for number, part in groupby(rows, key=lambda one: one.row // self.part_rows):
            chunks = iter(partial(_chunk, part), [])
            first = next(chunks)  # the provenance is known from here on
            yield number, self.work.write(number, chain([first], chunks), seen[0], lambda _: None)

    def _watched(self, coming: Iterable[ResultChunk], seen: list[dict[str, Any]], total: int) -> Iterator[RowResult]:
        """The rows of all answers; none is missing, and one provenance, the first of `seen`, made them."""
        expected = (row for row in range(total) if row // self.part_rows not in self.parts.done)
        output = self.parts.files.output
        for answers in coming:
            seen.append(answers.provenance)
            check_provenance(seen[0], seen.pop() if len(seen) > 1 else seen[0])
            for one in answers.answered:
                if one.row != next(expected, None):
                    raise DataError(f"{output}: the input changed while it was read, at row {one.row}")
                yield one
            self.progress.add(Tally.of(answers.answered), total)
        if (row := next(expected, None)) is not None:
            raise DataError(f"{output}: the input changed while it was read: {row} rows came, {total} were counted")

    def _going_on(self) -> PartWork:
        return replace(self.work, spec=replace(self.work.spec, provenance=self.parts.provenance))

    def _todo(self) -> Iterator[tuple[int, Iterator[RawRow]]]:
        """The parts that are not done, each with its rows, which the caller reads before it asks for the next."""
        rows = iter(self.reader)
        for number in count():
            part = islice(rows, self.part_rows)
            if (first := next(part, None)) is None:
                return
            whole = chain([first], part)
            if number not in self.parts.done:
                yield number, whole
            else:
                self._compare(number, Digest(whole, self.work.digest))

    def _compare(self, number: int, rows: Digest) -> None:
        """Read over the rows of a part that is done; DataError where they are not those it was made of."""
        done = self.parts.done[number]
        seen = sum(1 for _ in rows)
        if seen != done.tally.rows or rows.hexdigest() != done.digest:
            raise DataError(
                f"{self.parts.files.output}: is another job's: the input differs in part {number}; "
                "--restart begins anew"
            )
        self.progress.skip(seen)

    def _watch(self, answered: Sequence[RowResult]) -> None:
        self.progress.add(Tally.of(answered), self.reader.estimated_rows())


def _chunk(rows: Iterator[RowResult]) -> list[RowResult]:
    return list(islice(rows, CHUNK))
