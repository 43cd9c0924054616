"""Rows answered by actors of Ray Data, for jobs and for `mime_fast.distributed`."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mime_fast.corpora.answerer_spec import AnswererSpec, provenance_of
from mime_fast.corpora.answering import Answerer
from mime_fast.corpora.chunks import CHUNK
from mime_fast.corpora.part_work import digests
from mime_fast.corpora.parts import PartResult
from mime_fast.corpora.production import PendingParts, ResultChunk
from mime_fast.data.reading.options import Columns
from mime_fast.data.reading.reader import Reader
from mime_fast.data.reading.rows import RawRow
from mime_fast.data.reading.source import Source
from mime_fast.errors import BackendError, ConfigError, MimeFastError, MissingPackage

if TYPE_CHECKING:
    from ray.data import Dataset


@dataclass(frozen=True)
class Actors:
    """How many actors, and what each of them takes of the cluster."""

    count: int
    cpus: int
    gpus: int

    @classmethod
    def fitting(cls, wanted: int, spec: AnswererSpec) -> Actors:
        """`wanted` actors, or, for 0, as many as fit and leave a core for the reader.

        An actor takes a GPU where there is one and `device` allows it, and `threads` cores (1 unless it is given).
        """
        import ray

        there = ray.cluster_resources()
        device = str(spec.load_options.get("device", "auto"))
        gpus = int(there.get("GPU", 0)) if device == "auto" or device.startswith("cuda") else 0
        cpus = int(spec.load_options.get("threads") or 1)
        room = int(there.get("CPU", 1))
        if device.startswith("cuda") and not gpus:
            raise BackendError(f"device {device!r}: the Ray cluster has no GPU")
        fitting = gpus or max(1, (room - 1) // cpus)
        return cls(wanted or fitting, cpus, 1 if gpus else 0)

    def at_most(self, count: int) -> Actors:
        return replace(self, count=max(1, min(self.count, count)))

    def map(self, dataset: Dataset, actor: type, spec: AnswererSpec, batch_size: int) -> Dataset:
        """The dataset with `actor(spec)` called on its batches, Arrow tables, in their order."""
        from ray import data

        spec = replace(spec, load_options={**spec.load_options, "threads": self.cpus})
        return in_order(dataset).map_batches(
            actor,
            fn_constructor_args=(spec,),
            batch_size=batch_size,
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(size=self.count),
            num_cpus=self.cpus,
            num_gpus=self.gpus,
        )


def in_order(dataset: Dataset) -> Dataset:
    """The dataset with rows in their order, whoever is done first; a copy, so that the caller's options stay."""
    copied = type(dataset).copy(dataset, _deep_copy=True)
    copied.context.execution_options.preserve_order = True
    return copied


class _Chunks:
    """An actor: pickled lists of raw rows become pickled `ResultChunk`, or the pickled error that stopped it."""

    def __init__(self, spec: AnswererSpec) -> None:
        self.spec = spec
        self.answerer: Answerer | None = None

    def __call__(self, table: pa.Table) -> pa.Table:
        lists = [pickle.loads(rows) for rows in table["rows"].to_pylist()]
        return pa.table({"answers": [pickle.dumps(self._answers(chain.from_iterable(lists)))]})

    def _answers(self, rows: Iterable[RawRow]) -> ResultChunk | MimeFastError:
        try:
            answerer = self.answerer = self.answerer or self.spec.make()
            return ResultChunk(provenance_of(answerer.engine), list(chain.from_iterable(answerer.answers(rows))))
        except MimeFastError as error:  # Ray would wrap it beyond recognition
            return error


def answers_on_ray(pending: PendingParts, workers: int, address: str) -> Iterator[tuple[int, PartResult]]:
    """The parts of a job that are not done, answered by Ray's actors and written here, in order.

    Raises:
        ConfigError: standard input, or an address of no cluster.
        BackendError: Ray is not there (MissingPackage), or failed. What the actors raise.
    """
    if any(source.is_standard_input for source in pending.reader.sources):
        raise ConfigError("standard input cannot be read by Ray; the input must be files")
    with cluster(address) as data:
        firsts, survey = _survey(pending)
        done = frozenset(pending.parts.done)
        tasks = [
            _Task(source, pending.reader.columns, first, pending.part_rows, done)
            for source, first in zip(pending.reader.sources, firsts, strict=True)
        ]
        dataset = data.read_datasource(_datasource(tasks), num_cpus=0)  # so that actors may take all cores
        spec = replace(pending.work.spec, provenance=pending.parts.provenance)
        chunks = sum(-(-count // CHUNK) for count, _ in survey)
        answers = Actors.fitting(workers, spec).at_most(chunks).map(dataset, _Chunks, spec, 1)
        yield from pending.of_answers(_unpacked(answers), survey)


def _survey(pending: PendingParts) -> tuple[list[int], list[tuple[int, str]]]:
    """The place of each source's first row, and number of rows and digest of each part, read over."""
    firsts = [0]

    def rows() -> Iterator[RawRow]:
        for source in pending.reader.sources:
            reader = Reader([source], pending.reader.columns, firsts[-1])
            yield from reader
            firsts.append(firsts[-1] + reader.read)

    survey = list(digests(rows(), pending.part_rows))
    return firsts[:-1], survey


@contextmanager
def cluster(address: str = "") -> Iterator[Any]:
    """`ray.data`, on the cluster that runs already, or on one that is left when the block ends; errors are ours."""
    try:
        import ray
        from ray import data
    except ImportError as error:
        raise MissingPackage(f"Ray Data is needed ({error}): pip install 'mime-fast[ray]'") from None
    ours = not ray.is_initialized()
    try:
        if ours:
            ray.init(address or None, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
            data.DataContext.get_current().print_on_execution_start = False
            data.DataContext.get_current().enable_progress_bars = False
            logging.getLogger("ray.data").setLevel(logging.ERROR)  # it warns of our own settings
        yield data
    except ConnectionError as error:
        raise ConfigError(f"Ray at {address!r}: {error}") from None
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines()
        raise BackendError(f"Ray: {lines[-1] if lines else type(error).__name__}") from error
    finally:
        if ours:
            ray.shutdown()


@dataclass(frozen=True)
class _Task:
    """One file's rows, read somewhere in the cluster."""

    source: Source
    columns: Columns
    first: int  # number of its first row
    part_rows: int
    done: Collection[int]  # parts that are not wanted

    def __call__(self) -> Iterator[pa.Table]:
        rows = (
            row
            for row in Reader([self.source], self.columns, self.first)
            if row.index // self.part_rows not in self.done
        )
        while chunk := list(islice(rows, CHUNK)):
            yield pa.table({"rows": [pickle.dumps(chunk)]})


def _datasource(tasks: Sequence[_Task]) -> Any:
    from ray.data import Datasource, ReadTask
    from ray.data.block import BlockMetadata

    class Corpus(Datasource):  # type: ignore[misc]  # Ray has no types
        """Our files, as our reader reads them."""

        def estimate_inmemory_data_size(self) -> int:
            return sum(task.source.size for task in tasks)

        def get_read_tasks(self, *_: object, **__: object) -> list[Any]:
            unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
            return [ReadTask(task, unknown) for task in tasks]

    return Corpus()


def _unpacked(dataset: Dataset) -> Iterator[ResultChunk]:
    for row in dataset.iter_rows():
        answers = pickle.loads(row["answers"])
        if isinstance(answers, MimeFastError):
            raise answers
        yield answers
