"""The loop of `classify`: dialogues in, JSON lines out, a bad row costs only itself."""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from mime_fast.cli.options import load_engine
from mime_fast.cli.output import is_standard_output, open_output
from mime_fast.data.dialogues import BadRow, Row, read_dialogues
from mime_fast.errors import InputError

if TYPE_CHECKING:
    from mime_fast.engine.engine import Engine

Answer = Callable[[Sequence[Row]], list[dict[str, Any]]]

WINDOW = 256  # rows that the engine gets at once
_SHOWN = 80  # characters of a bad line


def answer_file(args: Namespace, make_answer: Callable[[Engine], Answer], *, need_response: bool = False) -> int:
    """Answer every row of `args.input`; returns 1 if some were bad, else 0.

    Args:
        make_answer: gives, for an engine, a function from rows to their output values; that function raises InputError
            if the engine refuses one of them.
    """
    from tqdm import tqdm

    name = "standard input" if args.input == "-" else args.input
    rows = read_dialogues(args.input, need_response=need_response, strict_turns=args.strict_turns)
    started = time.monotonic()
    count = bad = 0
    quiet = is_standard_output(args.output) and sys.stdout.isatty()
    with open_output(args.output) as stream:
        answer = make_answer(load_engine(args))
        with tqdm(unit=" rows", disable=quiet or None) as bar:
            for window in _windows(rows):
                for row, value in _answer_window(window, answer):
                    if isinstance(row, BadRow):
                        bar.write(f"{name}, line {row.line}: {row.reason}{_shown(row.text)}", file=sys.stderr)
                        bad += 1
                    else:
                        stream.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")
                stream.flush()
                count += len(window)
                bar.update(len(window))
    seconds = time.monotonic() - started
    faults = f"; {bad} bad rows left out" if bad else ""
    print(f"mime-fast: {count - bad} of {count} rows answered in {seconds:.1f} s{faults}", file=sys.stderr)
    return 1 if bad else 0


def _windows(rows: Iterable[Row | BadRow]) -> Iterator[list[Row | BadRow]]:
    rows = iter(rows)
    while window := list(islice(rows, WINDOW)):
        yield window


def _answer_window(window: Sequence[Row | BadRow], answer: Answer) -> list[tuple[Row | BadRow, Any]]:
    """The rows in their order, each with its answer; a row that the engine refuses becomes a BadRow."""
    answered = dict(_answer_good([row for row in window if isinstance(row, Row)], answer))
    return [(row, None) if isinstance(row, BadRow) else answered[row.index] for row in window]


def _answer_good(rows: Sequence[Row], answer: Answer) -> Iterator[tuple[int, tuple[Row | BadRow, Any]]]:
    """Answers by row index. The engine refuses a whole call for one bad row, so a refused call is cut into halves."""
    if not rows:
        return
    try:
        values = answer(rows)
    except InputError as error:
        if len(rows) == 1:
            row = rows[0]
            reason = str(error).replace("dialogue 0", "context").replace("response 0", "response")
            yield row.index, (BadRow(row.line, row.index, row.id, reason, ""), None)
            return
        half = len(rows) // 2
        yield from _answer_good(rows[:half], answer)
        yield from _answer_good(rows[half:], answer)
    else:
        for row, value in zip(rows, values, strict=True):
            yield row.index, (row, value)


def _shown(text: str) -> str:
    return f": {text[:_SHOWN]!r}{'...' if len(text) > _SHOWN else ''}" if text else ""
