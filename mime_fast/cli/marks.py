"""The mark in what a command writes, by which it knows a file that it may replace; any other file is the user's."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import Any

from mime_fast.errors import DataError
from mime_fast.files import json_bytes

_PICTURES = b"\x89PNG", b"<?xml", b"%PDF"
_END = 1 << 13  # bytes at either end that have the mark


def marked_json(found: Mapping[str, Any], made_by: str) -> bytes:
    """A report as JSON, whose first key is its mark."""
    return json_bytes({"made_by": made_by, **found}, indent=2)


def marked_text(text: str, made_by: str) -> bytes:
    """A report in Markdown, and its mark, a comment with a hash of the text: what was added to it is the user's."""
    body = text.encode() + b"\n\n"
    return body + f"<!-- {picture_mark(made_by)} {_digest(body)} -->\n".encode()


def picture_mark(made_by: str) -> str:
    """What the metadata of a picture have."""
    return f"made by {made_by}"


def refuse_other_file(path: str, made_by: str, flag: str) -> None:
    """Raise a DataError for a file that this command did not make, or for Markdown that was changed since.

    An empty one is replaced, and JSON by its first key, also where it was changed.
    """
    if os.path.isfile(path) and os.path.getsize(path) and not _is_made_by(path, made_by):
        raise DataError(
            f"{flag} {path}: exists, and is not as {made_by} made it; give another name, or --force replaces it"
        )


def _is_made_by(path: str, made_by: str) -> bool:
    with open(path, "rb") as stream:
        start = stream.read(_END)
        stream.seek(-min(_END, os.path.getsize(path)), os.SEEK_END)
        end = stream.read()
        if start.startswith(_PICTURES):
            return picture_mark(made_by).encode() in start + end
        if re.match(rb'\s*\{\s*"made_by":\s*"%s"' % re.escape(made_by.encode()), start):
            return True
        mark = re.search(rb"<!-- %s ([0-9a-f]+) -->\n\Z" % re.escape(picture_mark(made_by).encode()), end)
        if mark is None:
            return False
        stream.seek(0)
        return mark[1].decode() == _digest(stream.read()[: -len(mark[0])])


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]
