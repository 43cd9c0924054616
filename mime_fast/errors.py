"""The one error family. A message says what came, what it must be, and where."""

import re
from collections.abc import Callable, Iterable
from typing import Any, Self

_NUMBERED = re.compile(r"( (?:for|of) dialogues )\[([\d, ]+)\]( of this batch)")  # as back ends name dialogues


class MimeFastError(Exception):
    """Base of every error that mime_fast raises on purpose.

    Attributes:
        dialogues: places of the dialogues that a back end could not answer, within the call; else empty.
    """

    dialogues: tuple[int, ...] = ()

    def about(self, dialogues: Iterable[int]) -> Self:
        """The error with its `dialogues`."""
        self.dialogues = tuple(sorted({int(dialogue) for dialogue in dialogues}))
        return self

    def renumbered(self, owners: Callable[[int], Iterable[int]]) -> Self:
        """The error about other dialogues, in its text, too: `owners` gives those of each number that it has now."""

        def of(numbers: Iterable[int]) -> list[int]:
            return sorted({int(dialogue) for number in numbers for dialogue in owners(number)})

        text = _NUMBERED.sub(lambda named: f"{named[1]}{of(map(int, named[2].split(',')))}{named[3]}", str(self))
        self.args = (text, *self.args[1:])
        return self.about(of(self.dialogues))

    def unnumbered(self) -> str:
        """The text without the dialogues' numbers, for where it stands beside one of them."""
        return _NUMBERED.sub("", str(self))


class ConfigError(MimeFastError, ValueError):
    """A model or generation config, or an option of a call, is not allowed."""


class InputError(MimeFastError, ValueError):
    """A dialogue, a response, an emotion or a request id cannot be used."""


class DataError(MimeFastError, ValueError):
    """A data file is missing, unreadable or malformed; the message names file and line."""


class OutputError(DataError, OSError):
    """A file cannot be written: no such folder, no right to, a full disk; the message names it."""

    @classmethod
    def of(cls, path: str, error: OSError) -> Self:
        """The system's error, with the name of the file and its `errno`."""
        made = cls(f"{path}: cannot be written: {error.strerror or error}")
        made.errno = error.errno
        return made

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...], dict[str, Any]]:
        """As any error, with its `errno`, which OSError leaves out."""
        return type(self), self.args, {**self.__dict__, "errno": self.errno}


class CheckpointError(MimeFastError, ValueError):
    """A model folder or a checkpoint file is missing, broken or does not fit its config."""


class BackendError(MimeFastError, RuntimeError):
    """A device or an implementation was asked for by name and cannot run here."""


class MissingPackage(BackendError, ImportError):
    """What was asked for needs a package that is not installed; the message names the extra that installs it.

    `load`, which chooses among back ends, says that none can run by a plain BackendError.
    """
