"""From filled sheets to answers by item, with everything that is wrong or missing, cell by cell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mime_fast.evaluation.human.criteria import ANSWERS, CHOICES, RATINGS, Kind, Outcome
from mime_fast.evaluation.human.sheets import FilledSheet, Record, bare, shown_cells
from mime_fast.evaluation.human.study import SheetRow, Study

ALLOWED: dict[Kind, dict[str, str]] = {
    "ratings": {str(rating): str(rating) for rating in RATINGS},
    "ab": {choice.lower(): choice for choice in CHOICES},
}
_SHOWN = 60  # characters of a cell that a fault repeats
NAMES: dict[Kind, str] = {"ratings": "ratings", "ab": "comparisons"}


@dataclass(frozen=True)
class Fault:
    """A cell that cannot be used, or is not there. `row` is None where a row, or the sheet, is missing."""

    file: str
    row: int | None
    column: str
    came: str
    allowed: str

    def __str__(self) -> str:
        where = f"{self.file}, row {self.row}" if self.row is not None else self.file
        return f"{where}, column {self.column}: {self.came}; {self.allowed}"


@dataclass
class Answers:
    """What annotators answered. Cells of `faults` have no part in `ratings` and `choices`.

    `ratings` and `choices` are by annotator and item's place in the study; a choice is that of the comparison's first
    model.
    """

    ratings: dict[tuple[int, int], dict[str, int]] = field(default_factory=dict)
    choices: dict[tuple[int, int], Outcome] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Cell = tuple[Kind, int, int, str]  # kind, annotator, item, column


def collect(study: Study, sheets: Iterable[FilledSheet]) -> Answers:
    """The answers in any number of sheets, in any order; nothing is left out without a fault or a note."""
    answers = Answers()
    reading = _Reading(study, answers)
    for sheet in sheets:
        reading.read(sheet)
    reading.keep()
    reading.find_missing()
    return answers


class _Reading:
    """Cells as they come, so that a second answer to one question is seen."""

    def __init__(self, study: Study, answers: Answers) -> None:
        self.study = study
        self.answers = answers
        self.rows = {
            (kind, row.id): (annotator, row) for (kind, annotator), rows in study.sheets.items() for row in rows
        }
        self.found: dict[Cell, tuple[str, str]] = {}  # value and where it was
        self.broken: set[Cell] = set()
        self.seen: dict[tuple[Kind, int], dict[int, tuple[str, int]]] = {}  # by item: file and row

    def read(self, sheet: FilledSheet) -> None:
        again = 0
        for record in sheet.records:
            planned = self._planned(sheet, record)
            if planned is not None:
                again += self._read(sheet, record, *planned)
        if again:
            self.answers.notes.append(
                f"{sheet.file}: rows that came before with the same answers, counted once: {again}"
            )
        if sheet.unread:
            self.answers.notes.append(f"{sheet.file}: not read: column {', '.join(map(repr, sheet.unread))}")

    def _planned(self, sheet: FilledSheet, record: Record) -> tuple[int, SheetRow] | None:
        """The annotator and the planned row of a record; a fault where there is none, or it shows other text."""
        item = record.cells["item"]
        planned = self.rows.get((sheet.kind, item))
        if planned is None:
            fault = f"must be an item of this study's {NAMES[sheet.kind]} ({self.study.tag}-...)"
            self._fault(sheet.file, record.row, "item", item, fault)
            return None
        annotator, row = planned
        for column, text in shown_cells(self.study, sheet.kind, row).items():
            if bare(record.cells[column]) != bare(text):
                self._fault(sheet.file, record.row, column, record.cells[column], f"{item} shows {text!r:.{_SHOWN}}")
                cells = [(sheet.kind, annotator, row.item, answer) for answer in ANSWERS[sheet.kind]]
                self.broken.update(cells)
                self.seen.setdefault((sheet.kind, annotator), {}).setdefault(row.item, (sheet.file, record.row))
                return None
        return planned

    def _read(self, sheet: FilledSheet, record: Record, annotator: int, row: SheetRow) -> bool:
        """Read a record's answers; whether the same ones had come before."""
        seen = self.seen.setdefault((sheet.kind, annotator), {})
        again = row.item in seen
        seen.setdefault(row.item, (sheet.file, record.row))
        for column in ANSWERS[sheet.kind]:
            again &= self._cell(sheet, record, (sheet.kind, annotator, row.item, column))
        return again

    def _cell(self, sheet: FilledSheet, record: Record, cell: Cell) -> bool:
        """Read one cell; whether it said what had been said before."""
        column, came = cell[3], record.cells[cell[3]]
        allowed = ALLOWED[sheet.kind]
        value = allowed.get(came.lower())
        if value is None:
            if came:
                self._fault(sheet.file, record.row, column, came, f"must be {_listed(allowed.values())}")
                self.broken.add(cell)
            return False
        before, where = self.found.setdefault(cell, (value, f"{sheet.file}, row {record.row}"))
        if before != value:
            fault = f"{where} has {before!r} for the same item; there must be one answer"
            self._fault(sheet.file, record.row, column, came, fault)
            self.broken.add(cell)
        return before == value

    def keep(self) -> None:
        """Give the good cells to the answers."""
        swapped = {
            (annotator, row.item): row.swapped
            for (kind, annotator), rows in self.study.sheets.items()
            for row in rows
            if kind == "ab"
        }
        for cell, (value, _) in self.found.items():
            kind, annotator, item, column = cell
            if cell in self.broken:
                continue
            if kind == "ratings":
                self.answers.ratings.setdefault((annotator, item), {})[column] = int(value)
            else:
                self.answers.choices[annotator, item] = _outcome(value, swapped=swapped[annotator, item])

    def find_missing(self) -> None:
        """Faults for cells without an answer; a sheet of which nothing came is one fault."""
        for (kind, annotator), rows in self.study.sheets.items():
            seen = self.seen.get((kind, annotator), {})
            extra = annotator > self.study.annotators  # gets some of the rows, and only if the others disagree
            if not seen and rows and not extra:
                fault = f"the sheet with its {len(rows)} items is expected"
                self._fault(f"annotator {annotator}, {NAMES[kind]}", None, "all", "no row came", fault, quote=False)
                continue
            for row in rows:
                if row.item in seen or not extra:
                    self._missing_cells(kind, annotator, row, seen)

    def _missing_cells(self, kind: Kind, annotator: int, row: SheetRow, seen: dict[int, tuple[str, int]]) -> None:
        cells = [(kind, annotator, row.item, column) for column in ANSWERS[kind]]
        empty = [cell[3] for cell in cells if cell not in self.found and cell not in self.broken]
        if row.item not in seen:
            where = f"annotator {annotator}, {NAMES[kind]}"
            self._fault(where, None, "item", f"no row {row.id}", "every row of the sheet is expected", quote=False)
        elif empty:
            file, number = seen[row.item]
            expected = f"{_listed(ALLOWED[kind].values())} is expected"
            self._fault(file, number, ", ".join(empty), "empty", expected, quote=False)

    def _fault(self, file: str, row: int | None, column: str, came: str, allowed: str, *, quote: bool = True) -> None:
        shown = f"{came[:_SHOWN]!r}{'...' if len(came) > _SHOWN else ''} came" if quote else came
        self.answers.faults.append(Fault(file, row, column, shown, allowed))


def _outcome(choice: str, *, swapped: bool) -> Outcome:
    """What a choice of a side means for the first model."""
    if choice == "tie":
        return "tie"
    return "win" if (choice == "A") != swapped else "lose"


def _listed(values: Iterable[str]) -> str:
    *others, last = values
    return f"{', '.join(others)} or {last}"
