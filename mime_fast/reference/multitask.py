"""Multi-TR (Rashkin et al., 2018; section 4.2): a transformer that also classifies the user's emotion."""

from __future__ import annotations

import mime_fast.needs_torch

from torch import Tensor, nn

from mime_fast.config.model import MultiTaskConfig
from mime_fast.emotions import LABELS
from mime_fast.reference.decoder import Decoder, Memory
from mime_fast.reference.dialogue_model import Context, DialogueModel


class MultiTask(DialogueModel):
    """The decoder reads H; the emotion is learnt beside it and used for nothing."""

    config: MultiTaskConfig

    def __init__(self, config: MultiTaskConfig) -> None:
        super().__init__(config)
        self.emotion_key = nn.Linear(config.hidden_size, len(LABELS), bias=False)
        self.add_output(Decoder(config))
        if config.preset == "released":
            self.unused = UnusedGate(config.hidden_size)

    def emotion_logits(self, c: Tensor) -> Tensor:
        logits: Tensor = self.emotion_key(c)
        return logits

    def decoder_memory(self, context: Context, emotion: Tensor, noise: Tensor | None) -> tuple[Memory, None]:
        return Memory(context.hidden, context.real), None


class UnusedGate(nn.Module):
    """The copy gate of a released generator, which no computation reads; kept so that conversion loses nothing."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.p_gen = nn.Linear(size, 1)
