"""`mime-fast generate`: replies to a file of dialogues."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mime_fast.cli.command import Command
from mime_fast.cli.options import (
    add_file_options,
    add_model_options,
    add_noise_options,
    add_search_options,
    search_arguments,
)
from mime_fast.cli.rows import Answer, answer_file, row_emotions, row_seeds
from mime_fast.data.dialogues import Row

if TYPE_CHECKING:
    from mime_fast.engine.engine import Engine
    from mime_fast.engine.results import EmotionMixture, Reply

EXAMPLE = """  mime-fast generate examples/dialogues.jsonl replies.jsonl
  echo '{"context": ["My cat ran away."]}' | mime-fast generate - --num-beams 1 --do-sample --top-k 40 --seed 7

A row is {"id": ..., "context": [...]}, the user's utterance last; it may have its own "seed" and "emotion".
The answer is {"id", "text", "score", "emotion", "mixture"}, and "candidates" where several replies are asked for."""


def add_arguments(parser: ArgumentParser) -> None:
    add_file_options(parser)
    add_search_options(parser)
    add_noise_options(parser)
    add_model_options(parser)


def run(args: Namespace) -> int:
    return answer_file(args, lambda engine: _answer(engine, args))


def _answer(engine: Engine, args: Namespace) -> Answer:
    def answer(rows: Sequence[Row]) -> list[dict[str, Any]]:
        replies = engine.generate(
            [row.context for row in rows],
            **search_arguments(args),
            stochastic=args.stochastic,
            seed=row_seeds(rows, args.seed),
            request_ids=[row.index for row in rows],
            emotions=row_emotions(rows, args.emotion),
            strict_turns=args.strict_turns,
            truncation=args.truncation,
        )
        return [_line(row, reply) for row, reply in zip(rows, replies, strict=True)]

    return answer


def _line(row: Row, reply: Reply) -> dict[str, Any]:
    line: dict[str, Any] = {
        "id": row.id,
        "text": reply.text,
        "score": reply.score,
        "emotion": reply.emotion,
        "mixture": _mixture(reply.mixture),
    }
    if len(reply.candidates) > 1:
        line["candidates"] = [
            {"text": one.text, "score": one.score, "logprob": one.logprob} for one in reply.candidates
        ]
    return line


def _mixture(mixture: EmotionMixture) -> dict[str, Any]:
    return {
        "polarity": mixture.polarity,
        "mimic_share": round(mixture.mimic_share, 4),
        "positive": {name: round(weight, 4) for name, weight in mixture.positive.items()},
        "negative": {name: round(weight, 4) for name, weight in mixture.negative.items()},
    }


COMMAND = Command("generate", "answer every dialogue of a file", EXAMPLE, add_arguments, run)
