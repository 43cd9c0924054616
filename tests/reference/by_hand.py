"""The layers written out in NumPy, in float64, one dialogue at a time and without padding."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from mime_fast.reference.decoder import DecoderLayer
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.layers import Attention, Encoder, EncoderLayer, FeedForward, UnbiasedLayerNorm

Floats = npt.NDArray[np.float64]


def array(tensor: torch.Tensor) -> Floats:
    values: Floats = tensor.detach().double().numpy()
    return values


def norm(x: Floats, module: torch.nn.Module) -> Floats:
    assert isinstance(module, UnbiasedLayerNorm | torch.nn.LayerNorm)
    centred: Floats = x - x.mean(-1, keepdims=True)
    if isinstance(module, UnbiasedLayerNorm):
        spread = np.sqrt((centred**2).sum(-1, keepdims=True) / (x.shape[-1] - 1)) + 1e-6
    else:
        spread = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    scaled: Floats = centred / spread * array(module.weight)
    return scaled + array(module.bias)


def attention(x: Floats, memory: Floats, module: Attention, causal: bool = False) -> Floats:
    """Written head by head and position by position."""
    query, key, value = (array(m.weight) for m in (module.query, module.key, module.value))
    width = query.shape[0] // module.num_heads
    merged = np.zeros((len(x), query.shape[0]))
    for head in range(module.num_heads):
        part = slice(head * width, (head + 1) * width)
        for t in range(len(x)):
            seen = memory[: t + 1] if causal else memory
            scores = (seen @ key[part].T) @ (query[part] @ x[t]) / math.sqrt(width)
            weights = np.exp(scores - scores.max())
            merged[t, part] = (weights / weights.sum()) @ (seen @ value[part].T)
    return merged @ array(module.output.weight).T


def feed_forward(x: Floats, module: FeedForward, causal: bool) -> Floats:
    def convolve(rows: Floats, conv: torch.nn.Conv1d) -> Floats:
        assert conv.bias is not None
        out = np.tile(array(conv.bias), (len(rows), 1))
        for p in range(len(rows)):
            for k in range(3):
                source = p + k - (2 if causal else 1)
                if 0 <= source < len(rows):
                    out[p] += array(conv.weight)[:, :, k] @ rows[source]
        return out

    out = convolve(np.maximum(convolve(x, module.conv1), 0), module.conv2)
    return np.maximum(out, 0) if module.final_relu else out


def positions(rows: int, size: int) -> Floats:
    table = np.zeros((rows, size))
    for p in range(rows):
        for j in range(size // 2):
            angle = p * 10000 ** (-j / (size // 2 - 1))
            table[p, j], table[p, size // 2 + j] = math.sin(angle), math.cos(angle)
    return table


def encode(x: Floats, encoder: torch.nn.Module) -> Floats:
    assert isinstance(encoder, Encoder)
    x = x @ array(encoder.projection.weight).T + positions(len(x), encoder.projection.weight.shape[0])
    for layer in encoder.layers:
        assert isinstance(layer, EncoderLayer)
        normed = norm(x, layer.norm_attention)
        x = x + attention(normed, normed, layer.attention)
        x = x + feed_forward(norm(x, layer.norm_ffn), layer.ffn, causal=False)
    return norm(x, encoder.norm)


def linear(x: Floats, module: torch.nn.Module) -> Floats:
    assert isinstance(module, torch.nn.Linear)
    return x @ array(module.weight).T + (0 if module.bias is None else array(module.bias))


def softmax(x: Floats) -> Floats:
    raised: Floats = np.exp(x - x.max(-1, keepdims=True))
    shares: Floats = raised / raised.sum(-1, keepdims=True)
    return shares


def decoder_layer(x: Floats, memory: Floats, layer: torch.nn.Module) -> Floats:
    assert isinstance(layer, DecoderLayer)
    normed = norm(x, layer.norm_self_attention)
    x = x + attention(normed, normed, layer.self_attention, causal=True)
    x = x + attention(norm(x, layer.norm_memory_attention), memory, layer.memory_attention)
    return x + feed_forward(norm(x, layer.norm_ffn), layer.ffn, causal=True)


def response(ids: list[int], model: DialogueModel) -> Floats:
    """Response words as the decoder's first layer reads them."""
    words = array(model.word_embedding.weight)[ids] * math.sqrt(model.config.hidden_size)
    return words @ array(model.decoder.projection.weight).T + positions(len(ids), model.config.hidden_size)


def contexts(ids: list[int], states: list[int], model: DialogueModel) -> Floats:
    """H of eq. 2."""
    words = array(model.word_embedding.weight)
    if model.config.preset == "paper":
        speakers = array(model.speaker_embedding.weight)[np.array(states) - 4]
    else:
        speakers = words[states]
    return encode((words[ids] + speakers) * math.sqrt(model.config.hidden_size), model.context_encoder)
