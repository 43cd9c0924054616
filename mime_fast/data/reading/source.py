"""One file of an input."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from errno import EACCES
from stat import S_ISREG

from mime_fast.data.reading.options import Reading
from mime_fast.errors import DataError

STANDARD_INPUT = "standard input"  # its name


@dataclass(frozen=True)
class Source:
    """One file of the input, or standard input."""

    name: str  # a path or a URI
    reading: Reading = field(default_factory=Reading)
    size: int = 0  # bytes; 0 where nobody knows
    modified: int = 0  # ns
    is_standard_input: bool = False
    is_stream: bool = False  # standard input, or a pipe with a name: read once, from its beginning to its end

    @classmethod
    def file(cls, name: str, reading: Reading) -> Source:
        """A local file. Raises DataError: it is not there, or cannot be read."""
        try:
            status = os.stat(name)
            if not os.access(name, os.R_OK):
                raise PermissionError(EACCES, os.strerror(EACCES))
        except OSError as error:
            raise DataError(f"{name}: cannot be read: {error.strerror or error}") from None
        is_regular = S_ISREG(status.st_mode)
        return cls(name, reading, status.st_size if is_regular else 0, status.st_mtime_ns, is_stream=not is_regular)
