"""What every command gives to `main`."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Command:
    """One command. `run` gets the parsed arguments and returns the exit code."""

    name: str
    summary: str
    example: str  # shown below the options
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]


class Parser(ArgumentParser):
    """Help that cannot be written is an error, as any other output is; argparse says nothing of it."""

    def print_help(self, file: Any = None) -> None:
        (file or sys.stdout).write(self.format_help())
