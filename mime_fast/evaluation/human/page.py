"""One annotator's items as one HTML file that needs no network, keeps answers and saves them as the sheets' CSV."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from mime_fast.evaluation.human.criteria import (
    ANSWERS,
    CHOICES,
    COLUMNS,
    COMPARISON,
    COMPARISON_GUIDE,
    CRITERIA,
    RATING_GUIDE,
    RATINGS,
    Kind,
)
from mime_fast.evaluation.human.sheets import NO_WORDS, SPEAKERS, shown_replies, turns
from mime_fast.evaluation.human.study import SheetRow, Study

TITLES: dict[Kind, str] = {"ratings": "Ratings", "ab": "Comparisons"}
GUIDES: dict[Kind, str] = {"ratings": RATING_GUIDE, "ab": COMPARISON_GUIDE}


def file_name(kind: Kind, annotator: int) -> str:
    """What a sheet is called, in the folder and when the page saves it."""
    return f"{kind}-{annotator}.csv"


def write_page(study: Study, annotator: int, sheets: Mapping[Kind, Sequence[SheetRow]]) -> bytes:
    """The page for an annotator's rows; nothing in it depends on the models' names.

    No text of a dialogue is ever read as HTML: it is JSON in a data block, with every `<`, `>` and `&` escaped, and is
    shown as text nodes. A content security policy allows this page's own script and style, by their hashes, and no
    connection at all.
    """
    parts = [_part(study, kind, annotator, rows) for kind, rows in sheets.items() if rows]
    data = {
        "study": study.tag,
        "annotator": annotator,
        "criteria": CRITERIA,
        "comparison": COMPARISON,
        "ratings": [str(rating) for rating in RATINGS],
        "choices": list(CHOICES),
        "listener": SPEAKERS[1],
        "nothing": NO_WORDS,
        "parts": parts,
    }
    script, style = _asset("page.js"), _asset("page.css")
    filled = {
        "annotator": str(annotator),
        "script_hash": _hash(script),
        "style_hash": _hash(style),
        "script": script,
        "style": style,
        "data": _data_block(data),
    }
    first, *rest = _asset("page.html").split("{{")
    pieces = [first]
    for piece in rest:
        name, _, text = piece.partition("}}")
        pieces += [filled[name], text]
    return "".join(pieces).encode()


def _part(study: Study, kind: Kind, annotator: int, rows: Sequence[SheetRow]) -> dict[str, Any]:
    listed = []
    for row in rows:
        instance, replies = shown_replies(study, kind, row)
        listed.append({"id": row.id, "turns": turns(study.instances[instance].context), "replies": replies})
    return {
        "kind": kind,
        "title": TITLES[kind],
        "guide": GUIDES[kind],
        "file": file_name(kind, annotator),
        "columns": COLUMNS[kind],
        "answers": ANSWERS[kind],
        "rows": listed,
    }


def _asset(name: str) -> str:
    return files("mime_fast.evaluation.human").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _data_block(data: object) -> str:
    """JSON in ASCII that cannot end a script element."""
    text = json.dumps(data)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
