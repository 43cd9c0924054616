"""`mime-fast score`: how likely given responses are."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mime_fast.cli.command import Command
from mime_fast.cli.options import add_file_options, add_model_options, add_noise_options
from mime_fast.cli.rows import Answer, answer_file, row_emotions, row_seeds
from mime_fast.data.dialogues import Row

if TYPE_CHECKING:
    from mime_fast.engine.engine import Engine

EXAMPLE = """  mime-fast score examples/responses.jsonl scores.jsonl

A row is {"id": ..., "context": [...], "response": ...}; it may have its own "seed" and "emotion".
The answer is {"id", "logprob", "perplexity", "token_logprobs", "emotion"}; the end mark counts as a token."""


def add_arguments(parser: ArgumentParser) -> None:
    add_file_options(parser)
    add_noise_options(parser)
    add_model_options(parser)


def run(args: Namespace) -> int:
    return answer_file(args, lambda engine: _answer(engine, args), need_response=True)


def _answer(engine: Engine, args: Namespace) -> Answer:
    def answer(rows: Sequence[Row]) -> list[dict[str, Any]]:
        scores = engine.score(
            [row.context for row in rows],
            [row.response for row in rows if row.response is not None],
            emotions=row_emotions(rows, args.emotion),
            stochastic=args.stochastic,
            seed=row_seeds(rows, args.seed),
            request_ids=[row.index for row in rows],
            strict_turns=args.strict_turns,
            truncation=args.truncation,
        )
        return [
            {
                "id": row.id,
                "logprob": one.logprob,
                "perplexity": one.perplexity,
                "token_logprobs": list(one.token_logprobs),
                "emotion": one.emotion,
            }
            for row, one in zip(rows, scores, strict=True)
        ]

    return answer


COMMAND = Command("score", "say how likely the response of every dialogue of a file is", EXAMPLE, add_arguments, run)
