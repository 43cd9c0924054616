"""From a checkpoint of the released code to a model folder."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import uuid
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from mime_fast.config import GenerationConfig, MimeConfig
from mime_fast.engine.model_folder import check_tensors, copy_weights, new_model, own_state, save_model_folder
from mime_fast.engine.released import our_name, released_names, rename
from mime_fast.engine.released_vocabulary import Inert, read_released_vocabulary
from mime_fast.errors import CheckpointError, ConfigError, InputError
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.text.special import SPECIAL_TOKENS
from mime_fast.text.tokenizer import Tokenizer

WORDS = "embedding.lut.weight"
OUTPUT = "generator.proj.weight"
QUERY = "encoder.enc.0.multi_head_attention.query_linear.weight"
FIRST_CONVOLUTION = "encoder.enc.0.positionwise_feed_forward.layers.0.conv.weight"

# The loss beside the weights may be a numpy number: its parts are read as placeholders, numpy itself is not called.
_NUMPY_NUMBER = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")


def convert(
    checkpoint: str | os.PathLike[str], vocab: str | os.PathLike[str], out_dir: str | os.PathLike[str]
) -> dict[str, Any]:
    """Turn a released checkpoint and its vocabulary into a model folder in float32.

    Args:
        checkpoint: what the released code saves, `{iter, optimizer, current_loss, model}`, or the state dict alone.
        vocab: its vocabulary, see `read_released_vocabulary`.
        out_dir: a folder that is empty or not there yet; it appears whole or not at all.

    Returns:
        JSON-ready: `out_dir`, `vocab_size`, `hidden_size`, `num_layers`, `tensors`, `parameters`, and `iteration` and
        `loss` as the checkpoint has them (None where it does not).

    Raises:
        CheckpointError: out_dir is in use or cannot be written, or a file is broken, hostile or does not fit (all
            faults of the tensors in one message).
    """
    out = Path(os.path.abspath(out_dir))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out}: exists already; give a folder that is empty or not there yet")
    words = read_released_vocabulary(vocab)
    saved = read_checkpoint(checkpoint)
    tensors = _model_tensors(saved, where=str(checkpoint))
    model = build_released(tensors, len(words), where=str(checkpoint))
    try:
        tokenizer = Tokenizer.from_words(words[len(SPECIAL_TOKENS) :])
    except InputError as error:
        raise CheckpointError(f"{vocab}: {error}") from None
    _write_whole(out, model, tokenizer)
    return {
        "out_dir": str(out),
        "vocab_size": model.config.vocab_size,
        "hidden_size": model.config.hidden_size,
        "num_layers": model.config.num_layers,
        "tensors": len(tensors),
        "parameters": model.num_parameters(),
        "iteration": _number(saved.get("iter")),
        "loss": _number(saved.get("current_loss")),
    }


def read_checkpoint(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """What `torch.save` wrote, read without running code in it.

    Raises:
        CheckpointError: missing, truncated, not a checkpoint, or with anything in it besides tensors and plain values.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: not a file; a checkpoint of the released code is expected")
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([(Inert, name) for name in _NUMPY_NUMBER]):
            warnings.simplefilter("ignore")  # about pickle protocols; what cannot be read raises
            saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file can raise anything
        raise CheckpointError(f"{path}: {_reason(error)}") from None
    if not isinstance(saved, Mapping):
        raise CheckpointError(
            f"{path}: holds {type(saved).__name__}; a dict with 'model', or a state dict, is expected"
        )
    return saved


def build_released(tensors: Mapping[str, Tensor], num_words: int, *, where: str) -> DialogueModel:
    """The `released` preset around tensors under the released names; sizes are read from the tensors.

    The number of heads shows in no tensor: 2, as in the released code. num_words is the length of the vocabulary.

    Raises:
        CheckpointError: naming every tensor that is missing, unexpected, mis-shaped, not floating-point or not finite.
    """
    rows = _size(tensors, WORDS, 0, _size(tensors, OUTPUT, 0, num_words))
    faults = [] if rows == num_words else [f"{WORDS} has {rows} words, the vocabulary has {num_words}"]
    stacked = {match[1] for match in map(re.compile(r"encoder\.enc\.(\d+)\.").match, tensors) if match}
    try:
        config = MimeConfig.released(
            rows,
            hidden_size=_size(tensors, WORDS, 1, _size(tensors, OUTPUT, 1, MimeConfig.hidden_size)),
            num_layers=max(1, len(stacked)),
            attention_depth=_size(tensors, QUERY, 0, MimeConfig.attention_depth),
            ffn_channels=_size(tensors, FIRST_CONVOLUTION, 0, MimeConfig.ffn_channels),
        )
    except ConfigError as error:
        raise CheckpointError(f"{where}: sizes that the model cannot have: {error}") from None
    model = new_model(config, tensors, where=where)
    state = own_state(model)
    expected = {name: state[str(our_name(name))].shape for name in released_names(config.num_layers)}
    check_tensors(tensors, expected, where=where, faults=faults)
    copy_weights(model, rename(tensors)[0])
    return model.eval()


def _model_tensors(saved: Mapping[str, Any], *, where: str) -> dict[str, Tensor]:
    """The state dict of a checkpoint, whose values must all be plain tensors."""
    state = saved.get("model", saved)
    if not isinstance(state, Mapping) or not any(isinstance(value, Tensor) for value in state.values()):
        keys = ", ".join(sorted(map(repr, saved))[:8]) or "none"
        raise CheckpointError(f"{where}: no tensors under 'model' nor beside it; keys: {keys}")
    faults = [
        f"{name!r} is {type(value).__name__}, expected a tensor under a name"
        for name, value in state.items()
        if not isinstance(name, str) or not isinstance(value, Tensor)
    ]
    faults += [f"{name} is no plain tensor in memory" for name, value in state.items() if not _plain(value)]
    if faults:
        raise CheckpointError(f"{where}: {'; '.join(faults[:8])}")
    return dict(state)


def _plain(value: object) -> bool:
    """Whether a tensor has all its values in memory; a small file can claim a huge tensor that repeats one value."""
    if not isinstance(value, Tensor):
        return True  # named already
    if type(value) not in (Tensor, torch.nn.Parameter) or value.layout != torch.strided or value.device.type != "cpu":
        return False
    return value.untyped_storage().nbytes() >= value.numel() * value.element_size()


def _size(tensors: Mapping[str, Tensor], name: str, axis: int, default: int) -> int:
    tensor = tensors.get(name)
    return tensor.shape[axis] if tensor is not None and tensor.dim() > axis else default


def _number(value: object) -> float | int | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _reason(error: Exception) -> str:
    """What is wrong with the file, without torch's advice to switch the protection off."""
    text = str(error)
    named = re.search(r"GLOBAL (\S+)", text) or re.search(r"unrecognized function (.+)", text)
    if named:
        return f"refused: it names {named[1]}, which a checkpoint does not need and might run code"
    if isinstance(error, pickle.UnpicklingError):
        return "refused: it is not written by torch.save, or holds something besides tensors and plain values"
    return f"not a readable checkpoint: truncated, or not written by torch.save ({type(error).__name__})"


def _write_whole(out: Path, model: DialogueModel, tokenizer: Tokenizer) -> None:
    """Write beside `out`, then rename, so that a failure leaves nothing behind."""
    scratch = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        save_model_folder(scratch, model, tokenizer, GenerationConfig())
        scratch.replace(out)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{out}: cannot be written ({error})") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
