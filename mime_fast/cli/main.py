"""The `mime-fast` command. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import partial

from mime_fast._version import __version__
from mime_fast.cli import cases, chat, classify, convert, evaluate, explain, generate, human, info, plot, score, train
from mime_fast.cli.command import Parser, add_message_options
from mime_fast.cli.flags import in_flags, take_names, unknown
from mime_fast.cli.termination import Terminated, terminable
from mime_fast.errors import MimeFastError
from mime_fast.extras import cure
from mime_fast.streams import flush_output, tell, usable
from mime_fast.terminal import printable

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
  2  wrong usage, option, file or model
 70  a fault of mime-fast itself"""
ERROR, FAULT = 2, 70  # the latter is EX_SOFTWARE of sysexits.h
INTERRUPTED, PIPE_CLOSED, TERMINATED = 130, 141, 143  # as a shell reports SIGINT, SIGPIPE and SIGTERM


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `argv` defaults to the process's own arguments."""
    with usable():
        try:
            with terminable():
                return _flushed(_run(argv))
        except Terminated:
            return TERMINATED


def _flushed(code: int) -> int:
    """The exit code, when what was printed is written."""
    try:
        flush_output()
    except BrokenPipeError:
        _leave_stdout()
        return PIPE_CLOSED
    except OSError as error:
        if not code:
            tell(f"{PROG}: error: {error}")
            code = ERROR
        _leave_stdout()
    return code


def _run(argv: Sequence[str] | None) -> int:
    told: Callable[[str], str] = str
    verbose = False
    try:
        parser = make_parser()
        if "_ARGCOMPLETE" in os.environ:  # set by the shell's completion
            with contextlib.suppress(ModuleNotFoundError):
                import argcomplete

                argcomplete.autocomplete(parser)
        args, others = parser.parse_known_args(argv)
        verbose = args.verbose
        if others := take_names(args, others):
            args.parser.error(unknown(others, args.parser))
        told = partial(in_flags, parser=args.parser, recipe=getattr(args, "recipe", None))
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code: int = args.run(args)
        return code
    except SystemExit as stop:  # argparse's: help, the version, wrong usage
        return stop.code if isinstance(stop.code, int) else 0
    except BrokenPipeError:
        _leave_stdout()
        return PIPE_CLOSED
    except KeyboardInterrupt:
        tell("")
        return INTERRUPTED
    except (MimeFastError, OSError) as error:
        if verbose:
            traceback.print_exc()
        tell(f"{PROG}: error: {told(str(error)) if isinstance(error, MimeFastError) else error}")
        return ERROR
    except Exception as error:
        return _fault(error)


def _fault(error: Exception) -> int:
    """Say what went wrong: a package that is not installed, or a mistake of ours."""
    if isinstance(error, ModuleNotFoundError) and (reason := cure(error)):
        tell(f"{PROG}: error: this command needs more: {reason}")
        return ERROR
    with contextlib.suppress(OSError, ValueError, AttributeError):
        traceback.print_exc()
    tell(f"{PROG}: fault: {type(error).__name__}: {error} (this should not happen: please report it)")
    return FAULT


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = Parser(
        PROG,
        description="Empathetic replies by MIME (Majumder et al., EMNLP 2020).",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
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
        for leaf in leaves(child):
            add_message_options(leaf)
            leaf.set_defaults(parser=leaf)
        child.set_defaults(run=command.run)
    return parser


def leaves(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parser, or those of its commands where it has some."""
    nested = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return [leaf for one in nested for child in one.choices.values() for leaf in leaves(child)] if nested else [parser]


class _Version(argparse.Action):
    def __call__(self, *_: object) -> None:
        print(f"{PROG} {__version__}")
        raise SystemExit(0)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """In place of Python's, which names a line of this package."""
    tell(f"{PROG}: warning: {printable(str(message))}")


def _leave_stdout() -> None:
    """Nobody takes what is written any more: point it nowhere, so that the flush at exit does not fail again."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # not a real file: nothing to flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
