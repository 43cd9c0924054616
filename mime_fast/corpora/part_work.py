"""One part of a job, answered and made final; in this process or in one of several."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing.connection import Connection, wait
from multiprocessing.synchronize import Lock
from typing import Any

from mime_fast.corpora.answerer_spec import AnswererSpec, provenance_of
from mime_fast.corpora.answering import Answerer, RowResult
from mime_fast.corpora.parts import PartResult, write_part
from mime_fast.corpora.places import StateFiles
from mime_fast.corpora.summary import Tally
from mime_fast.data.reading.rows import RawRow
from mime_fast.files import named_writer

Watch = Callable[[list[RowResult]], None]
Told = tuple[type[Warning], str]  # a warning
Found = float | Tally | Told  # seconds that loading took, what is counted of some rows, or what was warned of
Report = Callable[[Found], None]


@dataclass(frozen=True)
class PartWork:
    """How a part is made."""

    spec: AnswererSpec
    files: StateFiles

    def make(self, answerer: Answerer, number: int, rows: Iterable[RawRow], watch: Watch) -> PartResult:
        """Answer the rows, and make the part final. OSError: the disk is full, for instance."""
        hashed = Digest(rows)
        with closing(answerer.answers(hashed)) as answers:
            return self.write(number, answers, provenance_of(answerer.engine), hashed.hexdigest, watch)

    def write(
        self,
        number: int,
        answers: Iterable[list[RowResult]],
        provenance: Mapping[str, Any],
        digest: Callable[[], str],
        watch: Watch,
    ) -> PartResult:
        """Make a part of answers final; `digest` is asked for the rows' once all answers are there.

        Raises:
            DataError: a folder has room for no more parts.
        """
        places, kind = self.files.places, self.spec.task.kind
        places.check_part(number)
        data, errors = self.files.scratch(f"data-{number}"), self.files.scratch(f"errors-{number}")
        tally = Tally()
        try:
            with named_writer(data, places.output) as stream, named_writer(errors, places.output) as error_stream:
                writer = places.format.writer(stream, kind, header=places.is_folder)
                for answered in answers:
                    writer.add([one.record for one in answered if one.record is not None])
                    error_stream.writelines(one.bad.json_line() for one in answered if one.bad is not None)
                    tally.add(answered)
                    watch(answered)
                writer.finish()
            result = PartResult(tally, digest(), dict(provenance))
            write_part(self.files, number, result, data, errors)
        finally:
            for path in (data, errors):
                path.unlink(missing_ok=True)
        return result


class Digest:
    """Rows as they come, and a hash of all that came."""

    def __init__(self, rows: Iterable[RawRow]) -> None:
        self._rows = rows
        self._hash = hashlib.blake2b(digest_size=16)

    def __iter__(self) -> Iterator[RawRow]:
        for row in self._rows:
            self._hash.update(f"{row.row}\n".encode())
            self._hash.update(row.text().encode(errors="surrogatepass") + b"\n")
            yield row

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def digests(rows: Iterable[RawRow], part_rows: int) -> Iterator[tuple[int, str]]:
    """Number of rows and digest of each part of an input, read over."""
    coming = iter(rows)
    while first := next(coming, None):
        part = Digest(chain([first], islice(coming, part_rows - 1)))
        count = sum(1 for _ in part)
        yield count, part.hexdigest()


@dataclass
class _Worker:
    """What the calls in one worker process share."""

    work: PartWork
    report: Report
    answerer: Answerer | None = None


_WORKER: list[_Worker] = []  # in a worker process, its one


def start_worker(work: PartWork, alive: Connection, reports: Connection, turn: Lock) -> None:
    """Make this process ready for `run_worker`, which sends each `Report` into `reports` when it holds `turn`.

    The process ends at once when the other end of `alive` is closed, or is gone with its process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=lambda: (wait([alive]), os._exit(1)), daemon=True).start()

    def report(found: Found) -> None:
        with turn:
            reports.send(found)

    _WORKER.append(_Worker(work, report))


def run_worker(number: int, rows: list[RawRow]) -> tuple[int, PartResult]:
    """One part in a worker process."""
    (worker,) = _WORKER
    if worker.answerer is None:
        started = time.monotonic()
        with warnings.catch_warnings(record=True) as told:
            worker.answerer = worker.work.spec.make()
        for each in told:
            worker.report((each.category, str(each.message)))
        worker.report(time.monotonic() - started)
    return number, worker.work.make(worker.answerer, number, rows, lambda found: worker.report(Tally.of(found)))
