"""What the programs in this folder ask of their arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection


def at_least(low: int) -> Callable[[str], int]:
    """For `type=`: an integer of `low` or more."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"{text!r}: must be an integer of {low} or more")
        return value

    return number


def some_of(known: Collection[str]) -> Callable[[str], list[str]]:
    """For `type=`: some of `known` with commas between."""

    def listed(text: str) -> list[str]:
        for each in text.split(","):
            if each not in known:
                raise argparse.ArgumentTypeError(f"{each!r}: must be one of {', '.join(known)}")
        return text.split(",")

    return listed
