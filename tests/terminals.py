"""What a test writes to or reads from as if it were a terminal."""

from __future__ import annotations

import io


class Terminal(io.StringIO):
    """Standard error, say, that keeps what was shown."""

    def isatty(self) -> bool:
        return True
