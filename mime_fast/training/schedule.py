"""Learning rates by step."""

from __future__ import annotations

import math

from mime_fast.training.recipe import Stage


def learning_rate(stage: Stage, step: int, total_steps: int, hidden_size: int) -> float:
    """Rate of step 1, 2, ...

    "noam": hidden_size^-0.5 min(step^-0.5, step warmup^-1.5), the released code's. "cosine": a linear rise to
    `learning_rate`, then half a cosine down to a twentieth of it at `total_steps`. "constant": stays after the rise.
    """
    if stage.schedule == "noam":
        return float(hidden_size**-0.5 * min(step**-0.5, step * stage.warmup_steps**-1.5))
    rise = min(1.0, step / stage.warmup_steps)
    if stage.schedule == "constant":
        return stage.learning_rate * rise
    progress = min(1.0, max(0.0, (step - stage.warmup_steps) / max(1, total_steps - stage.warmup_steps)))
    return stage.learning_rate * rise * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress)))


def gold_listener_chance(stage: Stage, step: int) -> float:
    """How likely a step of a MoEL uses only the labelled emotion's listener: the released code's decaying oracle.

    A step, counted from 0, decides for the next one there: the first has none, the second surely.
    """
    if not stage.gold_listener_steps or step == 1:
        return 0.0
    floor = 1e-4
    return floor + (1 - floor) * math.exp(-(step - 2) / stage.gold_listener_steps)


def kl_weight(stage: Stage, step: int) -> float:
    """Weight of the KL term at a step: a linear rise over `kl_warmup_steps`."""
    return min(1.0, step / stage.kl_warmup_steps) if stage.kl_warmup_steps else 1.0
