"""What a corpus job would do, without doing it: its first rows, the columns that it reads, how long it may take."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from mime_fast.data.dialogues import Row
from mime_fast.data.reading.reader import Reader
from mime_fast.data.reading.row_values import CHAT_COLUMNS, value_of
from mime_fast.data.reading.rows import BadRow, RawRow, check
from mime_fast.errors import InputError

if TYPE_CHECKING:
    from mime_fast.corpora.answerer_spec import AnswererSpec
    from mime_fast.corpora.answering import Answerer
    from mime_fast.corpora.tasks import Task

CHECKED = 1000  # rows that are read and checked
COUNTED = 100_000  # more that are counted; what is left is estimated
SHOWN = 3  # rows, and bad rows, that are shown
TIMED = 128  # rows that are answered, for the time
WIDTH = 100  # characters of a line


@dataclass(frozen=True)
class Preview:
    """The first rows of a job's input, and what they say of all of it.

    `rows` is an estimate, by the bytes of the rows that were read, unless `exact`; 0 where nobody knows (standard
    input). `seconds` is that of one process with this engine on rows like the first ones, without loading; None where
    no row can be answered.
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
        return "\n".join([*lines, "nothing was written"])


def preview(task: Task, reader: Reader, spec: AnswererSpec) -> Preview:
    """Read the first rows and answer some of them; nothing is written.

    Raises:
        DataError, CheckpointError, BackendError: as the job would.
    """
    coming = iter(reader)
    raw = [task.numbered(row) for row in islice(coming, CHECKED)]
    rows = len(raw) + sum(1 for _ in islice(coming, COUNTED))
    exact = next(coming, None) is None
    rows = rows if exact else reader.estimated_rows()
    need = task.kind == "score"
    found = [check(one, task.columns, need_response=need, strict_turns=task.strict_turns) for one in raw]
    columns, unread = _columns(task, raw)
    rate = _rate(spec.make(), [row for row, one in zip(raw, found, strict=True) if isinstance(one, Row)][:TIMED])
    return Preview(
        files=[source.name for source in reader.sources],
        columns=columns,
        unread=unread,
        first=found[:SHOWN],
        checked=len(raw),
        bad=[one for one in found if isinstance(one, BadRow)],
        rows=rows,
        exact=exact,
        seconds=rows / rate if rate else None,
        rows_per_second=rate,
    )


def _rate(answerer: Answerer, rows: Sequence[RawRow]) -> float:
    """Rows per second of an engine that has answered some before; 0 without rows."""
    if not rows:
        return 0.0
    list(answerer.answers(rows[:2]))
    started = time.monotonic()
    list(answerer.answers(rows))
    return len(rows) / max(time.monotonic() - started, 1e-9)


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
