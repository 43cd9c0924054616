"""The page of all commands and options, from the parsers of `mime-fast`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from functools import partial

from mime_fast.cli.main import PROG, make_parser

WIDTH = 86  # of a usage line
INTRODUCTION = f"""# All commands and options

Made from the parsers of this version; `{PROG} COMMAND --help` says the same. [The command line](cli.md) says what the
commands read and write.
"""


def commands_page() -> str:
    """Every command with its usage, arguments, options and example, as Markdown."""
    parts = [INTRODUCTION]
    for name, parser in _commands(make_parser()):
        depth = name.count(" ")
        parts.append(f"{'#' * (depth + 1)} {name}\n\n{_section(parser)}")
    return "\n".join(parts)


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """All parsers below this one by their full names, in the order of `--help`."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield child.prog, child
                yield from _commands(child)


def _section(parser: argparse.ArgumentParser) -> str:
    parser.formatter_class = partial(argparse.RawDescriptionHelpFormatter, width=WIDTH)
    parts = [_prose(parser.description or ""), f"```text\n{parser.format_usage().strip()}\n```\n"]
    for group in parser._action_groups:
        rows = [_row(parser, action) for action in group._group_actions if action.help != argparse.SUPPRESS]
        if rows:
            head = (group.title or "").replace("positional arguments", "arguments")
            parts += [f"| {head} | |\n|---|---|\n" + "".join(rows)]
    if parser.epilog:
        title, _, example = parser.epilog.partition("\n")
        parts.append(f"{title[0].upper()}{title[1:]}\n\n```text\n{example}\n```\n")
    return "\n".join(parts)


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """An argument's names with its value, and its help."""
    formatter = parser._get_formatter()
    if isinstance(action, argparse._SubParsersAction):
        names = ", ".join(f"`{name}`" for name in action.choices)
        return f"| {names} | {_cell(action.help or 'see below')} |\n"
    value = formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
    if not action.option_strings:
        value = formatter._format_args(action, formatter._get_default_metavar_for_positional(action))
    names = ", ".join(action.option_strings)
    shown = " ".join(part for part in (names, value) if part)
    return (
        f"| `{shown.replace('|', chr(92) + '|')}` | {_cell(formatter._expand_help(action)) if action.help else ''} |\n"
    )


def _cell(text: str) -> str:
    return _prose(" ".join(text.split())).strip()


def _prose(text: str) -> str:
    """Plain text as Markdown that shows it as it is."""
    return re.sub(r"([\\*_|<>`\[\]])", r"\\\1", text) + "\n"
