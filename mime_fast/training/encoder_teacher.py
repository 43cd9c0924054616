"""MIME's own context encoder and classifier as a teacher of L_cls: what they expect of dialogues they never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, count, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from tqdm import tqdm

from mime_fast.data.batches import Batch, Example, collate, epoch_order, length_order
from mime_fast.emotions import LABELS
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.training.augmentation import drop_words
from mime_fast.training.emotion_teacher import keep_answers, kept_answers
from mime_fast.training.losses import classifier_terms, reached_by_classifier
from mime_fast.training.recipe import Recipe
from mime_fast.training.schedule import learning_rate

ANSWERS = "encoder_teacher.npy"
EMA_DECAY = 0.999
PLAN = Recipe(
    batch_size=64,
    schedule="cosine",
    learning_rate=1e-3,
    warmup_steps=300,
    epsilon=1e-8,
    weight_decay=0.01,
    max_grad_norm=2.0,
    word_dropout=0.15,
    emotion_teacher=0.7,
)


def teach_by_encoders(
    examples: Sequence[Example],
    folds: npt.NDArray[np.int64],
    make_model: Callable[[], DialogueModel],
    steps: int,
    out: Path,
    *,
    show_progress: bool = True,
) -> npt.NDArray[np.float32]:
    """P(emotion | context) of every example, [n, 32], by encoders and classifiers that saw nothing of its fold.

    Each is trained by L_cls alone, with the linear classifier's answers as its teacher. The answers are kept in the
    folder `out`, fold by fold, so that a killed run goes on with the fold that it was at.

    Args:
        examples: with the linear teacher's answers.
        folds: each example's fold, [n].
        make_model: gives an untrained model, the same each time, on the device to train it on.
        steps: of each fold's training, batches of 64.
    """
    probs = kept_answers(out, ANSWERS, len(examples))
    if probs is None:
        probs = np.full((len(examples), len(LABELS)), np.nan, dtype=np.float32)
    for fold in range(int(folds.max()) + 1):
        held_out = np.flatnonzero(folds == fold)
        if np.isfinite(probs[held_out]).all():
            continue
        model = make_model()
        _fit(model, [examples[i] for i in np.flatnonzero(folds != fold).tolist()], steps, fold, show_progress)
        probs[held_out] = _answers(model, [examples[i] for i in held_out.tolist()])
        keep_answers(probs, out, ANSWERS)
    return probs


def _fit(model: DialogueModel, examples: Sequence[Example], steps: int, fold: int, show_progress: bool) -> None:
    """Train encoder and classifier; the weights become their average over the steps."""
    torch.manual_seed(PLAN.seed)
    model.train()
    reached = reached_by_classifier(model, _batch(model, examples, [0]))
    average = [parameter.detach().clone() for parameter in reached]
    optimizer = torch.optim.AdamW(
        reached, betas=PLAN.betas, eps=PLAN.epsilon, weight_decay=PLAN.weight_decay, fused=True
    )
    epochs = (epoch_order(examples, PLAN.batch_size, PLAN.seed, epoch) for epoch in count())
    batches = islice(chain.from_iterable(epochs), steps)
    name = f"emotion teacher, fold {fold + 1}"
    bar = tqdm(batches, total=steps, unit="step", desc=name, disable=not show_progress)
    for step, indices in enumerate(bar, start=1):
        loss = _loss(model, examples, indices)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(reached, PLAN.max_grad_norm)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(PLAN, step, steps, model.config.hidden_size)
        optimizer.step()
        with torch.no_grad():
            decay = min(EMA_DECAY, (1 + step) / (10 + step))
            torch._foreach_lerp_(average, list(reached), 1 - decay)
    with torch.no_grad():
        for parameter, value in zip(reached, average, strict=True):
            parameter.copy_(value)


def _loss(model: DialogueModel, examples: Sequence[Example], indices: Sequence[int]) -> torch.Tensor:
    batch = _batch(model, examples, indices)
    return classifier_terms(model, batch, PLAN.emotion_smoothing, PLAN.emotion_teacher).classification


def _batch(model: DialogueModel, examples: Sequence[Example], indices: Sequence[int]) -> Batch:
    return drop_words(collate(examples, indices, _device(model)), PLAN.word_dropout)


@torch.no_grad()
def _answers(model: DialogueModel, examples: Sequence[Example]) -> npt.NDArray[np.float32]:
    model.eval()
    probs = np.empty((len(examples), len(LABELS)), dtype=np.float32)
    for indices in length_order(examples, PLAN.batch_size):
        batch = collate(examples, indices, _device(model))
        logits = model.encode(batch.context_ids, batch.state_ids).emotion_logits
        probs[indices] = logits.softmax(dim=-1).cpu().numpy()
    return probs


def _device(model: DialogueModel) -> torch.device:
    return next(model.parameters()).device
