"""What a run learns from: the examples of every kind of pairs, and what the teachers of L_cls say of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mime_fast.data.batches import Example, make_examples
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.text.tokenizer import Tokenizer
from mime_fast.training.emotion_teacher import dialogue_folds, teach_once
from mime_fast.training.encoder_teacher import teach_by_encoders
from mime_fast.training.recipe import Recipe


def train_examples(
    recipe: Recipe,
    kinds: Sequence[Sequence[Pair]],
    tokenizer: Tokenizer,
    untrained: Callable[[], DialogueModel],
    out: Path,
    *,
    show_progress: bool = True,
) -> list[list[Example]]:
    """The examples of each kind of pairs, with what the recipe's teachers, who learn from all of them, say of each.

    Args:
        untrained: gives a model to make an encoder teacher of.
        out: the run's folder, where the teachers' answers are kept.
    """
    examples = [make_examples(pairs, tokenizer) for pairs in kinds]
    if recipe.emotion_teacher == 0:
        return examples
    pairs = [pair for each in kinds for pair in each]
    probs = teach_once(pairs, out)
    taught = _taught([example for each in examples for example in each], probs)
    if recipe.encoder_teacher_steps:
        folds = dialogue_folds(pairs)
        encoders = teach_by_encoders(
            taught, folds, untrained, recipe.encoder_teacher_steps, out, show_progress=show_progress
        )
        taught = _taught(taught, (probs + encoders) / np.float32(2))
    rest = iter(taught)
    return [list(islice(rest, len(each))) for each in examples]


def _taught(examples: Sequence[Example], probs: npt.NDArray[np.float32]) -> list[Example]:
    return [dataclasses.replace(example, teacher=row) for example, row in zip(examples, probs, strict=True)]
