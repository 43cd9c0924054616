"""Scoring and generating on Ray Data: `pip install mime-fast[ray]`.

A Dataset's rows are those of a corpus: `context` (a list of utterances, or one text with a separator), `response` (to
be scored), and where they are there `id`, `seed`, `emotion` and `row`. `row` is the row's number over all of the corpus
and its request id, so that answers equal those of a job on one machine; a Dataset without it is numbered in its order,
which computes all of it before the work begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, Unpack

from mime_fast.config.checks import check_int
from mime_fast.config.generation import SearchOptions
from mime_fast.corpora.answerer_spec import AnswererSpec
from mime_fast.corpora.answering import RowResult
from mime_fast.corpora.chunks import CHUNK
from mime_fast.corpora.given import check_load_options
from mime_fast.corpora.schema import arrow_schema
from mime_fast.corpora.tasks import Task
from mime_fast.data.reading.layout import Layout
from mime_fast.data.reading.options import Columns
from mime_fast.data.reading.rows import Broken, RawRow
from mime_fast.engine.inputs import Truncation
from mime_fast.errors import ConfigError

if TYPE_CHECKING:
    from ray.data import Dataset

ROW = "row"


def score(
    dataset: Dataset,
    *,
    model: str | None = None,
    emotion: str | int | None = None,
    stochastic: bool = True,
    seed: int = 0,
    strict_turns: bool = True,
    truncation: Truncation | None = None,
    columns: Columns | None = None,
    top_emotions: int = 32,
    num_actors: int = 0,
    load_options: Mapping[str, Any] | None = None,
) -> Dataset:
    """Log-probs of the responses of a Dataset, a row a row and in its order.

    Args:
        dataset: see the module.
        model, load_options: of `mime_fast.load`; the model must be there on every node. `threads` (1 unless it is
            given) is the number of cores an actor takes; with `device` "auto" or "cuda" it takes a GPU where there is
            one.
        emotion .. truncation: as for `Engine.score`; a row's own `seed` and `emotion` come first.
        columns: what the columns are called.
        top_emotions: the likeliest emotions that have a probability in a row; the others are null.
        num_actors: actors, each with an engine; 0: as many as fit.

    Returns:
        A Dataset, not yet computed: the columns that `mime-fast score` writes to Parquet, and `error`, null for a row
        that was answered. A bad row has its `id`, `row` and `error`, and null elsewhere.

    Raises:
        ConfigError: a value is not allowed.
        BackendError: Ray, or a GPU that was asked for, is not there. What the actors raise (a CheckpointError, say) is
            Ray's when the Dataset is computed.
    """
    task = Task(
        "score",
        columns or Columns(),
        seed=seed,
        emotion=emotion,
        stochastic=stochastic,
        strict_turns=strict_turns,
        truncation=truncation,
        top_emotions=top_emotions,
    )
    return _answered(dataset, task, model, load_options, num_actors)


def generate(
    dataset: Dataset,
    *,
    model: str | None = None,
    emotion: str | int | None = None,
    stochastic: bool = True,
    seed: int = 0,
    strict_turns: bool = True,
    truncation: Truncation | None = None,
    columns: Columns | None = None,
    top_emotions: int = 32,
    num_actors: int = 0,
    load_options: Mapping[str, Any] | None = None,
    **search: Unpack[SearchOptions],
) -> Dataset:
    """Replies to the dialogues of a Dataset, a row a row and in its order.

    `search` is the search options of `Engine.generate`; the rest is as for `score`, with the columns that
    `mime-fast generate` writes.
    """
    task = Task(
        "generate",
        columns or Columns(),
        seed=seed,
        emotion=emotion,
        stochastic=stochastic,
        strict_turns=strict_turns,
        truncation=truncation,
        top_emotions=top_emotions,
        search=search,
    )
    return _answered(dataset, task, model, load_options, num_actors)


def _answered(
    dataset: Dataset, task: Task, model: str | None, load_options: Mapping[str, Any] | None, num_actors: int
) -> Dataset:
    check_int("num_actors", num_actors, 0)
    load_options = {} if load_options is None else load_options
    check_load_options(load_options)
    layout = Layout.of(dataset.columns() or [], "the dataset", task.columns)
    if layout.is_empathetic or task.columns.turns == "all":
        what = "EmpatheticDialogues' utterances" if layout.is_empathetic else "turns='all'"
        raise ConfigError(f"{what}: each row of a Dataset becomes one row; make a row of each response first")
    from mime_fast.corpora.on_ray import Actors

    spec = AnswererSpec(task, model, load_options)
    return Actors.fitting(num_actors, spec).map(_numbered(dataset), _Rows, spec, CHUNK)


def _numbered(dataset: Dataset) -> Dataset:
    """The dataset's rows, in the order in which it gives them, with a column of their numbers.

    It may have that column already. Ray keeps the order where asked to, but takes turns among the parts of a union
    then; a union is computed first.
    """
    import ray

    from mime_fast.corpora.on_ray import in_order

    has_numbers = ROW in (dataset.columns() or [])
    is_union = any(type(step).__name__ == "Union" for step in dataset._logical_plan.dag.post_order_iter())
    if has_numbers and not is_union:
        return dataset
    blocks = (dataset if is_union else in_order(dataset)).to_arrow_refs()
    if has_numbers:
        return ray.data.from_arrow_refs(blocks)
    lengths = ray.get([ray.remote(_length).remote(block) for block in blocks])
    starts = accumulate(lengths, initial=0)
    numbered = [ray.remote(_with_numbers).remote(block, start) for block, start in zip(blocks, starts, strict=False)]
    return ray.data.from_arrow_refs(numbered)


def _length(block: Any) -> int:
    return len(block)


def _with_numbers(block: Any, start: int) -> Any:
    import numpy as np

    return block.append_column(ROW, [np.arange(start, start + len(block))])


class _Rows:
    """An actor: rows of a dataset become their records."""

    def __init__(self, spec: AnswererSpec) -> None:
        import pyarrow as pa

        self.answerer = spec.make()
        self.schema = arrow_schema(spec.task.kind).append(pa.field("error", pa.string()))

    def __call__(self, table: Any) -> Any:
        import pyarrow as pa

        answered = chain.from_iterable(self.answerer.answers(map(_raw, table.to_pylist())))
        return pa.Table.from_pylist([_record(one) for one in answered], self.schema)


def _raw(values: dict[str, object]) -> RawRow:
    number = values.pop(ROW)
    if isinstance(number, int) and number >= 0:
        return RawRow("dataset", number + 1, number, values)
    return RawRow("dataset", 0, -1, Broken(f"{ROW}={number!r}: must be an integer of 0 or more", str(values)))


def _record(one: RowResult) -> dict[str, Any]:
    if one.bad is not None:
        return {"id": str(one.bad.id), "row": None if one.place < 0 else one.place, "error": one.bad.reason}
    assert one.record is not None
    return {**one.record, "id": str(one.record["id"])}
