"""`mime-fast score`: how likely given responses are."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from mime_fast.cli.command import Command
from mime_fast.cli.corpus import add_corpus_arguments, run_job
from mime_fast.cli.options import add_model_options, add_noise_options

EXAMPLE = """  mime-fast score examples/responses.jsonl scores.jsonl
  mime-fast score 'corpus/*.jsonl.gz' scores.parquet --workers 4

A row is {"id": ..., "context": [...], "response": ...}; it may have its own "seed" and, with
--emotion-column emotion, "emotion".
The answer is {"id", "row", "logprob", "perplexity", "tokens", "token_logprobs", "emotion", "emotion_probs",
"polarity", "mixture"}; the end mark counts as a token. Started again, a job that was stopped goes on."""


def add_arguments(parser: ArgumentParser) -> None:
    add_corpus_arguments(parser)
    add_noise_options(parser)
    add_model_options(parser, logprobs=True)


def run(args: Namespace) -> int:
    return run_job(args, "score")


COMMAND = Command("score", "say how likely the response of every dialogue of a corpus is", EXAMPLE, add_arguments, run)
