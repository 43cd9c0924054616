"""What every command gives to `main`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command. `run` gets the parsed arguments and returns the exit code."""

    name: str
    summary: str
    example: str  # shown below the options
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
