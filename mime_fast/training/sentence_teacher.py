"""A sentence encoder as a teacher: which emotion a context has, and which reply answers it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional as F

from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.emotions import LABELS, emotion_index
from mime_fast.errors import CheckpointError
from mime_fast.files import write_bytes
from mime_fast.training.emotion_teacher import dialogue_folds
from mime_fast.training.loop import Loop
from mime_fast.training.recipe import Stage
from mime_fast.training.sentence_encoder import (
    SHARPNESS,
    SentenceEncoder,
    Subworder,
    Subwords,
    emotion_probs,
)

FOLDS = 2
HEAD_RATE = 10.0  # of the learning rate, for what is not pretrained
PLAN = Stage(  # of each fold
    batch_size=64,
    schedule="cosine",
    learning_rate=1e-4,
    warmup_steps=80,
    betas=(0.9, 0.999),
    epsilon=1e-8,
    weight_decay=0.01,
    max_grad_norm=1.0,
    emotion_smoothing=0.05,
)


@dataclass(frozen=True)
class SentenceExample:
    """A training pair in subwords."""

    context: Subwords
    reply: Subwords
    emotion: int

    @property
    def size(self) -> tuple[int, int]:
        return len(self.context.ids), len(self.reply.ids)


@dataclass(frozen=True)
class SentenceTeacher:
    """One encoder for each fold of the dialogues, trained on the others."""

    kept: Path  # where its weights are, without the folds' numbers and an ending
    folds: npt.NDArray[np.int64]  # of each pair, [n]
    encoders: list[SentenceEncoder]
    subworder: Subworder

    def emotion_probs(self, contexts: Sequence[Sequence[str]]) -> npt.NDArray[np.float32]:
        """P(emotion | context) of each of the pairs' contexts, [n, 32], by the encoder that never saw it."""
        probs = np.empty((len(contexts), len(LABELS)), dtype=np.float32)
        for fold, encoder in enumerate(self.encoders):
            part = np.flatnonzero(self.folds == fold).tolist()
            probs[part] = emotion_probs(encoder, self.subworder, [contexts[i] for i in part])
        return probs


def teach_by_sentences(
    pairs: Sequence[Pair],
    encoder: Path,
    steps: int,
    kept: Path,
    *,
    seed: int = 1234,
    device: str = "cpu",
    show_progress: bool = True,
) -> SentenceTeacher:
    """Tune an encoder for each fold. Its weights are kept, fold by fold, so that a killed run goes on from there.

    Args:
        pairs: the training pairs of all kinds; a dialogue's are in one fold.
        encoder: the folder of the pretrained encoder.
        steps: of each fold's training, batches of 64.
        kept: where each fold's weights go, a name to which the fold's number and an ending are added.

    Raises:
        ConfigError: fewer than two dialogues.
        CheckpointError: kept weights cannot be read.
    """
    subworder = Subworder(encoder)
    contexts = subworder.contexts([pair.context for pair in pairs])
    replies = subworder.replies([pair.response for pair in pairs])
    emotions = [emotion_index(pair.emotion) for pair in pairs]
    examples = [SentenceExample(*each) for each in zip(contexts, replies, emotions, strict=True)]
    folds = sentence_folds(pairs)
    encoders = []
    for fold in range(FOLDS):
        path = kept.with_name(f"{kept.name}-fold-{fold + 1}.safetensors")
        torch.manual_seed(seed)
        model = SentenceEncoder(encoder).to(device)
        state = path.with_suffix(".pt")
        if path.is_file():
            _load(model, path)
            state.unlink(missing_ok=True)  # of a run that was killed just before it did so
        else:
            rest = [examples[i] for i in np.flatnonzero(folds != fold).tolist()]
            title = f"sentence teacher, fold {fold + 1} of {FOLDS}"
            training = SentenceTraining(model, rest, steps, state, title, seed, show_progress=show_progress)
            training.run()
            write_bytes(path, save(training.trained.state_dict()))
            state.unlink(missing_ok=True)
        encoders.append(model.eval().requires_grad_(False))
    return SentenceTeacher(kept, folds, encoders, subworder)


def sentence_folds(pairs: Sequence[Pair]) -> npt.NDArray[np.int64]:
    """The fold of every pair, [n]. ConfigError: fewer dialogues than folds."""
    return dialogue_folds(pairs, FOLDS, "sentence_teacher_steps")


class SentenceTraining(Loop[SentenceEncoder, SentenceExample]):
    """Tunes an encoder to name the emotion, and to tell a context's own reply from the batch's others."""

    def __init__(
        self,
        model: SentenceEncoder,
        examples: Sequence[SentenceExample],
        steps: int,
        state: Path,
        title: str,
        seed: int,
        *,
        show_progress: bool = True,
    ) -> None:
        super().__init__(PLAN.replace(seed=seed), model, state, title=title, show_progress=show_progress)
        self.others = examples
        self.steps = steps

    @cached_property
    def total_steps(self) -> int:
        return self.steps

    @property
    def width(self) -> int:
        return self.model.size

    def examples(self, epoch: int) -> Sequence[SentenceExample]:
        return self.others

    def parameter_groups(self) -> tuple[list[list[nn.Parameter]], list[float]]:
        """The pretrained layers, and the heads; subword embeddings stay as they are."""
        self.model.bert.embeddings.requires_grad_(False)
        layers = list(self.model.bert.encoder.parameters())
        heads = [*self.model.emotion.parameters(), *self.model.wanted.parameters()]
        return [layers, heads], [1.0, HEAD_RATE]

    def loss(self, indices: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        batch = [self.epoch_examples[i] for i in indices]
        logits, wanted = self.model.read_contexts([each.context for each in batch])
        given = self.model.read_replies([each.reply for each in batch])
        emotions = torch.tensor([each.emotion for each in batch], device=self.device)
        classification = F.cross_entropy(logits, emotions, label_smoothing=self.stage.emotion_smoothing)
        answer = answer_loss(wanted, given)
        return classification + answer, {"classification": classification.item(), "answer": answer.item()}


def answer_loss(wanted: Tensor, given: Tensor) -> Tensor:
    """Which reply is whose, in both directions, by softmax over the batch: wanted and given, unit vectors [B, H]."""
    scores = SHARPNESS * wanted @ given.T
    own = torch.arange(len(scores), device=scores.device)
    return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2


def _load(model: SentenceEncoder, path: Path) -> None:
    try:
        model.load_state_dict(load(path.read_bytes()))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{path}: not readable ({error}); it can be deleted, and is made again") from None
