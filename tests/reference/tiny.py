"""Small models and batches, filled with seeded random numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mime_fast.config.model import MimeConfig, ModelConfig
from mime_fast.data.batches import Batch
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.mime import Mime
from mime_fast.reference.models import new_model
from mime_fast.text.special import CLS_ID, EOS_ID, PAD_ID, SYS_ID, USR_ID

SMALL: dict[str, Any] = {"hidden_size": 12, "num_heads": 2, "attention_depth": 8, "ffn_channels": 5}


def tiny_model(preset: str = "paper", vocab_size: int = 29, seed: int = 0, **changes: Any) -> Mime:
    """A float64 model in evaluation mode whose every parameter is random, biases and norms included."""
    model = tiny(MimeConfig, preset, vocab_size, seed, **changes)
    assert isinstance(model, Mime)
    return model


def tiny(
    kind: type[ModelConfig], preset: str = "paper", vocab_size: int = 29, seed: int = 0, **changes: Any
) -> DialogueModel:
    """The same of any kind."""
    make = kind.paper if preset == "paper" else kind.released
    model = new_model(make(vocab_size, **{**SMALL, **changes}))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return model.double().eval()


def random_contexts(lengths: list[int], vocab_size: int = 29, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Context and state ids [B, longest] with the given numbers of words, two turns where there is room."""
    generator = torch.Generator().manual_seed(seed)
    rows = max(lengths) + 1
    ids = torch.full((len(lengths), rows), PAD_ID)
    states = torch.full((len(lengths), rows), PAD_ID)
    for b, length in enumerate(lengths):
        ids[b, 0] = states[b, 0] = CLS_ID
        ids[b, 1 : length + 1] = torch.randint(7, vocab_size, (length,), generator=generator)
        states[b, 1 : length + 1] = USR_ID
        states[b, 2 + length // 2 : length + 1] = SYS_ID
    return ids, states


def random_batch(lengths: list[int], target_lengths: list[int], vocab_size: int = 29, seed: int = 0) -> Batch:
    """A training batch; target lengths count the EOS."""
    generator = torch.Generator().manual_seed(seed + 1)
    ids, states = random_contexts(lengths, vocab_size, seed)
    targets = torch.full((len(lengths), max(target_lengths)), PAD_ID)
    for b, length in enumerate(target_lengths):
        targets[b, : length - 1] = torch.randint(7, vocab_size, (length - 1,), generator=generator)
        targets[b, length - 1] = EOS_ID
    emotion = torch.randint(0, 32, (len(lengths),), generator=generator)
    return Batch(ids, states, targets, emotion, torch.arange(len(lengths)))
