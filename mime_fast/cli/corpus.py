"""What `score` and `generate` share: a corpus job made of their options."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from mime_fast.cli.options import load_options
from mime_fast.cli.output import is_standard_output


def run_job(args: Namespace, kind: Any, search: Mapping[str, Any] | None = None) -> int:
    """Run the job; returns 1 if some rows were bad, else 0."""
    from mime_fast.corpora.job import PART_ROWS, CorpusJob
    from mime_fast.corpora.tasks import Task
    from mime_fast.data.reading.rows import Columns
    from mime_fast.files import write_json

    task = Task(
        kind,
        Columns(args.context_column, args.response_column, args.id_column, args.seed_column, separator=args.separator),
        args.seed,
        args.emotion,
        args.stochastic,
        args.strict_turns,
        args.truncation,
        args.top_emotions,
        search or {},
    )
    ray_address, source, target = _ray_in_out(args)
    job = CorpusJob(
        task,
        source,
        target,
        args.model,
        load_options(args),
        args.input_format,
        (1 if ray_address is None else 0) if args.workers is None else args.workers,
        ray_address,
        PART_ROWS if args.part_rows is None else args.part_rows,
        args.strict,
        args.max_errors,
        args.restart,
        quiet=is_standard_output(target) and sys.stdout.isatty(),
    )
    summary = job.run()
    where = f": {job.errors_file}" if summary.errors and job.errors_file else ""
    print(f"mime-fast: {summary}{where}", file=sys.stderr)
    if args.summary is not None:
        write_json(args.summary, summary.to_dict())
    return 1 if summary.errors else 0


def _ray_in_out(args: Namespace) -> tuple[str | None, str, str | None]:
    """--ray's address, IN and OUT. In `--ray IN OUT` argparse takes IN for the address."""
    address: str | None = args.ray
    if address and args.output is None and not _is_address(address):
        return "", address, args.input
    return address, args.input, args.output


def _is_address(text: str) -> bool:
    return text in ("auto", "local") or text.startswith("ray://") or text.rpartition(":")[2].isdigit()
