"""Between model folders and models of the reference, in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import mime_fast.needs_torch

import torch
from torch import Tensor

from mime_fast.checkpoints.shapes import Found, check_tensors, expected_shapes
from mime_fast.checkpoints.tensor_file import Floats
from mime_fast.config.model import ModelConfig
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.models import new_model


def own_state(model: DialogueModel) -> dict[str, Tensor]:
    """The state dict without second names of one tensor (a tied output)."""
    state = model.state_dict()
    if model.config.tie_word_embeddings:
        del state["fc_decode.weight"]
    return state


class StateArrays(Mapping[str, Floats]):
    """A model's own state as NumPy arrays in float32, made when they are asked for."""

    def __init__(self, model: DialogueModel) -> None:
        self._state = own_state(model)

    def __getitem__(self, name: str) -> Floats:
        values: Floats = self._state[name].detach().to("cpu", torch.float32).contiguous().numpy()
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self._state)

    def __len__(self) -> int:
        return len(self._state)


def load_weights(config: ModelConfig, tensors: Mapping[str, Tensor], *, where: str) -> DialogueModel:
    """A model of these weights, made after checking names, shapes, types and values.

    Raises:
        CheckpointError: naming every fault.
    """
    found = found_of(tensors)
    check_tensors(found, expected_shapes(config, found, where=where), where=where)
    model = new_model(config)
    copy_weights(model, tensors.__getitem__)
    return model


def copy_weights(model: DialogueModel, tensor_of: Callable[[str], Tensor]) -> None:
    """Copy tensors that were checked already, one by one."""
    with torch.no_grad():
        for name, value in own_state(model).items():
            value.copy_(tensor_of(name))


def found_of(tensors: Mapping[str, Tensor]) -> dict[str, Found]:
    """What `check_tensors` compares."""
    return {
        name: Found(
            tuple(tensor.shape),
            str(tensor.dtype).removeprefix("torch."),
            tensor.dtype.is_floating_point,
            partial(_count_unusable, tensor),
        )
        for name, tensor in tensors.items()
    }


def _count_unusable(tensor: Tensor) -> int:
    return int((~torch.isfinite(tensor.to(torch.float32))).sum())
