"""JSON files that people give: reports, summaries, keys and records."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mime_fast.errors import DataError


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value in a file, UTF-8 with or without a byte order mark.

    Raises:
        DataError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{os.fspath(path)}: not readable as JSON ({error})") from None
