"""The project's checkpoint: a folder of config.json, generation_config.json, tokenizer.json and model.safetensors.

A reranker.safetensors may lie beside them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mime_fast.checkpoints.reranker import RERANKER, WEIGHTS, check_reranker, load_reranker, save_reranker
from mime_fast.checkpoints.shapes import check_tensors, expected_shapes
from mime_fast.checkpoints.tensor_file import WRITTEN, Floats, TensorFile
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import ModelConfig, config_class
from mime_fast.data.json_objects import Several, decoded
from mime_fast.errors import CheckpointError, ConfigError
from mime_fast.extras import require
from mime_fast.files import naming, whole_file, write_json
from mime_fast.reference.reranker import Reranker
from mime_fast.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch

    from mime_fast.reference.dialogue_model import DialogueModel

CONFIG, GENERATION, TOKENIZER = "config.json", "generation_config.json", "tokenizer.json"


@dataclass(frozen=True)
class ModelWeights:
    """A model: its config and its tensors by name (`tensor_shapes`), float32."""

    config: ModelConfig
    tensors: Mapping[str, Floats]

    @classmethod
    def of(cls, model: DialogueModel) -> Self:
        """Those of a model of the reference, which stays the one that `model` returns."""
        from mime_fast.checkpoints.torch_weights import StateArrays

        weights = cls(model.config, StateArrays(model))
        weights.__dict__["model"] = model
        return weights

    @cached_property
    def model(self) -> DialogueModel:
        """The reference model: the one that `of` was given, as it is, or one in evaluation mode.

        The latter is made when it is first asked for, in float32 on the CPU.

        Raises:
            MissingPackage: PyTorch is not installed.
        """
        require("torch", "the reference model")
        import torch

        from mime_fast.checkpoints.torch_weights import copy_weights
        from mime_fast.reference.models import new_model
        from mime_fast.reference.running import torch_threads

        with torch_threads(None):
            model = new_model(self.config)
            copy_weights(model, lambda name: torch.from_numpy(self.tensors[name]))
        return model.eval()


@dataclass(frozen=True)
class ModelFolder:
    """What a folder contains."""

    weights: ModelWeights
    tokenizer: Tokenizer
    generation: GenerationConfig
    reranker: Reranker | None = None

    @property
    def config(self) -> ModelConfig:
        return self.weights.config

    @property
    def model(self) -> DialogueModel:
        return self.weights.model


def files_of_model(folder: str | os.PathLike[str]) -> list[Path]:
    """The model's own files that are in a folder, whatever else lies there."""
    names = (CONFIG, GENERATION, WEIGHTS, RERANKER, TOKENIZER)
    return [path for name in names if (path := Path(folder, name)).is_file()]


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
    tensors, where = TensorFile(folder / WEIGHTS), str(folder / WEIGHTS)
    found = tensors.found()
    check_tensors(found, expected_shapes(config, found, where=where), where=where)
    reranker = load_reranker(folder, config.hidden_size)
    return ModelFolder(ModelWeights(config, tensors), tokenizer, generation, reranker)


def save_model_folder(
    path: str | os.PathLike[str],
    model: DialogueModel,
    tokenizer: Tokenizer,
    generation: GenerationConfig,
    dtype: torch.dtype | None = None,
    *,
    reranker: Reranker | None = None,
) -> None:
    """Write a model folder, in float32 by default; each file appears whole or not at all.

    Args:
        dtype: of the weights, float16, bfloat16, float32 or float64; a reranker has float16 where they have it, else
            float32.
        reranker: the model's; None: the folder has none afterwards, as one of other weights judges by what they are.

    Raises:
        ConfigError: what `load_model_folder` would refuse: parts that do not fit the model, weights that are NaN, or
            infinite in this dtype. Nothing is written then.
        OutputError: a file cannot be written.
    """
    import torch
    from safetensors.torch import save

    from mime_fast.checkpoints.torch_weights import found_of, own_state

    config = model.config
    check_generation(generation, config)
    if tokenizer.vocab_size != config.vocab_size:
        raise ConfigError(f"tokenizer of {tokenizer.vocab_size} tokens: must be of vocab_size={config.vocab_size}")
    dtype = torch.float32 if dtype is None else dtype
    kind = str(dtype).removeprefix("torch.")
    if not isinstance(dtype, torch.dtype) or kind not in WRITTEN:
        raise ConfigError(f"dtype={dtype!r}: must be torch.{', torch.'.join(WRITTEN)}")
    towers = "float16" if dtype == torch.float16 else "float32"
    if reranker is not None:
        check_reranker(reranker, config.hidden_size, towers)
    tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in own_state(model).items()}
    found, where = found_of(tensors), f"weights in {kind}"
    try:
        check_tensors(found, expected_shapes(config, found, where=where), where=where)
    except CheckpointError as error:
        raise ConfigError(str(error)) from None
    folder = Path(path)
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / WEIGHTS) as stream:
        stream.write(save(tensors, metadata={"format": "pt"}))
    with naming(folder / RERANKER):
        (folder / RERANKER).unlink(missing_ok=True)  # after the weights that it reads by: a save that fails keeps both
    tokenizer.save(folder / TOKENIZER)
    write_json(folder / CONFIG, {"model_type": config.model_type, **config.to_dict()})
    write_json(folder / GENERATION, generation.to_dict())
    if reranker is not None:
        save_reranker(folder, reranker, towers)


def check_generation(generation: GenerationConfig, config: ModelConfig) -> None:
    """ConfigError where default options are beyond a model: ids that it does not have, replies that it cannot read."""
    beyond = [token for token in generation.suppress_tokens if token >= config.vocab_size]
    if beyond:
        raise ConfigError(f"suppress_tokens {beyond}: must be ids below vocab_size={config.vocab_size}")
    if generation.max_new_tokens > config.max_positions:
        raise ConfigError(
            f"max_new_tokens={generation.max_new_tokens}: must be at most max_positions={config.max_positions}"
        )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        CheckpointError: unreadable, not JSON, not an object, or a name comes twice in it.
    """
    try:
        value = decoded(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: a JSON object is expected, got {type(value).__name__}")
    if doubled := [repr(name) for name, each in value.items() if isinstance(each, Several)]:
        raise CheckpointError(f"{path}: {', '.join(doubled)}: given more than once; must be given once")
    return value


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
    try:
        check_generation(generation, config)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None
    return generation
