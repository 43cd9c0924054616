"""Temperature scaling (Guo et al., ICML 2017): one factor for all logits of a trained decoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mime_fast.data.batches import Example, collate, length_order
from mime_fast.evaluation.metrics.likelihood import response_logits
from mime_fast.reference.dialogue_model import DialogueModel

MOST_EXAMPLES = 1500  # tell one factor well enough; evenly spaced ones of more
MOST_STEPS, CLOSE = 10, 1e-3  # of Newton's method, and the step after which it ends
LEAST_CURVATURE = 1e-12
LEAST, MOST = 0.5, 2.0  # weights that want a factor beyond have hardly learnt anything


def calibrate(model: DialogueModel, examples: Sequence[Example], *, seed: int, batch_size: int = 64) -> float:
    """Scale a model's logits, in place, so that the responses of examples are likeliest; the factor, 0.5 to 2.

    What is likeliest is the mean over examples of the mean log-prob a word, UNK a word like any other: what perplexity
    counts. The factor goes into the decoder's last norm and the output's bias, so no other code knows of it.

    Args:
        examples: not those that the model has learnt from.
        seed: of the prior noise.
    """
    spaced = np.unique(np.linspace(0, len(examples) - 1, MOST_EXAMPLES).astype(np.int64)).tolist()
    some = [examples[i] for i in spaced]
    was_training = model.training
    model.eval()
    factor = 1.0
    for _ in range(MOST_STEPS):
        slope, curvature = _derivatives(model, some, factor, seed, batch_size)
        before, factor = factor, min(max(factor - slope / max(curvature, LEAST_CURVATURE), LEAST), MOST)
        if abs(factor - before) < CLOSE:
            break
    model.train(was_training)
    with torch.no_grad():
        for each in (*model.decoder.norm.parameters(), model.fc_decode.bias):
            each.mul_(factor)
    return factor


@torch.inference_mode()
def _derivatives(
    model: DialogueModel, examples: Sequence[Example], factor: float, seed: int, batch_size: int
) -> tuple[float, float]:
    """The first and the second of the mean NLL a word by the factor: E[l] - l of the word, and the variance of l."""
    device = next(model.parameters()).device
    totals = np.zeros(2)
    for indices in length_order(examples, batch_size):
        batch = collate(examples, indices, device)
        logits, real, _ = response_logits(model, batch, seed)
        probs = (factor * logits).softmax(dim=-1)
        mean = (probs * logits).sum(dim=-1)
        variance = (probs * logits.square()).sum(dim=-1) - mean.square()
        gold = logits.gather(1, batch.target_ids[real][:, None])[:, 0]
        words = real.sum(dim=1)
        totals += [_macro(mean - gold, words), _macro(variance, words)]
    slope, curvature = totals / len(examples)
    return float(slope), float(curvature)


def _macro(values: Tensor, words: Tensor) -> float:
    """The sum over examples of the mean of each one's values, which lie one after the other."""
    return float((values.double() / torch.repeat_interleave(words, words)).sum())
