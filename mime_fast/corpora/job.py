"""A corpus job: what `mime-fast generate`, `score` and `classify` do."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from mime_fast._version import __version__
from mime_fast.config.checks import check_int
from mime_fast.corpora.answerer_spec import AnswererSpec
from mime_fast.corpora.answering import CHUNK
from mime_fast.corpora.part_work import Digest, PartWork
from mime_fast.corpora.parts import PartFiles, PartResult, Parts
from mime_fast.corpora.production import PendingParts
from mime_fast.corpora.progress import ProgressBar
from mime_fast.corpora.summary import Summary, Tally
from mime_fast.corpora.tasks import Task
from mime_fast.corpora.writers import OutputFormat
from mime_fast.data.reading.options import Reading
from mime_fast.data.reading.reader import Reader
from mime_fast.data.reading.sources import find_sources
from mime_fast.errors import ConfigError, DataError

PART_ROWS = 5 * CHUNK
ENOUGH = 1000  # rows behind which a share of bad ones says something


@dataclass(frozen=True)
class CorpusJob:
    """A task over all rows of some inputs, into one output.

    Args:
        task: what is done.
        inputs: files, folders, globs, or "-"; see `find_sources`.
        output: a file (Parquet if its name says so, else JSON lines), or a folder of parts if it ends in "/". None, "-"
            or a pipe: JSON lines as they come, which cannot be resumed.
        model, load_options: of `mime_fast.load`.
        reading: how the inputs are read.
        workers: processes that share the parts; the output is the same.
        ray_address: a Ray cluster, as for `ray.init`, whose actors (`workers`, 0: as many as fit) do the work instead;
            "" for the one that Ray finds, or a new one on this machine. They must see the input and the model.
        part_rows: rows of a part.
        strict: stop at the first bad row.
        max_errors: the share of bad rows beyond which the job stops.
        restart: begin anew, whatever is there.
        quiet: no progress.

    Raises:
        ConfigError: a value is not allowed.
    """

    task: Task
    inputs: str | Sequence[str]
    output: str | None = None
    model: str | None = None
    load_options: Mapping[str, Any] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)
    workers: int = 1
    ray_address: str | None = None
    part_rows: int = PART_ROWS
    strict: bool = False
    max_errors: float = 1.0
    restart: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        check_int("workers", self.workers, 1 if self.ray_address is None else 0)
        check_int("part_rows", self.part_rows, 1)
        if not 0 <= self.max_errors <= 1:
            raise ConfigError(f"max_errors={self.max_errors!r}: a share from 0 to 1 is allowed")
        if (self.workers > 1 or self.ray_address is not None) and self._streams():
            asked = f"workers={self.workers}" if self.ray_address is None else "Ray"
            raise ConfigError(f"{asked}: an output that is a file or a folder is needed")

    def run(self) -> Summary:
        """Do what is left to do.

        Raises:
            DataError: an input or the output cannot be used, too many rows are bad, or the output is another job's.
            CheckpointError, BackendError, ConfigError: as `mime_fast.load` and the engine. OSError: while writing.
        """
        sources = find_sources(self.inputs, self.reading, _tell)
        mimics = self.task.kind != "classify"
        reader = Reader(sources, self.task.columns, tell=_tell if mimics else lambda _: None)
        if self._streams():
            return self._run_stream(reader)
        files = PartFiles.of(str(self.output))
        with Parts.opened(files, self._fingerprint(reader), restart=self.restart) as parts:
            return self._run_parts(reader, parts)

    @property
    def errors_file(self) -> Path | None:
        """Where bad rows are written; None without a file or folder as the output."""
        return None if self._streams() else PartFiles.of(str(self.output)).errors

    def _run_stream(self, reader: Reader) -> Summary:
        started, tally = time.monotonic(), Tally()
        progress = ProgressBar(quiet=self.quiet)
        try:
            answerer = self._spec().make()
            with self._stream() as stream:
                writer = OutputFormat().writer(stream, self.task.kind)
                for answered in answerer.answers(reader):
                    for one in answered:
                        if one.bad is not None:
                            progress.note(str(one.bad))
                    writer.add([one.record for one in answered if one.record is not None])
                    stream.flush()
                    tally.add(answered)
                    progress.add(Tally.of(answered), reader.estimated_rows())
                    self._check_errors(tally, last=False)
        finally:
            progress.close()
        self._check_errors(tally, last=True)
        whole = Tally.total([tally])
        return Summary.of(whole, whole, time.monotonic() - started, scored=self.task.kind == "score")

    def _run_parts(self, reader: Reader, parts: Parts) -> Summary:
        started, before = time.monotonic(), parts.tally()
        digest = any(source.is_standard_input for source in reader.sources)
        work = PartWork(self._spec(), parts.files, digest)
        if parts.finished is not None:
            return self._already(reader, parts, work)
        progress = ProgressBar(quiet=self.quiet)
        try:
            if parts.done:
                progress.note(f"mime-fast: going on: {before.rows} rows in {len(parts.done)} parts are done")
            now = Tally()
            for number, made in self._made(PendingParts(reader, parts, work, self.part_rows, progress)):
                parts.done[number] = made
                now = Tally.total([now, made.tally])
                self._check_errors(Tally.total([before, now]), last=False)
            whole = parts.tally()
            self._check_errors(whole, last=True)
            summary = Summary.of(whole, now, time.monotonic() - started, scored=self.task.kind == "score")
            parts.join(self.task, summary.to_dict())
            return summary
        finally:
            progress.close()

    def _made(self, pending: PendingParts) -> Iterator[tuple[int, PartResult]]:
        if self.ray_address is None:
            return pending.here(self.workers)
        from mime_fast.corpora.on_ray import answers_on_ray

        return answers_on_ray(pending, self.workers, self.ray_address)

    def _already(self, reader: Reader, parts: Parts, work: PartWork) -> Summary:
        """The summary of a job that is done; standard input is read to see that it is the same."""
        finished = parts.finished
        assert finished is not None
        if work.digest:
            rows, digests = iter(reader), []
            while first := next(rows, None):
                part = Digest(chain([first], islice(rows, self.part_rows - 1)), True)
                for _ in part:
                    pass
                digests.append(part.hexdigest())
            if digests != finished["digests"]:
                raise DataError(f"{self.output}: is another job's: standard input differs; --restart begins anew")
        if not self.quiet:
            print(
                f"mime-fast: {self.output} is finished already; nothing to do (--restart begins anew)", file=sys.stderr
            )
        return Summary(**finished["summary"])

    def _check_errors(self, tally: Tally, *, last: bool) -> None:
        bad, rows = tally.errors + tally.lost, tally.rows + tally.lost
        if (last or rows >= ENOUGH) and bad > self.max_errors * rows:
            lost = f", about {tally.lost} of them lost in damaged files" if tally.lost else ""
            raise DataError(
                f"{bad} of {rows} rows are bad ({100 * bad / rows:.1f} %{lost}); at most "
                f"{100 * self.max_errors:g} % are allowed (--max-errors)"
            )

    def _fingerprint(self, reader: Reader) -> dict[str, Any]:
        from mime_fast.engine.load import find_model

        folder = find_model(self.model)
        model = {
            path.name: _hash(path) for path in sorted(folder.glob("*")) if path.suffix in (".json", ".safetensors")
        }
        return {
            "version": __version__,
            "input": [source.fingerprint() for source in reader.sources],
            "model": model,
            "load": dict(self.load_options),
            "reading": asdict(self.reading),
            "task": self.task.options(),
            "part_rows": self.part_rows,
        }

    def _spec(self) -> AnswererSpec:
        return AnswererSpec(self.task, self.model, dict(self.load_options), self.strict)

    def _streams(self) -> bool:
        if self.output is None or self.output == "-":
            return True
        path = Path(self.output)
        return path.exists() and not path.is_file() and not path.is_dir()

    def _stream(self) -> Any:
        return _StandardOutput() if self.output in (None, "-") else Path(str(self.output)).open("wb")


class _StandardOutput:
    def __enter__(self) -> BinaryIO:
        return sys.stdout.buffer

    def __exit__(self, *_: object) -> None:
        with suppress(ValueError):
            sys.stdout.buffer.flush()


def _tell(text: str) -> None:
    print(f"mime-fast: {text}", file=sys.stderr)


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
