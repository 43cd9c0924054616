"""Messages of the package in the words of the command line: flags in place of Python options."""

from __future__ import annotations

import argparse
import re
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import partial
from itertools import takewhile

_QUOTES = "\"'"
_FILE = re.compile(r"[^:]*((config|run)\.json|, line \d+): ")  # the names after it are that file's
_VALUE = r"(?P<value>'[^']*'|\"[^\"]*\"|\[[^\]]*\]|[^\s,;:()]+)"


def in_flags(message: str, parser: ArgumentParser, recipe: str | None = None) -> str:
    """The message with `--num-beams 3` in place of `num_beams=3`, for all flags of the parser.

    One about what a recipe (of this name), a config or a run's note says stays as it is.
    """
    if _FILE.match(message) or (recipe and message.startswith((f"{recipe}:", f"{recipe}, stage "))):
        return message
    for action in _flags(parser):
        message = re.sub(rf"(?<![^\s(]){action.dest}={_VALUE}", partial(_given, action), message)
        if "_" in action.dest:
            message = re.sub(rf"(?<![^\s(]){action.dest}(?![\w=.])", action.option_strings[0], message)
    return re.sub(r"(--[\w-]+(?: \w+)?) or \1(?![\w-])", r"\1", message)  # of messages that name both


def take_names(args: Namespace, others: Sequence[str]) -> list[str]:
    """What is left of arguments that argparse did not take, when those of a list of names have joined it.

    It takes only the names before the first option for such a list.
    """
    lists = [one for one in args.parser._actions if not one.option_strings and one.nargs in ("+", "*")]
    names = list(takewhile(lambda text: text == "-" or not text.startswith("-"), others)) if lists else []
    rest = list(others[len(names) :])
    if lists and rest[:1] == ["--"]:  # all that follows are names
        names, rest = [*names, *rest[1:]], []
    if names:
        setattr(args, lists[0].dest, [*getattr(args, lists[0].dest), *names])
    return rest


def unknown(arguments: Sequence[str], parser: ArgumentParser) -> str:
    """What to say of arguments that a command does not know, with a hint where one looks like a flag of it."""
    from mime_fast.engine.options import ELSEWHERE

    text = f"unrecognized arguments: {' '.join(arguments)}"
    flags = [name for action in _flags(parser) for name in action.option_strings]
    for argument in arguments:
        name = argument.partition("=")[0]
        if name in flags:
            return f"{text} ({name} must come after {parser.prog})"
        if not name.startswith("--") or name == "--":
            continue
        known = "--" + ELSEWHERE.get(name[2:].replace("-", "_"), "").replace("_", "-")
        longer = [flag for flag in flags if flag.startswith(name)]
        near = get_close_matches(name, longer or flags, 1, 0.0 if longer else 0.6)
        if known in flags:
            near = [known]
        if near:
            return f"{text} (did you mean {near[0]}?)"
    return text


def _flags(parser: ArgumentParser) -> Iterator[Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in dict.fromkeys(action.choices.values()):
                yield from _flags(child)
        elif action.option_strings:
            yield action


def _given(action: Action, found: re.Match[str]) -> str:
    name, value = action.option_strings[0], found["value"]
    if value in ("True", "False") and action.nargs == 0:
        wanted = value == "True"
        if isinstance(action, argparse.BooleanOptionalAction):
            return name if wanted else action.option_strings[1]
        return name if action.const is wanted else f"no {name}"
    return f"{name} {value.strip(_QUOTES)}"
