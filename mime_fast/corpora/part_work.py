"""One part of a job, answered and made final; in this process or in one of several."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from mime_fast.corpora.answerer_spec import AnswererSpec, provenance_of
from mime_fast.corpora.answering import Answerer, RowResult
from mime_fast.corpora.parts import SCRATCH, PartFiles, PartResult, write_part
from mime_fast.corpora.summary import Tally
from mime_fast.data.reading.rows import RawRow
from mime_fast.files import named_writer

Watch = Callable[[list[RowResult]], None]


@dataclass(frozen=True)
class PartWork:
    """How a part is made."""

    spec: AnswererSpec
    files: PartFiles
    digest: bool  # whether the rows are hashed, because nothing else tells a changed input

    def make(self, answerer: Answerer, number: int, rows: Iterable[RawRow], watch: Watch) -> PartResult:
        """Answer the rows, and make the part final. OSError: the disk is full, for instance."""
        hashed = Digest(rows, self.digest)
        return self.write(number, answerer.answers(hashed), provenance_of(answerer.engine), watch, hashed)

    def write(
        self,
        number: int,
        answers: Iterable[list[RowResult]],
        provenance: Mapping[str, Any],
        watch: Watch,
        digest: Digest | None = None,
    ) -> PartResult:
        """Make a part of answers final."""
        ending = f".{os.getpid()}{SCRATCH}"
        data, errors = self.files.data(number), self.files.part_errors(number)
        scratch = data.with_name(data.name + ending), errors.with_name(errors.name + ending)
        name = self.files.output
        tally = Tally()
        try:
            with named_writer(scratch[0], name) as stream, named_writer(scratch[1], name) as error_stream:
                writer = self.files.format.writer(stream, self.spec.task.kind, header=self.files.target is None)
                for answered in answers:
                    writer.add([one.record for one in answered if one.record is not None])
                    error_stream.writelines(one.bad.json_line() for one in answered if one.bad is not None)
                    tally.add(answered)
                    watch(answered)
                writer.finish()
            made = PartResult(tally, digest.hexdigest() if digest else "", dict(provenance))
            write_part(self.files, number, made, *scratch)
        finally:
            for path in scratch:
                path.unlink(missing_ok=True)
        return made


class Digest:
    """Rows as they come, and a hash of all that came."""

    def __init__(self, rows: Iterable[RawRow], wanted: bool) -> None:
        self._rows = rows
        self._hash = hashlib.blake2b(digest_size=16) if wanted else None

    def __iter__(self) -> Iterator[RawRow]:
        for row in self._rows:
            if self._hash is not None:
                self._hash.update(f"{row.row}\n".encode())
                self._hash.update(row.text().encode(errors="surrogatepass") + b"\n")
            yield row

    def hexdigest(self) -> str:
        return "" if self._hash is None else self._hash.hexdigest()


@dataclass
class _Worker:
    """What the calls in one worker process share."""

    work: PartWork
    answerer: Answerer | None = None


_WORKER: list[_Worker] = []  # in a worker process, its one


def start_worker(work: PartWork, alive: Connection) -> None:
    """Make this process ready for `run_worker`. It ends at once when the other end of `alive` is closed, or is gone
    with its process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=lambda: (wait([alive]), os._exit(1)), daemon=True).start()
    _WORKER.append(_Worker(work))


def run_worker(number: int, rows: list[RawRow]) -> tuple[int, PartResult]:
    """One part in a worker process."""
    (worker,) = _WORKER
    worker.answerer = worker.answerer or worker.work.spec.make()
    return number, worker.work.make(worker.answerer, number, rows, lambda _: None)
