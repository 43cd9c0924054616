"""The weights that a run begins with: another run's, or drawn ones and word vectors."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mime_fast.checkpoints.model_folder import load_model_folder
from mime_fast.config.model import ModelConfig
from mime_fast.errors import ConfigError
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.mime import Mime
from mime_fast.reference.models import new_model
from mime_fast.text.tokenizer import Tokenizer
from mime_fast.training.vectors import initial_embedding


def go_on_from(folder: str | os.PathLike[str], model: DialogueModel, tokenizer: Tokenizer) -> None:
    """Give `model` the weights of a model folder.

    Raises:
        ConfigError: that model has other words or other sizes.
    """
    loaded = load_model_folder(folder)
    same = loaded.tokenizer.words == tokenizer.words
    if not same or loaded.model.config.replace(dropout=0.0) != model.config.replace(dropout=0.0):
        raise ConfigError(f"{folder}: its {'model' if same else 'vocabulary'} is another one; must be the same")
    model.load_state_dict(loaded.model.state_dict())


def new_weights(
    config: ModelConfig, tokenizer: Tokenizer, seed: int, vectors: Mapping[str, Tensor] | None
) -> DialogueModel:
    """An untrained model, a function only of the arguments: PyTorch's own generator, seeded here, draws the biases."""
    torch.manual_seed(seed)
    model = new_model(config)
    initialise(model, tokenizer, seed, vectors)
    return model


def initialise(model: DialogueModel, tokenizer: Tokenizer, seed: int, vectors: Mapping[str, Tensor] | None) -> None:
    """The released code's start: Xavier for every matrix but E_W, which takes word vectors or 0.01 N(0, 1).

    A posterior on e_g starts as a copy of the prior that ignores e_g: two unrelated ones are driven to one constant
    distribution by the KL term within a few hundred steps.
    """
    generator = torch.Generator().manual_seed(seed)
    size = model.config.hidden_size
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1 and parameter is not model.word_embedding.weight:
                nn.init.xavier_uniform_(parameter, generator=generator)
        model.word_embedding.weight.copy_(initial_embedding(tokenizer.words, vectors or {}, size, generator))
        if isinstance(model, Mime) and model.config.posterior_on_emotion:
            _start_as_prior(model)


def _start_as_prior(model: Mime) -> None:
    """Q(z_g | e_g, C) = P(z_g | C), eq. 13 and 17."""
    size = model.config.hidden_size
    for group in model.prior.fc_mu:
        sample = model.posterior.fc_sample[group]
        assert isinstance(sample, nn.Linear)
        sample.weight.zero_()
        sample.weight[:, :size].copy_(model.prior.fc_sample.weight)
        sample.bias.copy_(model.prior.fc_sample.bias)
        model.posterior.fc_mu[group].load_state_dict(model.prior.fc_mu[group].state_dict())
        model.posterior.fc_sigma[group].load_state_dict(model.prior.fc_sigma[group].state_dict())
