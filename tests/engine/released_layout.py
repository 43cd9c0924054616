"""A released checkpoint's layout, written out by hand, with made-up weights and words."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mime_fast.text.special import SPECIAL_TOKENS

Shapes = dict[str, tuple[int, ...]]

WORDS = [*SPECIAL_TOKENS, "i", "lost", "my", "kite", ".", "unk", "n't", "``", "naïve", "*"]
HIDDEN, DEPTH, CHANNELS = 12, 8, 5


def stack(
    prefix: str, kind: str, size: int, attentions: tuple[str, ...], norms: tuple[str, ...], layers: int
) -> Shapes:
    shapes: Shapes = {f"{prefix}.embedding_proj.weight": (HIDDEN, size)}
    for i in range(layers):
        layer = f"{prefix}.{kind}.{i}"
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
    return shapes | {f"{prefix}.layer_norm.gamma": (HIDDEN,), f"{prefix}.layer_norm.beta": (HIDDEN,)}


def affine(name: str, rows: int, columns: int) -> Shapes:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def released_shapes(vocab: int = len(WORDS), layers: int = 1) -> Shapes:
    one, both = ("multi_head_attention",), ("multi_head_attention_dec", "multi_head_attention_enc_dec")
    norms = ("layer_norm_mha", "layer_norm_ffn")
    decoder_norms = ("layer_norm_mha_dec", "layer_norm_mha_enc", "layer_norm_ffn")
    shapes: Shapes = {"embedding.lut.weight": (vocab, HIDDEN)}
    shapes |= stack("encoder", "enc", HIDDEN, one, norms, layers)
    shapes |= stack("decoder", "dec", HIDDEN, both, decoder_norms, layers)
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


def released_state(vocab: int = len(WORDS), layers: int = 1) -> OrderedDict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    shapes = released_shapes(vocab, layers)
    return OrderedDict((name, torch.randn(shape, generator=generator)) for name, shape in shapes.items())


def save_released(path: Path, state: dict[str, Any], **changes: Any) -> Path:
    saved = {"iter": 12000, "optimizer": {"state": {}, "param_groups": []}, "current_loss": 3.5, "model": state}
    torch.save(saved | changes, path)
    return path
