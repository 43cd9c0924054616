"""What a corpus job would do, without doing it: its first rows, the columns that it reads, how long it may take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from mime_fast.corpora.chunks import CHUNK, as_they_come
from mime_fast.data.dialogues import Row
from mime_fast.data.reading.reader import Reader
from mime_fast.data.reading.row_values import CHAT_COLUMNS, value_of
from mime_fast.data.reading.rows import BadRow, RawRow
from mime_fast.errors import InputError

if TYPE_CHECKING:
    from mime_fast.corpora.answerer_spec import AnswererSpec
    from mime_fast.corpora.answering import Answerer
    from mime_fast.corpora.tasks import Task
    from mime_fast.engine.engine import Engine

CHECKED = 1000  # rows that are read and checked
COUNTED = 100_000  # more that are counted; what is left is estimated
SHOWN = 3  # rows, and bad rows, that are shown
TIMED = 128  # rows that are answered, for the time
WIDTH = 100  # characters of a line
PAUSE = 1.0  # seconds without a row of standard input or a pipe after which no other one is waited for


@dataclass(frozen=True)
class OutputState:
    """How far the job is at its output already; `is_same`: the input's files are known to be those of then."""

    name: str
    rows: int
    finished: bool
    is_same: bool

    def __str__(self) -> str:
        found = "finished already" if self.finished else f"goes on after {self.rows:,} rows"
        return f"{self.name}: {found}{'' if self.is_same else ', if the rows are still the same'}"


@dataclass(frozen=True)
class Preview:
    """The first rows of a job's input, and what they say of all of it.

    `rows` is an estimate, by the bytes of the rows that were read, unless `exact`; 0 where nobody knows (standard
    input). `seconds` is that of one process with this engine on rows like the first ones, without loading and without
    the rows that are done; None where no row can be answered. `output` is None where there is nothing of this job.
    """

    files: list[str]
    columns: dict[str, str]  # by what is read of them
    unread: list[str]  # other columns (keys) of the first row; those of tables are not looked at
    first: list[Row | BadRow]
    checked: int
    bad: list[BadRow]  # among those
    rows: int
    exact: bool
    seconds: float | None
    rows_per_second: float
    output: OutputState | None = None

    def __str__(self) -> str:
        about = "" if self.exact else "about "
        files = f"{len(self.files)} {'file' if len(self.files) == 1 else 'files'} ({self.files[0]}"
        lines = [
            f"input    {files}{', ...' if len(self.files) > 1 else ''}), "
            + (f"{about}{self.rows:,} {'row' if self.rows == 1 else 'rows'}" if self.rows else "of unknown length"),
            f"reads    {', '.join(_column(field, name) for field, name in self.columns.items()) or 'nothing'}"
            + (f"; not {', '.join(map(repr, self.unread))}" if self.unread else ""),
            *(_shortened(f"row {one.index:<4} {_described(one)}") for one in self.first),
            f"bad      {len(self.bad)} of the first {self.checked:,} rows",
            *(_shortened(f"         {one}") for one in self.bad[:SHOWN]),
        ]
        if self.seconds is not None:
            whole = f"{about}{_time(self.seconds)}" if self.rows else "unknown"
            lines.append(f"time     {whole}, at {self.rows_per_second:,.0f} rows per second in one process")
        lines += [] if self.output is None else [f"output   {self.output}"]
        return "\n".join([*lines, "nothing was written"])


