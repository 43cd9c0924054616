"""From a checkpoint of the authors' code, of MIME or of a baseline, to a model folder."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mime_fast.needs_torch

from safetensors import SafetensorError
from torch import Tensor

from mime_fast.checkpoints.model_folder import CONFIG, save_model_folder
from mime_fast.checkpoints.released import Layout
from mime_fast.checkpoints.released_checkpoint import Weights, find_weights, read_checkpoint
from mime_fast.checkpoints.released_numbers import finite_number
from mime_fast.checkpoints.released_vocabulary import read_released_vocabulary
from mime_fast.checkpoints.shapes import check_tensors, expected_shapes
from mime_fast.checkpoints.torch_weights import copy_weights, found_of, own_state
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import ModelConfig
from mime_fast.errors import CheckpointError, ConfigError, InputError
from mime_fast.files import scratch_beside
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.models import new_model
from mime_fast.text.special import SPECIAL_TOKENS
from mime_fast.text.tokenizer import Tokenizer

QUERIES = "enc.0.multi_head_attention.query_linear.weight", "dec.0.multi_head_attention_dec.query_linear.weight"
CONVOLUTIONS = tuple(f"{layer}.0.positionwise_feed_forward.layers.0.conv.weight" for layer in ("enc", "dec"))


def convert(
    checkpoint: str | os.PathLike[str], vocab: str | os.PathLike[str], out_dir: str | os.PathLike[str]
) -> dict[str, Any]:
    """Turn a released checkpoint and its vocabulary into a model folder in float32.

    Args:
        checkpoint: what MIME's code saves, `{iter, optimizer, current_loss, model}`, or only the state dict; or what
            MoEL's code saves of Multi-TR or MoEL, `{iter, optimizer, current_loss, encoder_state_dict, ...}`. A
            safetensors file of the tensors is taken, too; a baseline's names begin there as `encoder_state_dict.`.
        vocab: its vocabulary, see `read_released_vocabulary`.
        out_dir: a folder that is not there yet, which appears whole or not at all; or an empty one, which gets all
            files or none, `config.json` last.

    Returns:
        JSON-ready: `out_dir`, `model_type`, `vocab_size`, `hidden_size`, `num_layers`, `tensors`, `parameters`, and
        `iteration` and `loss` as the checkpoint has them, as a number of Python's, NumPy's or a tensor (None where
        there is none, or it is not finite).

    Raises:
        CheckpointError: out_dir is in use or cannot be written, or a file is broken, hostile or does not fit (all
            faults of the tensors in one message).
    """
    out, named = _free_folder(out_dir), os.path.abspath(out_dir)
    words = read_released_vocabulary(vocab)
    saved = read_checkpoint(checkpoint)
    weights = find_weights(saved, where=str(checkpoint))
    model = build_released(weights, len(words), where=str(checkpoint))
    try:
        tokenizer = Tokenizer.from_words(words[len(SPECIAL_TOKENS) :])
    except InputError as error:
        raise CheckpointError(f"{vocab}: {error}") from None
    _write_whole(out, model, tokenizer)
    return {
        "out_dir": named,
        "model_type": model.config.model_type,
        "vocab_size": model.config.vocab_size,
        "hidden_size": model.config.hidden_size,
        "num_layers": model.config.num_layers,
        "tensors": len(weights.tensors),
        "parameters": model.num_parameters(),
        "iteration": finite_number(saved.get("iter")),
        "loss": finite_number(saved.get("current_loss")),
    }


def build_released(weights: Weights, num_words: int, *, where: str) -> DialogueModel:
    """The `released` preset around tensors under the released names; sizes are read from the tensors.

    The number of heads shows in no tensor: 2, as in the released code; nor does how many listeners of MoEL are used:
    5, as in its authors' command. num_words is the length of the vocabulary.

    Raises:
        CheckpointError: naming every tensor that is missing, unexpected, mis-shaped, not floating-point or not finite.
    """
    layout, tensors = weights.layout, weights.tensors
    rows = _size(tensors, (layout.words, layout.output), 0, num_words)
    faults = list(weights.faults)
    if rows != num_words:
        faults.append(f"{layout.words} has {rows} words, the vocabulary has {num_words}")
    config = _released_config(layout, tensors, rows, where=where)
    found = found_of(tensors)
    shapes = expected_shapes(config, found, where=where)
    names = [name for name in layout.names(config.num_layers) if not name.startswith(weights.named)]
    if layout.unsaved in tensors:
        names.append(layout.unsaved)
    check_tensors(found, {name: shapes[str(layout.our_name(name))] for name in names}, where=where, faults=faults)
    model = new_model(config)
    zeros = {name: value.new_zeros(value.shape) for name, value in own_state(model).items()}
    copy_weights(model, (zeros | layout.rename(tensors)[0]).__getitem__)
    return model.eval()


def _released_config(layout: Layout, tensors: Mapping[str, Tensor], vocab_size: int, *, where: str) -> ModelConfig:
    kind = layout.config
    stacks = layout.encoder, layout.decoder
    queries, convolutions = (
        [f"{stack}.{name}" for stack, name in zip(stacks, names, strict=True)] for names in (QUERIES, CONVOLUTIONS)
    )
    try:
        return kind.released(
            vocab_size,
            hidden_size=_size(tensors, (layout.words, layout.output), 1, kind.hidden_size),
            num_layers=layout.num_layers(tensors),
            attention_depth=_size(tensors, queries, 0, kind.attention_depth),
            ffn_channels=_size(tensors, convolutions, 0, kind.ffn_channels),
        )
    except ConfigError as error:
        raise CheckpointError(f"{where}: sizes that the model cannot have: {error}") from None


def _size(tensors: Mapping[str, Tensor], names: Sequence[str], axis: int, default: int) -> int:
    """From the first of these tensors that is there."""
    found = (tensors[name].shape[axis] for name in names if name in tensors and tensors[name].dim() > axis)
    return next(found, default)


def _free_folder(path: str | os.PathLike[str]) -> Path:
    """Where a link leads to; CheckpointError for what is in use or can be no folder."""
    try:
        out = Path(os.path.realpath(path))
        used = out.exists() and (not out.is_dir() or any(out.iterdir()))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{os.fspath(path)!r:.80}: cannot be written ({error})") from None
    if used:
        raise CheckpointError(f"{out}: exists already; give a folder that is empty or not there yet")
    return out


def _write_whole(out: Path, model: DialogueModel, tokenizer: Tokenizer) -> None:
    """Write beside `out`, then rename, so that a failure leaves nothing behind.

    A folder that is there stays, as it may be a mount or the current folder of a shell: its files are made in it.
    """
    there = out.is_dir()
    scratch = scratch_beside(out / CONFIG if there else out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        save_model_folder(scratch, model, tokenizer, GenerationConfig())
        if there:
            _move_up(scratch, out)
        else:
            scratch.replace(out)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{out}: cannot be written ({error})") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _move_up(scratch: Path, out: Path) -> None:
    """The files of a folder in `out` into `out` itself, all or none; without `config.json` they are no model yet."""
    if any(path != scratch for path in out.iterdir()):  # since `_free_folder`
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
    moved: list[Path] = []
    try:
        for path in sorted(scratch.iterdir(), key=lambda path: path.name == CONFIG):
            moved.append(out / path.name)
            path.rename(moved[-1])
    except BaseException:
        for path in moved:
            path.unlink(missing_ok=True)
        raise
