"""Checkpoints that try to run code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


class RunsCode:
    """Leaves a file behind if its pickle is ever carried out."""

    def __init__(self, mark: Path, function: Any = os.system) -> None:
        self.call = (function, (f"touch {mark}",))

    def __reduce__(self) -> Any:
        return self.call
