"""The parts of a job that are not done, made in this process, in several, or of answers that come from elsewhere."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, count, groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from mime_fast.corpora.answerer_spec import check_provenance
from mime_fast.corpora.answering import Answerer, RowResult
from mime_fast.corpora.chunks import CHUNK
from mime_fast.corpora.part_work import Digest, Found, PartWork, Told
from mime_fast.corpora.parts import PartResult, Parts
from mime_fast.corpora.pool import Pool
from mime_fast.corpora.progress import ProgressBar
from mime_fast.corpora.summary import Tally
from mime_fast.data.reading.reader import Reader
from mime_fast.data.reading.rows import RawRow
from mime_fast.errors import DataError

if TYPE_CHECKING:
    from mime_fast.engine.engine import Engine


class ResultChunk(NamedTuple):
    """Results of rows that follow each other, and what made them (`provenance_of`)."""

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
    loaded: Callable[[Engine], None] | None = None

    def here(self, workers: int) -> Iterator[tuple[int, PartResult]]:
        """The parts as they are done, made in this process or in several of this machine."""
        work = self._going_on()
        todo = self._todo()
        if workers == 1:
            answerer = None
            for number, rows in todo:
                answerer = answerer or self._loaded(work)
                yield number, work.make(answerer, number, rows, self._watch)
            return
        told: list[Told] = []
        with Pool(work, workers, partial(self._reported, told)) as pool:
            for made in pool.make(todo):
                _warn(told)
                yield made

    def of_answers(
        self, coming: Iterable[ResultChunk], survey: Sequence[tuple[int, str]]
    ) -> Iterator[tuple[int, PartResult]]:
        """The parts, made of the answers, in order, to all rows of parts that are not done.

        Args:
            survey: number of rows and digest of every part of the input.

        Raises:
            DataError: the answers are by two back ends, or to other rows. What `coming` raises.
        """
        self._compare_all(survey)
        seen = [self.parts.provenance] if self.parts.provenance else []
        rows = self._watched(coming, seen, sum(count for count, _ in survey))
        for number, part in groupby(rows, key=lambda one: one.place // self.part_rows):
            chunks = iter(partial(_chunk, part), [])
            first = next(chunks)  # the provenance is known from here on
            digest = partial(str, survey[number][1])
            yield number, self.work.write(number, chain([first], chunks), seen[0], digest, lambda _: None)

    def _watched(self, coming: Iterable[ResultChunk], seen: list[dict[str, Any]], total: int) -> Iterator[RowResult]:
        """The rows of all answers; none is missing, and one provenance, the first of `seen`, made them."""
        expected = (row for row in range(total) if row // self.part_rows not in self.parts.done)
        output = self.parts.places.output
        for answers in coming:
            seen.append(answers.provenance)
            check_provenance(seen[0], seen.pop() if len(seen) > 1 else seen[0])
            for one in answers.answered:
                if one.place != next(expected, None):
                    raise DataError(f"{output}: the input changed while it was read, at row {one.place}")
                yield one
            self.progress.add(Tally.of(answers.answered), total)
        if (row := next(expected, None)) is not None:
            raise DataError(f"{output}: the input changed while it was read: {row} rows came, {total} were counted")

    def _loaded(self, work: PartWork) -> Answerer:
        answerer = self.progress.timed(work.spec.make)
        if self.loaded is not None:
            self.loaded(answerer.engine)
        return answerer

    def _going_on(self) -> PartWork:
        return replace(self.work, spec=replace(self.work.spec, provenance=self.parts.provenance))

    def _todo(self) -> Iterator[tuple[int, Iterator[RawRow]]]:
        """The parts that are not done, each with its rows, which the caller reads before it asks for the next."""
        rows = iter(self.reader)
        for number in count():
            part = islice(rows, self.part_rows)
            if (first := next(part, None)) is None:
                self._compare_count(number)
                return
            whole = chain([first], part)
            if number not in self.parts.done:
                yield number, whole
            else:
                digest = Digest(whole)
                self._compare(number, sum(1 for _ in digest), digest.hexdigest())

    def _compare_all(self, survey: Sequence[tuple[int, str]]) -> None:
        self._compare_count(len(survey))
        for number in sorted(self.parts.done):
            self._compare(number, *survey[number])

    def _compare(self, number: int, rows: int, digest: str) -> None:
        """DataError where the rows of a part that is done are not those it was made of."""
        done = self.parts.done[number]
        if (rows, digest) != (done.tally.rows, done.digest):
            raise self._differs(number)
        self.progress.skip(rows)

    def _compare_count(self, parts: int) -> None:
        if self.parts.done and max(self.parts.done) >= parts:
            raise self._differs(max(self.parts.done))

    def _differs(self, number: int) -> DataError:
        first = number * self.part_rows
        return DataError(
            f"{self.parts.places.output}: is another job's: the input differs in part {number}, which begins with its "
            f"row {first} (from 0); give another OUT, or restart=True begins anew"
        )

    def _reported(self, told: list[Told], found: Found) -> None:
        """On a thread that must not fail; `told` are the warnings so far."""
        if isinstance(found, Tally):
            self.progress.add(found, self.reader.estimated_rows())
        elif isinstance(found, tuple):
            told.append(found)
        else:
            self.progress.loaded(found)

    def _watch(self, answered: Sequence[RowResult]) -> None:
        self.progress.add(Tally.of(answered), self.reader.estimated_rows())


def _warn(told: list[Told]) -> None:
    """Every worker's are the same, and Python shows what comes from one line once."""
    while told:
        category, text = told.pop(0)
        warnings.warn(text, category, stacklevel=2)


def _chunk(rows: Iterator[RowResult]) -> list[RowResult]:
    return list(islice(rows, CHUNK))
