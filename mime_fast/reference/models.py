"""Every kind of model by its config."""

from __future__ import annotations

from mime_fast.config.model import MimeConfig, ModelConfig, MoelConfig, MultiTaskConfig
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.mime import Mime
from mime_fast.reference.moel import Moel
from mime_fast.reference.multitask import MultiTask


def new_model(config: ModelConfig) -> DialogueModel:
    """An untrained model of the config's kind."""
    if isinstance(config, MimeConfig):
        return Mime(config)
    if isinstance(config, MultiTaskConfig):
        return MultiTask(config)
    assert isinstance(config, MoelConfig)
    return Moel(config)


def frozen_copy(model: DialogueModel) -> DialogueModel:
    """The same weights on the CPU, in evaluation mode, without gradients."""
    twin = new_model(model.config)
    twin.load_state_dict(model.state_dict())
    return twin.eval().requires_grad_(False)
