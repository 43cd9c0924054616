"""MIME's own context encoder and classifier as a teacher of L_cls: what they expect of dialogues they never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from mime_fast.data.batches import Batch, Example, collate, length_order
from mime_fast.emotions import LABELS
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.training.answers import keep_answers, kept_answers
from mime_fast.training.dialogue_loop import DialogueLoop
from mime_fast.training.losses import LossTerms, classifier_terms
from mime_fast.training.recipe import Stage

PLAN = Stage(  # of each fold
    batch_size=64,
    schedule="cosine",
    learning_rate=1e-3,
    warmup_steps=300,
    epsilon=1e-8,
    weight_decay=0.01,
    max_grad_norm=2.0,
    beta=0.0,
    gamma=0.0,
    word_dropout=0.15,
    emotion_teacher=0.7,
    ema_decay=0.999,
)


def teach_by_encoders(
    examples: Sequence[Example],
    folds: npt.NDArray[np.int64],
    make_model: Callable[[], DialogueModel],
    steps: int,
    answers: Path,
    *,
    show_progress: bool = True,
) -> npt.NDArray[np.float32]:
    """P(emotion | context) of every example, [n, 32], by encoders and classifiers that saw nothing of its fold.

    Each is trained only by L_cls, with the linear classifier's answers as its teacher. The answers are kept in the
    file `answers`, fold by fold, and the state of the fold at hand beside it, so that a killed run goes on from there.

    Args:
        examples: with the linear teacher's answers.
        folds: each example's fold, [n].
        make_model: returns an untrained model, the same each time, on the device to train it on.
        steps: of each fold's training, batches of 64.
    """
    probs = kept_answers(answers, len(examples))
    if probs is None:
        probs = np.full((len(examples), len(LABELS)), np.nan, dtype=np.float32)
    for fold in range(int(folds.max()) + 1):
        held_out = np.flatnonzero(folds == fold)
        state = answers.with_name(f"{answers.stem}-fold-{fold + 1}.pt")
        if np.isfinite(probs[held_out]).all():
            state.unlink(missing_ok=True)  # of a run that was killed just before it did so
            continue
        rest = [examples[i] for i in np.flatnonzero(folds != fold).tolist()]
        training = FoldTraining(make_model(), rest, steps, state, fold, show_progress=show_progress)
        training.run()
        probs[held_out] = _answers(training.trained, [examples[i] for i in held_out.tolist()])
        keep_answers(probs, answers)
        state.unlink()
    return probs


class FoldTraining(DialogueLoop):
    """Trains encoder and classifier on what is outside a fold."""

    def __init__(
        self,
        model: DialogueModel,
        examples: Sequence[Example],
        steps: int,
        state: Path,
        fold: int,
        *,
        show_progress: bool = True,
    ) -> None:
        title = f"encoder teacher, fold {fold + 1}"
        super().__init__(PLAN, model, state, title=title, show_progress=show_progress)
        self.others = examples
        self.steps = steps

    @cached_property
    def total_steps(self) -> int:
        return self.steps

    def examples(self, epoch: int) -> Sequence[Example]:
        return self.others

    def terms(self, batch: Batch, indices: Sequence[int]) -> LossTerms:
        return classifier_terms(self.model, batch, PLAN.emotion_smoothing, PLAN.emotion_teacher)


@torch.no_grad()
def _answers(model: DialogueModel, examples: Sequence[Example]) -> npt.NDArray[np.float32]:
    model.eval()
    device = next(model.parameters()).device
    probs = np.empty((len(examples), len(LABELS)), dtype=np.float32)
    for indices in length_order(examples, PLAN.batch_size):
        batch = collate(examples, indices, device)
        logits = model.encode(batch.context_ids, batch.state_ids).emotion_logits
        probs[indices] = logits.softmax(dim=-1).cpu().numpy()
    return probs
