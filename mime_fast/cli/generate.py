"""`mime-fast generate`: replies to a corpus of dialogues."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from mime_fast.cli.command import Command
from mime_fast.cli.corpus import add_corpus_arguments, run_job
from mime_fast.cli.options import (
    add_model_options,
    add_noise_options,
    add_search_options,
    search_arguments,
)

EXAMPLE = """  mime-fast generate examples/dialogues.jsonl replies.jsonl
  echo '{"context": ["My cat ran away."]}' | mime-fast generate - --num-beams 1 --do-sample --top-k 40 --seed 7

A row is {"id": ..., "context": [...]}, the user's utterance last; it may have its own "seed" and, with
--emotion-column emotion, "emotion".
The answer is {"id", "row", "seed", "text", "score", "logprob", "num_tokens", "finish_reason", "emotion",
"emotion_probs", "polarity", "mixture"}, and "candidates" where several replies are asked for. Started again, a job
that was stopped goes on."""


def add_arguments(parser: ArgumentParser) -> None:
    add_corpus_arguments(parser)
    add_search_options(parser)
    add_noise_options(parser)
    add_model_options(parser, logprobs=True)


def run(args: Namespace) -> int:
    return run_job(args, "generate", search_arguments(args))


COMMAND = Command("generate", "answer every dialogue of a corpus", EXAMPLE, add_arguments, run)
