"""`mime-fast classify`: the user's emotion in every dialogue of a file."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mime_fast.cli.command import Command
from mime_fast.cli.options import add_file_options, add_model_options
from mime_fast.cli.rows import Answer, answer_file
from mime_fast.data.dialogues import Row
from mime_fast.emotions import LABELS

if TYPE_CHECKING:
    from mime_fast.engine.engine import Engine

EXAMPLE = """  mime-fast classify examples/dialogues.jsonl emotions.jsonl

A row is {"id": ..., "context": [...]}, the user's utterance last.
The answer is {"id", "emotion", "emotion_probs", "polarity"}; emotion_probs has all 32 labels."""


def add_arguments(parser: ArgumentParser) -> None:
    add_file_options(parser)
    add_model_options(parser)


def run(args: Namespace) -> int:
    return answer_file(args, lambda engine: _answer(engine, args))


def _answer(engine: Engine, args: Namespace) -> Answer:
    def answer(rows: Sequence[Row]) -> list[dict[str, Any]]:
        found = engine.classify(
            [row.context for row in rows], strict_turns=args.strict_turns, truncation=args.truncation
        )
        return [
            {
                "id": row.id,
                "emotion": one.emotion,
                "emotion_probs": {label: round(p, 6) for label, p in zip(LABELS, one.emotion_probs, strict=True)},
                "polarity": one.polarity,
            }
            for row, one in zip(rows, found, strict=True)
        ]

    return answer


COMMAND = Command("classify", "name the user's emotion in every dialogue of a file", EXAMPLE, add_arguments, run)
