"""A corpus job: what `mime-fast generate`, `score` and `classify` do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from mime_fast._version import __version__
from mime_fast.config.checks import check_bool, check_int
from mime_fast.corpora.answerer_spec import AnswererSpec, check_asked
from mime_fast.corpora.existing import is_finished
from mime_fast.corpora.given import check_instance, check_load_options, path_of, paths_of, share_of
from mime_fast.corpora.identity import as_it_is, model_files, resolved_search
from mime_fast.corpora.output_inputs import check_job_outputs
from mime_fast.corpora.output_kinds import errors_file, is_stream, placed
from mime_fast.corpora.part_work import PartWork, digests
from mime_fast.corpora.parts import PartResult, Parts
from mime_fast.corpora.places import Places
from mime_fast.corpora.production import PendingParts
from mime_fast.corpora.progress import ProgressBar
from mime_fast.corpora.retry import Retried
from mime_fast.corpora.stream_work import Show, answer_as_they_come
from mime_fast.corpora.summary import Summary, Tally, refuse_other_file
from mime_fast.corpora.tasks import Task
from mime_fast.data.reading.options import Reading
from mime_fast.data.reading.reader import Reader
from mime_fast.data.reading.sources import find_sources
from mime_fast.errors import ConfigError, DataError, OutputError
from mime_fast.files import Path_, hash_of, json_bytes, write_json
from mime_fast.output_checks import check_writable
from mime_fast.streams import standard_output, tell

if TYPE_CHECKING:
    from mime_fast.corpora.preview import OutputState, Preview
    from mime_fast.engine.engine import Engine

ENOUGH = 1000  # rows after which a share of bad ones says something


@dataclass(frozen=True)
class CorpusJob:
    """A task over all rows of some inputs, into one output.

    Args:
        task: what is done.
        inputs: files, folders, globs, or "-", one or several, as text or paths; see `find_sources`. "-" is the standard
            input of the process: what `sys.stdin` has in its buffer is not seen.
        output: a file, whose ending says its format, or a folder of parts if it ends in "/" (which a `Path` cannot);
            see `OutputFormat`. It may be a URI (see `RemoteOutput`). None, "-" or a pipe: records as they come, which
            cannot be resumed.
        model, load_options: of `mime_fast.load`.
        reading: how the inputs are read.
        workers: processes that share the parts; the output is the same.
        ray_address: a Ray cluster, as for `ray.init`, whose actors (`workers`, 0: as many as fit) do the work instead;
            "" for the one that Ray finds, or a new one on this machine. They must see the input and the model.
        part_rows: rows of a part. None: those of the job as it was begun, 2,560 for a new one.
        strict: stop at the first bad row, and where one was bad in what is done.
        max_errors: the share of bad rows beyond which the job stops.
        restart: begin anew, though a job is begun or finished there.
        force: replace an output that no job made.
        summary_file: where the summary is written, too, as JSON; "-" is standard output.
        retry_errors: the errors file of an earlier job on these inputs, whose rows, and no others, are answered.
        show: makes of a row and its record what is written in place of a JSON line; only for standard output.
        loaded: gets the engine of a job that runs in this process, when it is loaded.
        quiet: only warnings and bad rows on standard error, no progress.

    Raises:
        ConfigError: a value is not allowed.
    """

    task: Task
    inputs: Path_ | Sequence[Path_]
    output: Path_ | None = None
    model: Path_ | None = None
    load_options: Mapping[str, Any] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)
    workers: int = 1
    ray_address: str | None = None
    part_rows: int | None = None
    strict: bool = False
    max_errors: float = 1.0
    restart: bool = False
    force: bool = False
    summary_file: Path_ | None = None
    retry_errors: Path_ | None = None
    show: Show | None = None
    loaded: Callable[[Engine], None] | None = None
    quiet: bool = False

    def __post_init__(self) -> None:
        check_instance("task", self.task, Task, "a Task")
        check_instance("reading", self.reading, Reading, "a Reading")
        check_load_options(self.load_options)
        check_int("workers", self.workers, 1 if self.ray_address is None else 0, 2**20)
        if self.part_rows is not None:
            check_int("part_rows", self.part_rows, 1, 2**40)
        for name in ("strict", "restart", "force", "quiet"):
            check_bool(name, getattr(self, name))
        for name in ("show", "loaded"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise ConfigError(f"{name}={getattr(self, name)!r}: must be a function, or None")
        if not isinstance(self.ray_address, str | None):
            raise ConfigError(f"ray_address={self.ray_address!r}: must be text, or None")
        plain: dict[str, Any] = {
            name: path_of(name, getattr(self, name)) for name in ("output", "model", "summary_file", "retry_errors")
        }
        plain |= {
            "inputs": paths_of("inputs", self.inputs),
            "workers": int(self.workers),
            "part_rows": None if self.part_rows is None else int(self.part_rows),
            "max_errors": share_of("max_errors", self.max_errors),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        if self._summary_file == "-" and self._output in (None, "-"):
            raise ConfigError("summary_file='-': the rows go to standard output; must be a file")
        if self._retry_errors is not None and self.ray_address is not None:
            raise ConfigError(f"retry_errors={self._retry_errors}: must be without Ray")
        if (self.workers > 1 or self.ray_address is not None) and is_stream(self._output):
            asked = f"workers={self.workers}" if self.ray_address is None else "Ray"
            raise ConfigError(f"{asked}: an output that is a file or a folder is needed")

    def run(self) -> Summary:
        """Do what is left to do.

        Raises:
            ConfigError: a value is not allowed, or an output would take an input's place.
            DataError: an input or the output cannot be used, too many rows are bad, or the output is another job's or
                nobody's.
            CheckpointError: as `mime_fast.load`.
            BackendError: as `mime_fast.load` and the engine.
        """
        reader = self._reader()
        can_write = self._check_outputs(reader)
        if is_stream(self._output):
            summary = self._run_stream(reader)
        elif not can_write:
            parts = Parts.there(Places.of(str(self._output)), self._described(reader), force=self.force)
            if parts is None or parts.finished is None:
                raise DataError(f"{self._output}: was changed while the job began; start it again")
            summary = self._run_parts(reader, parts)
        else:
            job, sources = self._described(reader), [as_it_is(source) for source in reader.sources]
            with (
                placed(str(self._output)) as (places, copy),
                Parts.opened(places, job, sources, restart=self.restart, force=self.force, noted=copy) as parts,
            ):
                summary = self._run_parts(reader, parts)
        if self._summary_file == "-":
            with standard_output() as stream:
                stream.write(json_bytes(summary.to_dict(), indent=2))
        elif self._summary_file is not None:
            write_json(self._summary_file, summary.to_dict())
        return summary

    def preview(self, *, printed: bool = False) -> Preview:
        """What `run` would read, and how long it may take; writes nothing.

        Raises: as `run`; with `printed`, ConfigError where standard output, which the caller prints it to, is an input.
        """
        from mime_fast.corpora.preview import preview

        reader = self._reader()
        self._check_outputs(reader, printed=printed)
        return preview(self.task, reader, self._spec(), self._output_state(reader), self.loaded)

    def _output_state(self, reader: Reader) -> OutputState | None:
        """What is at the output of this job already; None where it would begin. Raises: as `run`, but locks nothing."""
        from mime_fast.corpora.preview import OutputState

        if is_stream(self._output):
            return None
        with placed(str(self._output)) as (places, _):
            parts = Parts.there(places, self._described(reader), restart=self.restart, force=self.force)
            if parts is None:
                return None
            self._check_asked(parts)
            rows = parts.tally().rows if parts.finished is None else sum(parts.finished["rows"])
            return OutputState(places.output, rows, parts.finished is not None, _is_known(parts, reader))

    def _reader(self) -> Reader:
        mimics = self.task.kind != "classify"
        found = find_sources(self.inputs, self.reading, _warn)
        told = _warn if mimics else lambda _: None
        if self._retry_errors is None:
            return Reader(found, self.task.columns, tell=told)
        retried = Retried(self._retry_errors, self.task)
        return Reader(found, self.task.columns, tell=told, only=retried.places, check_read=retried.check)

    @property
    def _output(self) -> str | None:
        return path_of("output", self.output)

    @property
    def _summary_file(self) -> str | None:
        return path_of("summary_file", self.summary_file)

    @property
    def _retry_errors(self) -> str | None:
        return path_of("retry_errors", self.retry_errors)

    @property
    def errors_file(self) -> str | None:
        """Where bad rows are written; None without a file or folder as the output."""
        return errors_file(self._output)

    def _check_outputs(self, reader: Reader, *, printed: bool = False) -> bool:
        """Whether OUT can be written, which it must be unless the job is finished."""
        can_write = True
        others = [*([] if self._retry_errors is None else [self._retry_errors]), *map(str, model_files(self.model))]
        inputs = paths_of("inputs", self.inputs)
        try:
            check_job_outputs(self._output, self._summary_file, inputs, reader.sources, others, printed=printed)
        except OutputError:
            if self.restart or not is_finished(self._output):
                raise
            can_write = False
        if self._summary_file not in (None, "-"):
            if not can_write:
                check_writable(str(self._summary_file))
            if not self.force:
                refuse_other_file(str(self._summary_file))
        return can_write

    def _run_stream(self, reader: Reader) -> Summary:
        progress = ProgressBar(quiet=self.quiet)
        try:
            tally = answer_as_they_come(
                self._spec(),
                reader,
                self._output,
                progress,
                show=self.show,
                loaded=self.loaded,
                check=partial(self._check_errors, last=False),
            )
        finally:
            progress.close()
        self._check_errors(tally, last=True)
        return self._summary(tally, tally, progress)

    def _run_parts(self, reader: Reader, parts: Parts) -> Summary:
        before = parts.tally()
        self._check_asked(parts)
        if parts.finished is not None:
            return self._already(reader, parts)
        self._check_done(before)
        work = PartWork(self._spec(), parts.files)
        progress = ProgressBar(quiet=self.quiet)
        try:
            if parts.done and not self.quiet:
                progress.note(f"mime-fast: going on: {before.rows} rows in {len(parts.done)} parts are done")
            now = Tally()
            for number, result in self._made(PendingParts(reader, parts, work, parts.part_rows, progress, self.loaded)):
                parts.add(number, result)
                now = Tally.total([now, result.tally])
                self._check_errors(Tally.total([before, now]), last=False)
            whole = parts.tally()
            self._check_errors(whole, last=True)
            progress.done()
            summary = self._summary(whole, now, progress)
            parts.join(self.task, summary.to_dict(), force=self.force)
            return summary
        finally:
            progress.close()

    def _check_asked(self, parts: Parts) -> None:
        if parts.provenance is not None:
            check_asked(self.load_options, parts.provenance, parts.places.output)

    def _summary(self, whole: Tally, now: Tally, progress: ProgressBar) -> Summary:
        return Summary.of(whole, now, progress.seconds, task=self.task.kind, load_seconds=progress.load_seconds)

    def _made(self, pending: PendingParts) -> Iterator[tuple[int, PartResult]]:
        if self.ray_address is None:
            return pending.here(self.workers)
        from mime_fast.corpora.on_ray import answers_on_ray

        return answers_on_ray(pending, self.workers, self.ray_address)

    def _already(self, reader: Reader, parts: Parts) -> Summary:
        """The summary of a job that is done; an input that is not known as it is is read to see that it is the same."""
        finished = parts.finished
        assert finished is not None
        if (
            not _is_known(parts, reader)
            and [digest for _, digest in digests(reader, parts.part_rows)] != finished["digests"]
        ):
            raise DataError(
                f"{self._output}: is another job's: the input differs; give another OUT, or restart=True begins anew"
            )
        summary = Summary(**finished["summary"])
        tally = Tally(summary.rows, summary.errors, summary.lost)
        self._check_done(tally)
        self._check_errors(tally, last=True)
        if not self.quiet:
            told = f"mime-fast: {self._output} is finished already; nothing to do (--restart begins anew)"
            tell(told)
        return summary.there_already()

    def _check_done(self, tally: Tally) -> None:
        if self.strict and tally.errors:
            raise DataError(
                f"{self._output}: {tally.errors} of the {tally.rows} rows that are done are bad; without "
                "strict=True they are left out"
            )

    def _check_errors(self, tally: Tally, *, last: bool) -> None:
        bad, rows = tally.errors + tally.lost, tally.rows + tally.lost
        if (last or rows >= ENOUGH) and bad > self.max_errors * rows:
            lost = f", about {tally.lost} of them lost in damaged files" if tally.lost else ""
            raise DataError(
                f"{bad} of {rows} rows are bad ({100 * bad / rows:.1f} %{lost}); must be at most "
                f"{100 * self.max_errors:g} % (max_errors)"
            )

    def _described(self, reader: Reader) -> dict[str, Any]:
        """What the output depends on besides the rows and the back end, however it was asked for."""
        files = model_files(self.model)
        first, step = self.task.first_row, self.task.row_step
        return {
            "version": __version__,
            "model": {path.name: hash_of(path) for path in files},
            "task": self.task.options(resolved_search(self.task.search, files)),
            "part_rows": self.part_rows,
            **({} if reader.only is None else {"rows": sorted(first + step * place for place in reader.only)}),
        }

    def _spec(self) -> AnswererSpec:
        return AnswererSpec(self.task, path_of("model", self.model), dict(self.load_options), self.strict)


def _is_known(parts: Parts, reader: Reader) -> bool:
    """Whether the inputs are, by size and time, those that the job was begun with."""
    if any(source.is_standard_input for source in reader.sources):
        return False
    return [as_it_is(source) for source in reader.sources] == parts.manifest.sources


def _warn(text: str) -> None:
    tell(f"mime-fast: warning: {text}")
