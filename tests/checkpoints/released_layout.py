"""The layouts of released checkpoints, written out by hand, with made-up weights and words."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mime_fast.text.special import SPECIAL_TOKENS

Shapes = dict[str, tuple[int, ...]]

WORDS = [*SPECIAL_TOKENS, "i", "lost", "my", "kite", ".", "unk", "n't", "``", "naïve", "*"]
HIDDEN, DEPTH, CHANNELS = 12, 8, 5


ENCODER_ATTENTIONS = ("multi_head_attention",)
ENCODER_NORMS = ("layer_norm_mha", "layer_norm_ffn")
DECODER_ATTENTIONS = ("multi_head_attention_dec", "multi_head_attention_enc_dec")
DECODER_NORMS = ("layer_norm_mha_dec", "layer_norm_mha_enc", "layer_norm_ffn")


def layer_shapes(layer: str, attentions: tuple[str, ...], norms: tuple[str, ...]) -> Shapes:
    shapes: Shapes = {}
    for attention in attentions:
        for part in ("query", "key", "value"):
            shapes[f"{layer}.{attention}.{part}_linear.weight"] = (DEPTH, HIDDEN)
        shapes[f"{layer}.{attention}.output_linear.weight"] = (HIDDEN, DEPTH)
    shapes[f"{layer}.positionwise_feed_forward.layers.0.conv.weight"] = (CHANNELS, HIDDEN, 3)
    shapes[f"{layer}.positionwise_feed_forward.layers.0.conv.bias"] = (CHANNELS,)
    shapes[f"{layer}.positionwise_feed_forward.layers.1.conv.weight"] = (HIDDEN, CHANNELS, 3)
    shapes[f"{layer}.positionwise_feed_forward.layers.1.conv.bias"] = (HIDDEN,)
    for norm in norms:
        shapes |= {f"{layer}.{norm}.gamma": (HIDDEN,), f"{layer}.{norm}.beta": (HIDDEN,)}
    return shapes


def stack(
    prefix: str, kind: str, size: int, attentions: tuple[str, ...], norms: tuple[str, ...], layers: int
) -> Shapes:
    shapes: Shapes = {f"{prefix}.embedding_proj.weight": (HIDDEN, size)}
    for i in range(layers):
        shapes |= layer_shapes(f"{prefix}.{kind}.{i}", attentions, norms)
    return shapes | {f"{prefix}.layer_norm.gamma": (HIDDEN,), f"{prefix}.layer_norm.beta": (HIDDEN,)}


def affine(name: str, rows: int, columns: int) -> Shapes:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def released_shapes(vocab: int = len(WORDS), layers: int = 1) -> Shapes:
    one, norms = ENCODER_ATTENTIONS, ENCODER_NORMS
    shapes: Shapes = {"embedding.lut.weight": (vocab, HIDDEN)}
    shapes |= stack("encoder", "enc", HIDDEN, one, norms, layers)
    shapes |= stack("decoder", "dec", HIDDEN, DECODER_ATTENTIONS, DECODER_NORMS, layers)
    shapes |= affine("vae_sampler.h_prior", HIDDEN, HIDDEN)
    for group, size in (("positive", 13), ("negative", 19)):
        shapes |= affine(f"vae_sampler.mu_prior_{group}", HIDDEN, HIDDEN)
        shapes |= affine(f"vae_sampler.logvar_prior_{group}", HIDDEN, HIDDEN)
        shapes |= affine(f"vae_sampler.Dense_z_prior_{group}", size, HIDDEN)
    shapes |= affine("vae_sampler.h_posterior_postive", HIDDEN, 2 * HIDDEN)
    shapes |= affine("vae_sampler.h_posterior_negative", HIDDEN, 2 * HIDDEN)
    for group, size in (("positive", 13), ("negative", 19)):
        shapes |= affine(f"vae_sampler.mu_posterior_{group}", HIDDEN, HIDDEN)
        shapes |= affine(f"vae_sampler.logvar_posterior_{group}", HIDDEN, HIDDEN)
        shapes |= affine(f"vae_sampler.Dense_z_posterior_{group}", size, HIDDEN)
    shapes |= stack("emotion_input_encoder_1.enc", "enc", 2 * HIDDEN, one, norms, layers)
    shapes |= stack("emotion_input_encoder_2.enc", "enc", 2 * HIDDEN, one, norms, layers)
    shapes |= affine("cdecoder.fc1", 2 * HIDDEN, 2 * HIDDEN) | affine("cdecoder.fc2", HIDDEN, 2 * HIDDEN)
    shapes |= {"s_weight.weight": (HIDDEN, HIDDEN), "decoder_key.weight": (32, HIDDEN)}
    shapes |= affine("e_weight", HIDDEN, HIDDEN)
    shapes |= affine("generator.proj", vocab, HIDDEN) | affine("generator.p_gen_linear", 1, HIDDEN)
    return shapes | {"emoji_embedding.weight": (32, HIDDEN)}


def baseline_shapes(kind: str, vocab: int = len(WORDS), layers: int = 1) -> Shapes:
    """Of "multi-tr" or "moel": names of the state dicts, a dot, and the names in them."""
    shapes: Shapes = {"embedding_dict.lut.weight": (vocab, HIDDEN)}
    shapes |= stack("encoder_state_dict", "enc", HIDDEN, ENCODER_ATTENTIONS, ENCODER_NORMS, layers)
    shapes |= stack("decoder_state_dict", "dec", HIDDEN, DECODER_ATTENTIONS, DECODER_NORMS, layers)
    if kind == "moel":
        for listener in ("basic", *(f"experts.{i}" for i in range(32))):
            shapes |= layer_shapes(f"decoder_state_dict.{listener}", DECODER_ATTENTIONS, DECODER_NORMS)
    shapes |= affine("generator_dict.proj", vocab, HIDDEN) | affine("generator_dict.p_gen_linear", 1, HIDDEN)
    return shapes | {"decoder_key_state_dict.weight": (32, HIDDEN)}


def made_up(shapes: Shapes) -> OrderedDict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    return OrderedDict((name, torch.randn(shape, generator=generator)) for name, shape in shapes.items())


def released_state(vocab: int = len(WORDS), layers: int = 1) -> OrderedDict[str, Tensor]:
    return made_up(released_shapes(vocab, layers))


def in_parts(state: Mapping[str, Any], **beside: Any) -> dict[str, Any]:
    """A baseline's checkpoint: each tensor in the state dict that its name begins with."""
    saved: dict[str, Any] = {"iter": 15999, "optimizer": {"state": {}, "param_groups": []}, "current_loss": 36.5}
    for name, value in state.items():
        part, _, inner = name.partition(".")
        saved.setdefault(part, OrderedDict())[inner] = value
    return saved | beside


def save_released(path: Path, state: dict[str, Any], **changes: Any) -> Path:
    saved = {"iter": 12000, "optimizer": {"state": {}, "param_groups": []}, "current_loss": 3.5, "model": state}
    torch.save(saved | changes, path)
    return path
