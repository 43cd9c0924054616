"""A MIME of the paper's sizes with random weights, as a model folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TypeVar

import torch

from benchmarks.peer_sizes import LOGIT_DEVIATION
from mime_fast.checkpoints.model_folder import save_model_folder
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MimeConfig
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.mime import Mime
from mime_fast.text import Tokenizer
from mime_fast.text.special import SPECIAL_TOKENS

TINY_VOCABULARY = 50  # words
AnyModel = TypeVar("AnyModel", bound=DialogueModel)


def make_random_mime(folder: Path, vocab_size: int) -> Path:
    """Write the model unless it is there."""
    if not folder.is_dir():
        scratch = folder.with_name(folder.name + ".tmp")
        shutil.rmtree(scratch, ignore_errors=True)
        tokenizer = Tokenizer.from_words(f"w{i}" for i in range(vocab_size - len(SPECIAL_TOKENS)))
        save_model_folder(scratch, random_mime(MimeConfig.paper(vocab_size)), tokenizer, GenerationConfig())
        scratch.rename(folder)
    return folder


def make_tiny_mime(folder: Path) -> Path:
    """A model that costs next to nothing beside reading and writing; its words are w0 to w49."""
    config = MimeConfig.paper(
        TINY_VOCABULARY + len(SPECIAL_TOKENS), hidden_size=16, attention_depth=4, num_heads=2, ffn_channels=4
    )
    tokenizer = Tokenizer.from_words(f"w{i}" for i in range(TINY_VOCABULARY))
    save_model_folder(folder, random_mime(config), tokenizer, GenerationConfig())
    return folder


def random_mime(config: MimeConfig) -> Mime:
    return with_random_weights(Mime(config))


def with_random_weights(model: AnyModel) -> AnyModel:
    """Weights that keep the size of what passes through; logits of deviation 3, so that no word is sure."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() < 2:
                weight.fill_(0.0 if name.endswith("bias") else 1.0)
                continue
            inputs = weight[0].numel()
            scale = LOGIT_DEVIATION if name.startswith("fc_decode") else 1.0
            weight.normal_(0.0, scale * inputs**-0.5, generator=generator)
    return model.eval()
