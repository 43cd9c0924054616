"""A job whose records go out as they come, to standard output or a pipe; nothing of it can be gone on with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from mime_fast.corpora.answerer_spec import AnswererSpec
from mime_fast.corpora.chunks import as_they_come, full
from mime_fast.corpora.output_kinds import open_stream
from mime_fast.corpora.progress import ProgressBar
from mime_fast.corpora.summary import Tally
from mime_fast.data.reading.reader import Reader
from mime_fast.data.reading.rows import RawRow

if TYPE_CHECKING:
    from mime_fast.engine.engine import Engine

Show = Callable[[RawRow, Mapping[str, Any]], bytes]


def answer_as_they_come(
    spec: AnswererSpec,
    reader: Reader,
    output: str | None,
    progress: ProgressBar,
    *,
    show: Show | None,
    loaded: Callable[[Engine], None] | None,
    check: Callable[[Tally], None],
) -> Tally:
    """Answer all rows into the stream `output`.

    Args:
        show, loaded: as for `CorpusJob`.
        check: is called with what is done so far, and may end the job by an error.

    Returns:
        what was done.
    """
    tally, waiting = Tally(), dict[int, RawRow]()
    answerer = progress.timed(spec.make)
    if loaded is not None:
        loaded(answerer.engine)
    pauses = any(source.size == 0 for source in reader.sources)  # a pipe, a terminal
    coming = _noted((as_they_come if pauses else full)(reader), waiting, progress)
    with open_stream(output) as (stream, written), closing(answerer.answers_of(coming)) as answers:
        writer = written.writer(stream, spec.task.kind)
        for answered in answers:
            for one in answered:
                if one.bad is not None:
                    progress.note(str(one.bad))
            found = [(waiting.pop(one.place), one.record) for one in answered]
            good = [(row, record) for row, record in found if record is not None]
            if show is None:
                writer.add([record for _, record in good])
            else:
                stream.write(b"".join(show(row, record) for row, record in good))
            stream.flush()
            tally.add(answered)
            progress.add(Tally.of(answered), reader.estimated_rows())
            check(tally)
        writer.finish()
    return Tally.total([tally])


def _noted(chunks: Iterable[list[RawRow]], waiting: dict[int, RawRow], progress: ProgressBar) -> Iterator[list[RawRow]]:
    """The chunks; their rows are in `waiting`, by place, and the clock starts with the first one."""
    for number, chunk in enumerate(chunks):
        if number == 0:
            progress.start()
        waiting.update((row.index, row) for row in chunk)
        yield chunk