def preview(
    task: Task,
    reader: Reader,
    spec: AnswererSpec,
    output: OutputState | None = None,
    loaded: Callable[[Engine], None] | None = None,
) -> Preview:
    """Read the first rows and answer some of them; nothing is written.

    Bad rows are counted, though the job were strict. `loaded` gets the engine.

    Raises:
        DataError, CheckpointError, BackendError: as the job would.
    """
    raw, rows, exact = _first(reader)
    columns, unread = _columns(task, raw)
    answerer = replace(spec, strict=False).make()
    if loaded is not None:
        loaded(answerer.engine)
    found = answerer.checked(raw)
    rate = _rate(answerer, raw, found)
    return Preview(
        files=[source.name for source in reader.sources],
        columns=columns,
        unread=unread,
        first=found[:SHOWN],
        checked=len(raw),
        bad=[one for one in found if isinstance(one, BadRow)],
        rows=rows,
        exact=exact,
        seconds=max(0, rows - (output.rows if output else 0)) / rate if rate else None,
        rows_per_second=rate,
        output=output,
    )


def _first(reader: Reader) -> tuple[list[RawRow], int, bool]:
    """The rows that are checked, how many there are in all, and whether that is exact."""
    if any(source.is_stream for source in reader.sources):
        return _first_of_pipe(reader)
    coming = iter(reader)
    raw = list(islice(coming, CHECKED))
    rows = len(raw) + sum(1 for _ in islice(coming, COUNTED))
    exact = next(coming, None) is None
    return raw, rows if exact else reader.estimated_rows(), exact


def _first_of_pipe(reader: Reader) -> tuple[list[RawRow], int, bool]:
    """Those that come without a pause; 0 rows in all where more may come, since the pipe may never end."""
    ends: list[Exception | None] = []

    def rows() -> Iterator[RawRow]:
        try:
            yield from reader
        except Exception as error:
            ends.append(error)
            raise
        ends.append(None)

    raw = list[RawRow]()
    for chunk in as_they_come(rows(), PAUSE):
        raw += chunk
        if len(chunk) < CHUNK or len(raw) >= CHECKED:
            break
    if ends and ends[0] is not None:
        raise ends[0]
    is_all = bool(ends) and len(raw) <= CHECKED
    return raw[:CHECKED], len(raw) if is_all else 0, is_all


def _rate(answerer: Answerer, raw: Sequence[RawRow], found: list[Row | BadRow]) -> float:
    """Rows per second of an engine that has answered some before; 0 without rows. Bad ones are put into `found`."""
    places = [place for place, one in enumerate(found) if isinstance(one, Row)][:TIMED]
    if not places:
        return 0.0
    rows = [raw[place] for place in places]
    list(answerer.answers(rows[:2]))
    started = time.monotonic()
    answered = [one for chunk in answerer.answers(rows) for one in chunk]
    seconds = max(time.monotonic() - started, 1e-9)
    for place, one in zip(places, answered, strict=True):
        if one.bad is not None:
            found[place] = one.bad
    good = sum(one.bad is None for one in answered)
    return len(rows) / seconds if good else 0.0


def _columns(task: Task, raw: Sequence[RawRow]) -> tuple[dict[str, str], list[str]]:
    """Which column of the first readable row each value comes from, and the columns that nothing comes from."""
    for row in raw:
        try:
            values = row.values()
        except InputError:
            continue
        fields = [(field, name) for field, name, _ in task.columns.names if field != "response" or task.kind == "score"]
        read = {field: name for field, name in fields if value_of(values, name) is not None}
        if "context" not in read:
            read |= {"context": next(name for name in CHAT_COLUMNS if name in values)} if _is_chat(values) else {}
        used = {name.partition(".")[0] for name in read.values()} | set(read.values())
        return read, [name for name in values if name not in used]
    return {}, []


def _is_chat(values: Mapping[str, object]) -> bool:
    return any(name in values for name in CHAT_COLUMNS)


def _column(field: str, name: str) -> str:
    return repr(field) if field == name else f"{field!r} from {name!r}"


def _described(one: Row | BadRow) -> str:
    if isinstance(one, BadRow):
        return f"bad: {one.reason}"
    said = [turn if isinstance(turn, str) else " ".join(turn) for turn in one.context]
    turns = f"{len(said)} turns, the last: " if len(said) > 1 else ""
    return f"{one.id}: {turns}{said[-1]}"


def _shortened(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
