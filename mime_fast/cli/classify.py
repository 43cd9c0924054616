"""`mime-fast classify`: the user's emotion in every dialogue of a corpus."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from mime_fast.cli.command import Command
from mime_fast.cli.corpus import add_corpus_arguments, run_job
from mime_fast.cli.options import add_model_options

EXAMPLE = """  mime-fast classify examples/dialogues.jsonl emotions.jsonl
  mime-fast classify 'corpus/*.parquet' emotions.csv --top-emotions 3

A row is {"id": ..., "context": [...]}, the user's utterance last.
The answer is {"id", "row", "emotion", "emotion_probs", "polarity"}. Started again, a job that was stopped goes on."""


def add_arguments(parser: ArgumentParser) -> None:
    add_corpus_arguments(parser)
    add_model_options(parser)


def run(args: Namespace) -> int:
    return run_job(args, "classify")


COMMAND = Command("classify", "name the user's emotion in every dialogue of a corpus", EXAMPLE, add_arguments, run)
