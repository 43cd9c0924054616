"""What every command gives to `main`."""

from __future__ import annotations

import sys
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mime_fast.streams import tell


@dataclass(frozen=True)
class Command:
    """One command. `run` gets the parsed arguments and returns the exit code."""

    name: str
    summary: str
    example: str  # shown below the options
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]


def add_message_options(parser: ArgumentParser) -> None:
    """--quiet and --verbose."""
    group = parser.add_argument_group("messages on standard error").add_mutually_exclusive_group()
    group.add_argument("-q", "--quiet", action="store_true", help="only errors, warnings and bad rows")
    group.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="also tracebacks of errors and, where this process loads one model to run it, which engine and why",
    )


def note(args: Namespace, text: str) -> None:
    """A message that --quiet leaves out."""
    if not args.quiet:
        tell(f"mime-fast: {text}")


def offer(action: Action, values: Callable[[], Iterable[str]]) -> None:
    """What the shell's completion offers for an option whose values the parser does not check itself."""
    setattr(action, "completer", lambda **_: list(values()))  # noqa: B010 (argcomplete's name, which argparse lacks)


class Parser(ArgumentParser):
    """Help that cannot be written is an error, as any other output is; argparse says nothing of it."""

    def print_help(self, file: Any = None) -> None:
        (file or sys.stdout).write(self.format_help())
