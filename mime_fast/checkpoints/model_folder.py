"""The project's checkpoint: a folder of config.json, generation_config.json, tokenizer.json and model.safetensors."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import ModelConfig, config_class
from mime_fast.errors import CheckpointError, ConfigError
from mime_fast.files import naming, write_bytes, write_json
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.models import new_model
from mime_fast.text.tokenizer import Tokenizer

CONFIG, GENERATION, TOKENIZER, WEIGHTS = "config.json", "generation_config.json", "tokenizer.json", "model.safetensors"
MAX_FAULTS = 20  # named in one message; further ones are counted
SMALL = 10_000_000  # values; the tensors of a model with no larger matrix are named whatever the file holds


@dataclass(frozen=True)
class ModelFolder:
    """What a folder holds. The model is in evaluation mode, float32, on the CPU."""

    model: DialogueModel
    tokenizer: Tokenizer
    generation: GenerationConfig


def load_model_folder(path: str | os.PathLike[str]) -> ModelFolder:
    """Read and check a model folder.

    Raises:
        CheckpointError: a file is missing or broken, or the weights do not fit the config (all faults in one message).
    """
    folder = Path(path)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: not a folder; a model is a folder with {CONFIG}, {TOKENIZER}, {WEIGHTS}")
    missing = [name for name in (CONFIG, GENERATION, TOKENIZER, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder}: missing {', '.join(missing)}")
    config = _read_config(folder / CONFIG)
    generation = _read_generation(folder / GENERATION, config)
    tokenizer = Tokenizer.load(folder / TOKENIZER)
    if tokenizer.vocab_size != config.vocab_size:
        raise CheckpointError(
            f"{folder}: {TOKENIZER} has {tokenizer.vocab_size} tokens, {CONFIG} says vocab_size={config.vocab_size}"
        )
    weights = str(folder / WEIGHTS)
    tensors = read_tensors(folder / WEIGHTS)
    model = load_weights(config, tensors, where=weights)
    return ModelFolder(model.eval(), tokenizer, generation)


def save_model_folder(
    path: str | os.PathLike[str],
    model: DialogueModel,
    tokenizer: Tokenizer,
    generation: GenerationConfig,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a model folder; each file appears whole or not at all. OutputError: one cannot be written."""
    folder = Path(path)
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in own_state(model).items()}
    write_bytes(folder / WEIGHTS, save(tensors, metadata={"format": "pt"}))
    tokenizer.save(folder / TOKENIZER)
    write_json(folder / CONFIG, {"model_type": model.config.model_type, **model.config.to_dict()})
    write_json(folder / GENERATION, generation.to_dict())


def own_state(model: DialogueModel) -> dict[str, Tensor]:
    """The state dict without second names of one tensor (a tied output)."""
    state = model.state_dict()
    if model.config.tie_word_embeddings:
        del state["fc_decode.weight"]
    return state


def expected_shapes(config: ModelConfig, tensors: Mapping[str, Tensor], *, where: str) -> dict[str, torch.Size]:
    """Names and shapes of the tensors of a model, which is not made: a wrong number in a file must not take all memory.

    Raises:
        CheckpointError: sizes far beyond what the tensors hold.
    """
    widest = max(config.vocab_size, config.hidden_size, config.attention_depth, 3 * config.ffn_channels)
    held = sum(value.numel() for value in tensors.values())
    if config.hidden_size * widest > max(held, SMALL) or max(config.num_layers, config.context_layers) > len(tensors):
        raise CheckpointError(
            f"{where}: {len(tensors)} tensors with {held} values are too few for hidden_size={config.hidden_size}, "
            f"vocab_size={config.vocab_size}, attention_depth={config.attention_depth}, "
            f"ffn_channels={config.ffn_channels}, num_layers={config.num_layers}, "
            f"context_layers={config.context_layers}"
        )
    with torch.device("meta"):
        return {name: value.shape for name, value in own_state(new_model(config)).items()}


def load_weights(config: ModelConfig, tensors: Mapping[str, Tensor], *, where: str) -> DialogueModel:
    """A model of these weights, made after checking names, shapes, types and values.

    Raises:
        CheckpointError: naming every fault.
    """
    check_tensors(tensors, expected_shapes(config, tensors, where=where), where=where)
    model = new_model(config)
    copy_weights(model, tensors)
    return model


def copy_weights(model: DialogueModel, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors that were checked already."""
    with torch.no_grad():
        for name, value in own_state(model).items():
            value.copy_(tensors[name])


def check_tensors(
    tensors: Mapping[str, Tensor], expected: Mapping[str, torch.Size], *, where: str, faults: Sequence[str] = ()
) -> None:
    """Compare names, shapes, types and values; `faults` are named in the same message.

    Raises:
        CheckpointError: naming every fault.
    """
    found = [*faults, *(f"missing {name} {tuple(shape)}" for name, shape in expected.items() if name not in tensors)]
    found += [f"unexpected {name} {tuple(value.shape)}" for name, value in tensors.items() if name not in expected]
    for name in expected.keys() & tensors.keys():
        found += _tensor_faults(name, tensors[name], expected[name])
    if found:
        more = f" and {len(found) - MAX_FAULTS} more" if len(found) > MAX_FAULTS else ""
        raise CheckpointError(f"{where}: {'; '.join(sorted(found)[:MAX_FAULTS])}{more}")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        CheckpointError: not such a file, or cut short.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        CheckpointError: unreadable, not JSON, or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: a JSON object is expected, got {type(value).__name__}")
    return value


def _tensor_faults(name: str, tensor: Tensor, shape: torch.Size) -> list[str]:
    if tensor.shape != shape:
        return [f"{name} has shape {tuple(tensor.shape)}, expected {tuple(shape)}"]
    if not tensor.dtype.is_floating_point:
        return [f"{name} is {tensor.dtype}, expected a floating-point type"]
    bad = int((~torch.isfinite(tensor.to(torch.float32))).sum())
    return [f"{name} has {bad} values that are NaN or infinite"] if bad else []


def _read_config(path: Path) -> ModelConfig:
    values = read_json(path)
    kind = values.pop("model_type", None)
    try:
        make = config_class(kind)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None
    try:
        return make.from_dict(values, where=str(path))
    except ConfigError as error:
        raise CheckpointError(str(error)) from None


def _read_generation(path: Path, config: ModelConfig) -> GenerationConfig:
    try:
        generation = GenerationConfig.from_dict(read_json(path), where=str(path))
    except ConfigError as error:
        raise CheckpointError(str(error)) from None
    beyond = [token for token in generation.suppress_tokens if token >= config.vocab_size]
    if beyond:
        raise CheckpointError(f"{path}: suppress_tokens {beyond}: ids below vocab_size={config.vocab_size} are allowed")
    if generation.max_new_tokens > config.max_positions:
        raise CheckpointError(
            f"{path}: max_new_tokens={generation.max_new_tokens}: "
            f"at most max_positions={config.max_positions} is allowed"
        )
    return generation
