"""What `score` and `generate` share: a corpus job made of their options."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mime_fast.cli.options import load_options
from mime_fast.cli.output import is_standard_output


def run_job(args: Namespace, kind: Any, search: Mapping[str, Any] | None = None) -> int:
    """Run the job; returns 1 if some rows were bad, else 0."""
    from mime_fast.corpora.job import PART_ROWS, CorpusJob
    from mime_fast.corpora.rows import Columns
    from mime_fast.corpora.tasks import Task
    from mime_fast.corpora.writers import write_json

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
    job = CorpusJob(
        task,
        args.input,
        args.output,
        args.model,
        load_options(args),
        args.input_format,
        args.workers,
        PART_ROWS if args.part_rows is None else args.part_rows,
        args.strict,
        args.max_errors,
        args.restart,
        quiet=is_standard_output(args.output) and sys.stdout.isatty(),
    )
    summary = job.run()
    where = f": {job.errors_file}" if summary.errors and job.errors_file else ""
    print(f"mime-fast: {summary}{where}", file=sys.stderr)
    if args.summary is not None:
        write_json(Path(args.summary), summary.to_dict())
    return 1 if summary.errors else 0
