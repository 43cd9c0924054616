"""Perplexity and emotion accuracy of a model on pairs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import mime_fast.needs_torch

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mime_fast.data.batches import Batch, Example, collate, decoder_inputs, length_order
from mime_fast.emotions import POSITIVE_IDS
from mime_fast.engine.results import perplexity
from mime_fast.progress import followed
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.noise import prior_noise
from mime_fast.text.special import PAD_ID, UNK_ID

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FULL_VOCABULARY = 24_600  # words of the whole data set; those outside the model's own share UNK's probability


@dataclass(frozen=True)
class Likelihood:
    """Figures of one pass over a split; accuracies are fractions, and a perplexity may be infinite or NaN."""

    n: int
    ppl: float  # exp of the mean over pairs of the mean NLL a word, unknown words paid for
    ppl_unk_free: float  # the same, with UNK counted as a word like any other
    top1: float
    top2: float
    top5: float
    polarity_accuracy: float


@dataclass(frozen=True)
class PairFigures:
    """The same, pair by pair: arrays [n] in the order of the examples."""

    nll: FloatArray  # mean NLL a word (EOS counted), UNK a word like any other
    nll_paid: FloatArray  # the same, unknown words paid for
    ranks: IntArray  # how many emotions the classifier puts ahead of the labelled one
    predicted: IntArray  # the emotion it puts first
    emotion: IntArray  # the labelled one

    def select(self, where: npt.NDArray[np.bool_]) -> PairFigures:
        """The pairs at which `where` [n] is true."""
        return PairFigures(
            self.nll[where], self.nll_paid[where], self.ranks[where], self.predicted[where], self.emotion[where]
        )

    def summary(self) -> Likelihood:
        """Macro figures; NaN without pairs."""
        if not len(self.nll):
            return Likelihood(0, *[math.nan] * 6)
        same_polarity = np.isin(self.predicted, POSITIVE_IDS) == np.isin(self.emotion, POSITIVE_IDS)
        top = {k: float((self.ranks < k).mean()) for k in (1, 2, 5)}
        return Likelihood(
            len(self.nll),
            perplexity(self.nll_paid.mean()),
            perplexity(self.nll.mean()),
            top[1],
            top[2],
            top[5],
            float(same_polarity.mean()),
        )


def evaluate_likelihood(
    model: DialogueModel,
    examples: Sequence[Example],
    *,
    seed: int = 0,
    batch_size: int = 64,
    gold_polarity: bool = True,
    stochastic: bool = True,
    show_progress: bool = False,
) -> Likelihood:
    """Macro perplexity (EOS counted, one prior sample a pair) and accuracies of the emotion classifier.

    Args:
        seed: of the prior noise; a pair's place in `examples` is its request id.
        gold_polarity: mimic the labelled emotion, as the released code does for its PPL; False: the predicted one.
        stochastic: False for z = mu.
        show_progress: show a bar on a terminal or in a notebook, which goes when it is full.
    """
    order = length_order(examples, batch_size)
    show = None if show_progress else False
    batches = followed(order, title="validation", unit=" batches", show=show, leave=False)
    return per_pair(model, examples, batches, seed=seed, gold_polarity=gold_polarity, stochastic=stochastic).summary()


def per_pair(
    model: DialogueModel,
    examples: Sequence[Example],
    batches: Iterable[Sequence[int]],
    *,
    seed: int = 0,
    gold_polarity: bool = True,
    stochastic: bool = True,
) -> PairFigures:
    """What `evaluate_likelihood` averages; `batches` are lists of indices that cover the examples once."""
    device = next(model.parameters()).device
    nll, nll_paid = np.zeros((2, len(examples)))
    ranks, predicted = np.zeros((2, len(examples)), dtype=np.int64)
    unknown_cost = math.log(max(FULL_VOCABULARY - model.config.vocab_size, 1))
    with _evaluating(model), torch.inference_mode():
        for indices in batches:
            batch = collate(examples, indices, device)
            logprobs, logits = _score(model, batch, seed if stochastic else None, gold_polarity)
            real = batch.target_ids != PAD_ID
            count = real.sum(dim=1)
            unknown = ((batch.target_ids == UNK_ID) & real).sum(dim=1)
            mean = -(logprobs * real).sum(dim=1) / count
            nll[indices] = mean.cpu().double().numpy()
            nll_paid[indices] = (mean + unknown.to(mean.dtype) * unknown_cost / count).cpu().double().numpy()
            ranks[indices] = _rank(logits, batch.emotion).cpu().numpy()
            predicted[indices] = logits.argmax(dim=1).cpu().numpy()
    emotion = np.array([example.emotion for example in examples], dtype=np.int64)
    return PairFigures(nll, nll_paid, ranks, predicted, emotion)


@contextmanager
def _evaluating(model: DialogueModel) -> Iterator[None]:
    """The model in evaluation mode, while the block runs."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _score(model: DialogueModel, batch: Batch, seed: int | None, gold_polarity: bool) -> tuple[Tensor, Tensor]:
    """Log-probs of the target words [B, T] and emotion logits [B, 32]."""
    logits, real, emotion_logits = response_logits(model, batch, seed, gold_polarity)
    gold = logits.gather(1, batch.target_ids[real][:, None])[:, 0]
    logprobs = logits.new_zeros(real.shape)
    logprobs[real] = gold - logits.logsumexp(dim=-1)
    return logprobs, emotion_logits


def response_logits(
    model: DialogueModel, batch: Batch, seed: int | None, gold_polarity: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of eq. 29 for each target word [n, V], where those are in the batch [B, T], and emotion logits [B, 32]."""
    context = model.encode(batch.context_ids, batch.state_ids)
    noise = None if seed is None else prior_noise(model, [seed] * len(batch.index), batch.index.tolist())
    emotion = batch.emotion if gold_polarity else context.emotion_logits.argmax(dim=1)
    memory, _ = model.decoder_memory(context, emotion, noise)
    hidden = model.decode(decoder_inputs(batch.target_ids), memory)
    real = batch.target_ids != PAD_ID  # only words of the target reach the vocabulary
    return model.fc_decode(hidden[real]), real, context.emotion_logits


def _rank(logits: Tensor, gold: Tensor) -> Tensor:
    """How many emotions are ahead of the gold one, [B]; of equal logits the lower index is ahead."""
    own = logits.gather(1, gold[:, None])
    lower = torch.arange(logits.shape[1], device=logits.device) < gold[:, None]
    return ((logits > own) | ((logits == own) & lower)).sum(dim=1)
