"""The folder of a study: what each annotator gets, and the key apart from it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mime_fast.errors import ConfigError
from mime_fast.evaluation.human.criteria import (
    COMPARISON,
    COMPARISON_GUIDE,
    CRITERIA,
    RATING_GUIDE,
    Kind,
)
from mime_fast.evaluation.human.key import write_key
from mime_fast.evaluation.human.page import file_name, write_page
from mime_fast.evaluation.human.sheets import write_sheet
from mime_fast.evaluation.human.study import KINDS, SheetRow, Study
from mime_fast.files import naming, write_bytes

KEY = Path("private", "key.json")


def folder_name(annotator: int) -> str:
    """What an annotator's folder is called inside a study's."""
    return f"for-annotator-{annotator}"


def check_empty(folder: str | os.PathLike[str]) -> None:
    """Refuse a folder that has files already: they might be somebody's answers.

    Raises:
        ConfigError: it has.
        OutputError: it cannot be looked at.
    """
    path = Path(folder)
    with naming(path):
        is_free = not path.exists() or (path.is_dir() and not any(path.iterdir()))
    if not is_free:
        raise ConfigError(f"{folder}: is not empty; must be a new or an empty folder")


def write_study(study: Study, folder: str | os.PathLike[str]) -> None:
    """Write everything: `for-annotator-N` with sheets, page and instructions, and `private/key.json`.

    Raises:
        ConfigError: the folder is not empty.
        OutputError: it cannot be written.
    """
    check_empty(folder)
    content = {str(KEY): write_key(study)}
    for annotator in range(1, study.annotators + 1):
        sheets: dict[Kind, Sequence[SheetRow]] = {kind: study.sheets[kind, annotator] for kind in KINDS}
        content |= {
            f"{folder_name(annotator)}/{name}": body for name, body in annotator_files(study, annotator, sheets).items()
        }
    _write(Path(folder), content)


def write_fourth(study: Study, items: Sequence[int], folder: str | os.PathLike[str]) -> bool:
    """Write what one more annotator gets to settle the comparisons `items`; whether it was not there already.

    Raises:
        ConfigError: the folder contains other files.
        OutputError: it cannot be written.
    """
    annotator = study.annotators + 1
    rows = [row for row in study.sheets["ab", annotator] if row.item in items]
    content = annotator_files(study, annotator, {"ab": rows})
    path = Path(folder)
    if path.is_dir() and all(
        (path / name).is_file() and (path / name).read_bytes() == content[name] for name in content
    ):
        return False
    check_empty(folder)
    _write(path, content)
    return True


def annotator_files(study: Study, annotator: int, sheets: Mapping[Kind, Sequence[SheetRow]]) -> dict[str, bytes]:
    """File names and contents for one annotator, empty sheets left out."""
    asked = {kind: rows for kind, rows in sheets.items() if rows}
    content = {file_name(kind, annotator): write_sheet(study, kind, rows) for kind, rows in asked.items()}
    content["page.html"] = write_page(study, annotator, asked)
    content["instructions.txt"] = _instructions(annotator, list(asked)).encode()
    return content


def _instructions(annotator: int, kinds: Sequence[Kind]) -> str:
    names = " and ".join(file_name(kind, annotator) for kind in kinds)
    parts = [
        f"You are annotator {annotator}.",
        f"Open page.html in a browser (it needs no network), answer every item, and save {names} there. Or fill in the "
        "empty columns of the CSV files of these names in a spreadsheet, and save them as CSV. Change nothing else. "
        "Please do not talk with other annotators about the items until all are done.",
    ]
    if "ratings" in kinds:
        parts += [RATING_GUIDE, *(f"  {name}: {question} 1, 2, 3, 4 or 5" for name, question in CRITERIA.items())]
    if "ab" in kinds:
        parts += [COMPARISON_GUIDE, f"  choice: {COMPARISON} A, B or tie"]
    return "\n\n".join(parts) + "\n"


def _write(folder: Path, content: Mapping[str, bytes]) -> None:
    """Write all files, or leave all as it was."""
    made: list[Path] = []
    try:
        for name, body in content.items():
            path = folder / name
            with naming(folder):
                for parent in reversed(path.parents):
                    if not parent.exists():
                        parent.mkdir()
                        made.append(parent)
            made.append(path)
            write_bytes(path, body)
    except BaseException:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise
