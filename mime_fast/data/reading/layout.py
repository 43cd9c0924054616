"""What the columns of a file show: rows as they are, whole dialogues, or the utterances of EmpatheticDialogues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mime_fast.data.dialogues import check_id, is_gap, parse_line
from mime_fast.data.reading import empathetic
from mime_fast.data.reading.options import Columns, UtteranceColumns
from mime_fast.data.reading.row_values import CHAT_COLUMNS, dialogue_of, value_of
from mime_fast.data.reading.rows import Broken, Content
from mime_fast.errors import DataError, InputError

Numbered = Iterator[tuple[int, Content]]


@dataclass(frozen=True)
class Layout:
    """How the rows of a file become dialogues."""

    columns: Columns
    wanted: tuple[str, ...]  # the columns to be read, of those that are there
    is_empathetic: bool = False

    @classmethod
    def of(cls, names: Sequence[str], where: str, columns: Columns, *, is_table: bool = True) -> Layout:
        """The layout of a file with these columns.

        Args:
            is_table: whether every row has these columns, or they are the keys of the first object.

        Raises:
            DataError: a wanted column is missing or comes twice, or a part of EmpatheticDialogues' columns is missing.
        """
        if isinstance(columns, UtteranceColumns):
            _check_empathetic(names, where)
            return cls(columns, empathetic.COLUMNS)
        if columns.context is None and "context" in names and empathetic.MARKS & set(names):
            return cls(columns, _empathetic(names, where, columns), is_empathetic=True)
        if not is_table:
            return cls(columns, tuple(names))
        wanted = _wanted(names, where, columns)
        doubled = [name for name, times in Counter(names).items() if times > 1 and name in wanted]
        if doubled:
            raise DataError(f"{where}: the header has {' and '.join(map(repr, doubled))} twice; must have it once")
        return cls(columns, wanted)

    def rows(self, numbered: Numbered) -> Numbered:
        """The dialogues of a file's rows, each with its row's number."""
        if self.is_empathetic:
            return self._utterances(numbered)
        return self._all_turns(numbered) if self.columns.turns == "all" else numbered

    def _utterances(self, numbered: Numbered) -> Numbered:
        """A row for every listener's utterance, with the id CONVERSATION:NUMBER."""
        columns, history = self.columns, list[str]()
        previous: empathetic.EdUtterance | None = None
        for number, content in numbered:
            if isinstance(content, Broken):
                yield number, content
                continue
            try:
                found = empathetic.utterance(_object(content), previous)
            except InputError as error:
                yield number, Broken(str(error), _shown(content))
                continue
            if found.number == 1:
                history = []
            previous = found
            if found.number % 2 == 0:
                values: dict[str, object] = {
                    "id": f"{found.conv_id}:{found.number}",
                    "context": list(history),
                    "response": found.text,
                    "label": found.emotion,
                }
                yield number, values | ({columns.emotion: found.emotion} if columns.emotion else {})
            history.append(found.text)

    def _all_turns(self, numbered: Numbered) -> Numbered:
        """A row for every listener's turn of a whole dialogue, with the id ID:NUMBER where there is one."""
        columns = self.columns
        for number, content in numbered:
            if isinstance(content, Broken):
                yield number, content
                continue
            try:
                found = _object(content)
                turns = dialogue_of(found, columns)
                if len(turns) < 2:
                    raise InputError(f"a dialogue of {len(turns)} turns has no turn of the listener")
                kept = {name: value[0] for _, name, _ in columns.names[2:] if (value := value_of(found, name))}
                own_id = kept.pop(columns.name("id"), None)
                dialogue_id = None if is_gap(own_id) else check_id(own_id, number)
            except InputError as error:
                yield number, Broken(str(error), _shown(content))
                continue
            for place in range(1, len(turns), 2):
                row = kept | {columns.name("context"): turns[:place], columns.name("response"): turns[place]}
                if dialogue_id is not None:
                    row[columns.name("id")] = f"{dialogue_id}:{place + 1}"
                yield number, row


def _check_empathetic(names: Sequence[str], where: str) -> None:
    if not set(empathetic.NEEDED) <= set(names):
        found = f"{len(names)} column{'s' * (len(names) != 1)}, {', '.join(map(repr, names))[:120]}"
        raise DataError(f"{where}, line 1: a header of {found}; expected the columns {', '.join(empathetic.COLUMNS)}")


def _empathetic(names: Sequence[str], where: str, columns: Columns) -> tuple[str, ...]:
    missing = [name for name in empathetic.NEEDED if name not in names]
    if missing:
        raise DataError(
            f"{where}: looks like EmpatheticDialogues, whose 'context' is an emotion, without {', '.join(missing)}; "
            "--context-column names the column of the dialogues, if it is something else"
        )
    asked = [name for name in columns.asked() if name != columns.emotion]
    if asked or columns.emotion not in (None, "context", "emotion") or columns.turns == "last":
        raise DataError(
            f"{where}: is EmpatheticDialogues, every listener's utterance of which is a row, with its own id; "
            "other columns can be named together with --context-column only"
        )
    return tuple(name for name in names if name in empathetic.COLUMNS)


def _wanted(names: Sequence[str], where: str, columns: Columns) -> tuple[str, ...]:
    """The columns that are read; all that were asked for are there, and one for the context."""
    there = ", ".join(map(repr, names[:20])) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    for name in columns.asked():
        if name not in names and name.partition(".")[0] not in names:
            raise DataError(f"{where}: no column {name!r}; there is {there}")
    chat = next((name for name in CHAT_COLUMNS if name in names), None)
    context = columns.context or ("context" if "context" in names or chat is None else chat)
    fields = [context, *(columns.name(field) for field in ("response", "id", "seed")), columns.emotion or "emotion"]
    wanted = [name if name in names else name.partition(".")[0] for name in dict.fromkeys(fields)]
    if wanted[0] not in names:
        raise DataError(f"{where}: no column {context!r}; there is {there}")
    return tuple(name for name in dict.fromkeys(wanted) if name in names)


def _object(content: bytes | dict[str, object]) -> dict[str, object]:
    return parse_line(content) if isinstance(content, bytes) else content


def _shown(content: bytes | dict[str, object]) -> str:
    return content.decode(errors="surrogateescape").rstrip("\r\n") if isinstance(content, bytes) else str(content)
