"""The `mime-fast` command. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Sequence

from mime_fast._version import __version__
from mime_fast.cli import cases, chat, classify, convert, evaluate, explain, generate, human, info, plot, score, train
from mime_fast.cli.flags import in_flags, unknown
from mime_fast.errors import MimeFastError
from mime_fast.extras import cure

PROG = "mime-fast"
COMMANDS = (
    generate.COMMAND,
    classify.COMMAND,
    score.COMMAND,
    chat.COMMAND,
    train.COMMAND,
    evaluate.COMMAND,
    cases.COMMAND,
    plot.COMMAND,
    explain.COMMAND,
    human.COMMAND,
    convert.COMMAND,
    info.COMMAND,
)
EXIT_CODES = """exit codes:
  0  all went well
  1  some rows of the input were bad; the others were answered
  2  wrong usage, option, file or model"""
ERROR, INTERRUPTED, PIPE_CLOSED = 2, 130, 141  # the last two as a shell reports SIGINT and SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `argv` defaults to the process's own arguments."""
    args, others = make_parser().parse_known_args(argv)
    if others:
        args.parser.error(unknown(others, args.parser))
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code: int = args.run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _leave_stdout()
        return PIPE_CLOSED
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    except MimeFastError as error:
        print(f"{PROG}: error: {in_flags(str(error), args.parser)}", file=sys.stderr)
        return ERROR
    except OSError as error:
        print(f"{PROG}: error: {error}", file=sys.stderr)
        return ERROR
    except ModuleNotFoundError as error:
        if not (reason := cure(error)):
            raise
        print(f"{PROG}: error: this command needs more: {reason}", file=sys.stderr)
        return ERROR


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        PROG,
        description="Empathetic replies by MIME (Majumder et al., EMNLP 2020).",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        child = commands.add_parser(
            command.name,
            help=command.summary,
            description=command.summary[0].upper() + command.summary[1:] + ".",
            epilog=f"example:\n{command.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_arguments(child)
        child.set_defaults(run=command.run, parser=child)
    return parser


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """In place of Python's, which names a line of this package."""
    print(f"{PROG}: warning: {message}", file=sys.stderr)


def _leave_stdout() -> None:
    """Nobody reads standard output any more: point it nowhere, so that the flush at exit does not fail again."""
    with contextlib.suppress(OSError):  # not a real file: nothing to flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
