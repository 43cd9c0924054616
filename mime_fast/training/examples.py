"""What a stage learns from: the examples of every kind of pairs, and what the teachers of L_cls say of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from mime_fast.data.batches import Example, make_examples
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.training.answers import keep_answers, kept_answers
from mime_fast.training.emotion_teacher import dialogue_folds, teach
from mime_fast.training.encoder_teacher import teach_by_encoders
from mime_fast.training.inputs import Inputs, fingerprint, fingerprint_pairs
from mime_fast.training.recipe import Stage


def train_examples(
    stage: Stage,
    inputs: Inputs,
    untrained: Callable[[], DialogueModel],
    folder: Path,
    *,
    show_progress: bool = True,
) -> list[list[Example]]:
    """The examples of the listener's pairs, then those of each kind of `inputs.extra`, with what the teachers say.

    The stage's teachers learn from all of them.

    Args:
        untrained: returns a model to make an encoder teacher of.
        folder: where the teachers' answers are kept, by what they depend on, for all stages of the run.
    """
    kinds = [inputs.train, *inputs.extra.values()]
    examples = [make_examples(pairs, inputs.tokenizer) for pairs in kinds]
    if stage.emotion_teacher == 0:
        return examples
    pairs = [pair for each in kinds for pair in each]
    asked = fingerprint_pairs(pairs)
    probs = _linear(pairs, folder / f"linear-{asked[:12]}.npy")
    taught = _taught([example for each in examples for example in each], probs)
    if stage.encoder_teacher_steps:
        model = stage.model_config(inputs.tokenizer.vocab_size).to_dict()
        made_of = [inputs.fingerprints(), asked, model, stage.seed, stage.encoder_teacher_steps]
        path = folder / f"encoder-{fingerprint(made_of)[:12]}.npy"
        folds, steps = dialogue_folds(pairs), stage.encoder_teacher_steps
        encoders = teach_by_encoders(taught, folds, untrained, steps, path, show_progress=show_progress)
        taught = _taught(taught, (probs + encoders) / np.float32(2))
    rest = iter(taught)
    return [list(islice(rest, len(each))) for each in examples]


def _linear(pairs: Sequence[Pair], path: Path) -> npt.NDArray[np.float32]:
    probs = kept_answers(path, len(pairs))
    if probs is None:
        probs = teach(pairs, torch.get_num_threads())
        keep_answers(probs, path)
    return probs


def _taught(examples: Sequence[Example], probs: npt.NDArray[np.float32]) -> list[Example]:
    return [dataclasses.replace(example, teacher=row) for example, row in zip(examples, probs, strict=True)]
