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
from mime_fast.training.emotion_teacher import check_teachable, dialogue_folds, teach
from mime_fast.training.encoder_teacher import teach_by_encoders
from mime_fast.training.inputs import Inputs, fingerprint, fingerprint_pairs
from mime_fast.training.recipe import Stage
from mime_fast.training.sentence_teacher import SentenceTeacher, sentence_folds, teach_by_sentences


def train_examples(
    stage: Stage,
    inputs: Inputs,
    untrained: Callable[[], DialogueModel],
    folder: Path,
    sentences: SentenceTeacher | None = None,
    *,
    show_progress: bool = True,
) -> list[list[Example]]:
    """The examples of the listener's pairs, then those of each kind of `inputs.extra`, with what the teachers say.

    The stage's teachers learn from all of them; where it has several, the mean of their answers counts.

    Args:
        untrained: returns a model to make an encoder teacher of.
        folder: where the teachers' answers are kept, by what they depend on, for all stages of the run.
        sentences: the stage's sentence teacher, if it has one.
    """
    kinds = [inputs.train, *inputs.extra.values()]
    examples = [make_examples(pairs, inputs.tokenizer) for pairs in kinds]
    if stage.emotion_teacher == 0:
        return examples
    pairs = inputs.pairs
    asked = fingerprint_pairs(pairs)
    answers = [_linear(pairs, folder / f"linear-{asked[:12]}.npy")]
    together = _taught([example for each in examples for example in each], answers[0])
    if stage.encoder_teacher_steps:
        model = stage.model_config(inputs.tokenizer.vocab_size).to_dict()
        made_of = [inputs.fingerprints, asked, model, stage.seed, stage.encoder_teacher_steps]
        path = folder / f"encoder-{fingerprint(made_of)[:12]}.npy"
        folds, steps = dialogue_folds(pairs), stage.encoder_teacher_steps
        answers.append(teach_by_encoders(together, folds, untrained, steps, path, show_progress=show_progress))
    if sentences is not None:
        answers.append(_sentences(sentences, pairs))
    mean = sum(answers[1:], start=answers[0]) / np.float32(len(answers))
    rest = iter(_taught(together, mean))
    return [list(islice(rest, len(each))) for each in examples]


def sentence_teacher(
    stage: Stage, inputs: Inputs, folder: Path, device: str = "cpu", *, show_progress: bool = True
) -> SentenceTeacher | None:
    """The sentence encoders that a stage asks for, None where it asks for none; kept in `folder` for all stages."""
    if not stage.sentence_teacher_steps:
        return None
    assert inputs.sentence_encoder is not None
    pairs, steps = inputs.pairs, stage.sentence_teacher_steps
    prints = inputs.fingerprints
    made_of = [prints["sentence encoder"], fingerprint_pairs(pairs), stage.seed, steps]
    kept = folder / f"sentence-{fingerprint(made_of)[:12]}"
    return teach_by_sentences(
        pairs, inputs.sentence_encoder, steps, kept, seed=stage.seed, device=device, show_progress=show_progress
    )


def check_teachers(stages: Sequence[Stage], inputs: Inputs) -> None:
    """ConfigError where there is too little data for the teachers that stages ask for."""
    if any(stage.emotion_teacher for stage in stages):
        check_teachable(inputs.pairs)
    if any(stage.sentence_teacher_steps for stage in stages):
        sentence_folds(inputs.pairs)


def _sentences(teacher: SentenceTeacher, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
    path = teacher.kept.with_suffix(".npy")
    probs = kept_answers(path, len(pairs))
    if probs is None:
        probs = teacher.emotion_probs([pair.context for pair in pairs])
        keep_answers(probs, path)
    return probs


def _linear(pairs: Sequence[Pair], path: Path) -> npt.NDArray[np.float32]:
    probs = kept_answers(path, len(pairs))
    if probs is None:
        probs = teach(pairs, torch.get_num_threads())
        keep_answers(probs, path)
    return probs


def _taught(examples: Sequence[Example], probs: npt.NDArray[np.float32]) -> list[Example]:
    return [dataclasses.replace(example, teacher=row) for example, row in zip(examples, probs, strict=True)]
