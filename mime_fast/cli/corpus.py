"""What `generate`, `score` and `classify` share: their options, and the corpus job made of them."""

from __future__ import annotations

import sys
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mime_fast.cli.command import note
from mime_fast.cli.options import load_options, loaded_text, noise_arguments
from mime_fast.cli.output import is_standard_output
from mime_fast.cli.reading_options import add_reading_options, columns_of, reading_of
from mime_fast.errors import ConfigError
from mime_fast.terminal import is_terminal

if TYPE_CHECKING:
    from mime_fast.corpora.stream_work import Show
    from mime_fast.corpora.tasks import Task
    from mime_fast.data.reading.rows import RawRow


def add_corpus_arguments(parser: ArgumentParser) -> None:
    """IN, OUT and how rows are read, checked, shared and resumed."""
    parser.add_argument(
        "inputs",
        metavar="IN",
        nargs="+",
        help="JSON lines, CSV, TSV, Parquet or text, also .gz and .zst, a folder of them, or a quoted glob; - for "
        "standard input. Of two names the second one is OUT; with --out all are read",
    )
    parser.add_argument(
        "-o",
        "--out",
        metavar="OUT",
        help="ends in .jsonl, .csv, .tsv (also .gz, .zst) or .parquet, or in / for a folder of parts; a path or a URI; "
        "without it, standard output (see --format)",
    )
    _add_reading(parser)
    _add_job(parser)


def _add_reading(parser: ArgumentParser) -> None:
    add_reading_options(parser)
    group = parser.add_argument_group("dialogues")
    group.add_argument(
        "--no-strict-turns",
        dest="strict_turns",
        action="store_false",
        help="take an even number of turns, too (the agent spoke last)",
    )
    group.add_argument(
        "--truncation",
        choices=["oldest"],
        help="drop the oldest turns, in pairs, of a dialogue that is too long (default: the row is bad)",
    )


def _add_job(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("job")
    group.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: 1), or Ray's actors (default: as many as fit)"
    )
    group.add_argument(
        "--ray",
        action=_Ray,
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="work on a Ray cluster: auto, HOST:PORT, ray://HOST:PORT, or local for a new one on this machine "
        "(default: the one that Ray finds, or a new one)",
    )
    group.add_argument(
        "--part-rows",
        type=int,
        metavar="N",
        help="rows that are written as one resumable part (default: 2560, or what the job was started with)",
    )
    group.add_argument(
        "--restart", action="store_true", help="start over, even if OUT belongs to a started or finished job"
    )
    group.add_argument("--force", action="store_true", help="replace an existing OUT that no job made")
    group.add_argument(
        "--first-row", type=int, default=0, metavar="N", help="number of the input's first row (default: %(default)s)"
    )
    group.add_argument(
        "--row-step",
        type=int,
        default=1,
        metavar="N",
        help="difference between the numbers of consecutive rows (default: %(default)s)",
    )
    group.add_argument(
        "--retry-errors",
        metavar="FILE",
        help="answer only the rows in this errors file of an earlier job on IN, with other options or after fixing IN; "
        "they must keep their places and ids",
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="write nothing: show the first rows, the columns that are read, bad rows, the time that it may take and "
        "how far the job is",
    )
    group.add_argument("--strict", action="store_true", help="stop at the first bad row")
    group.add_argument(
        "--max-errors",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="stop when a greater share of the rows is bad (default: %(default)s)",
    )
    group.add_argument(
        "--format",
        choices=["auto", "text", "json"],
        default="auto",
        help="of standard output: text for people, JSON lines, or auto: text on a terminal (default: %(default)s)",
    )
    group.add_argument(
        "--summary", dest="summary_file", metavar="FILE", help="write the summary there, as JSON; - for standard output"
    )
    group.add_argument(
        "--top-emotions",
        type=int,
        metavar="K",
        help="how many emotions, with their probabilities, each output row lists, 0 to 32 (default: 3; of classify 32)",
    )


def run_job(args: Namespace, kind: Any, search: Mapping[str, Any] | None = None) -> int:
    """Run the job; returns 1 if some rows were bad, else 0."""
    from mime_fast.corpora.job import CorpusJob
    from mime_fast.corpora.tasks import Task

    task = Task(
        kind,
        columns_of(args),
        strict_turns=args.strict_turns,
        truncation=args.truncation,
        top_emotions=args.top_emotions,
        search=search or {},
        first_row=args.first_row,
        row_step=args.row_step,
        **({} if kind == "classify" else noise_arguments(args)),
    )
    ray_address, inputs, target = _ray_in_out(args)
    show = _shown(args, task, target)
    job = CorpusJob(
        task,
        inputs,
        target,
        model=args.model,
        load_options=load_options(args),
        reading=reading_of(args),
        workers=(1 if ray_address is None else 0) if args.workers is None else args.workers,
        ray_address=ray_address,
        part_rows=args.part_rows,
        strict=args.strict,
        max_errors=args.max_errors,
        restart=args.restart,
        force=args.force,
        summary_file=args.summary_file,
        retry_errors=args.retry_errors,
        show=show,
        quiet=args.quiet or (is_standard_output(target) and is_terminal(sys.stdout)),
        loaded=(lambda engine: note(args, loaded_text(engine))) if args.verbose else None,
    )
    if args.dry_run:
        found = job.preview(printed=True)
        print(found)
        return 1 if found.bad else 0
    summary = job.run()
    where = f": {job.errors_file}" if summary.errors and job.errors_file else ""
    note(args, f"{summary}{where}")
    return 1 if summary.errors else 0


def _shown(args: Namespace, task: Task, target: str | None) -> Show | None:
    """How rows are written for people; None: as JSON lines, or as OUT's name says."""
    if not is_standard_output(target):
        if args.format != "auto":
            raise ConfigError(f"--format {args.format}: the name of OUT says its format; must be without OUT")
        return None
    if args.format == "json" or (args.format == "auto" and not is_terminal(sys.stdout)):
        return None
    from mime_fast.cli.rows import row_text
    from mime_fast.data.reading.rows import BadRow, check
    from mime_fast.terminal import Look

    look, encoding = Look.of(sys.stdout), getattr(sys.stdout, "encoding", None) or "utf-8"

    def show(raw: RawRow, record: Mapping[str, Any]) -> bytes:
        row = check(task.numbered(raw), task.columns, need_response=task.kind == "score", strict_turns=False)
        assert not isinstance(row, BadRow)  # it was answered
        return row_text(row, record, look).encode(encoding, "backslashreplace")

    return show


class _Ray(Action):
    """An address, and how many names came before it."""

    def __call__(self, parser: ArgumentParser, args: Namespace, value: object, option: str | None = None) -> None:
        args.ray = value, len(args.inputs or ())


def _ray_in_out(args: Namespace) -> tuple[str | None, list[str], str | None]:
    """--ray's address, all IN, and OUT. In `--ray IN OUT` argparse takes IN for the address, in `IN --ray OUT` OUT."""
    address, before = args.ray or (None, 0)
    names: list[str] = args.inputs
    if address and not _is_address(address):
        address, names = "", [*names[:before], address, *names[before:]]
    if args.out is not None:
        return address, names, args.out
    if len(names) > 2:
        raise ConfigError(
            f"{len(names)} names without --out ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''}): name the "
            "output by --out OUT; or quote the glob ('*.jsonl') if the shell has put these names in its place"
        )
    return address, names[:1], names[1] if len(names) == 2 else None


def _is_address(text: str) -> bool:
    _, colon, port = text.rpartition(":")
    return text in ("auto", "local") or text.startswith("ray://") or (bool(colon) and port.isdigit())
