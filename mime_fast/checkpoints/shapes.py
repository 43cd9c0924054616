"""Names and shapes of a model's tensors as a function of its config, so that none is made to check a file.

C hidden size, V vocabulary, A attention depth, F channels of the feed-forward layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mime_fast.config.model import MimeConfig, ModelConfig, MoelConfig
from mime_fast.emotions import LABELS, NEGATIVE_IDS, POSITIVE_IDS
from mime_fast.errors import CheckpointError

Shape = tuple[int, ...]
Named = Iterator[tuple[str, Shape]]

TIED = {"fc_decode.weight": "word_embedding.weight"}  # of a tied output: stored once, under the second name
MAX_FAULTS = 20  # named in one message; further ones are counted
SMALL = 10_000_000  # values; the tensors of a model with no larger matrix are named whatever the file contains
EMOJI_SIZE = 64  # of the emotion vectors that MoEL's released code loads and does not use


def tensor_shapes(config: ModelConfig) -> dict[str, Shape]:
    """Of all tensors of a model folder; a tied output is stored once."""
    shapes = dict(_shapes(config))
    if config.tie_word_embeddings:
        del shapes["fc_decode.weight"]
    return shapes


def num_parameters(config: ModelConfig) -> int:
    """Parameters, shared ones counted once."""
    return sum(math.prod(shape) for shape in tensor_shapes(config).values())


def _shapes(config: ModelConfig) -> Named:
    size = config.hidden_size
    yield "word_embedding.weight", (config.vocab_size, size)
    if config.speaker_table:
        yield "speaker_embedding.weight", (3, size)
    yield from _encoder("context_encoder", config, size, config.num_context_layers)
    yield from _mime(config) if isinstance(config, MimeConfig) else _baseline(config)
    yield from _linear("decoder.projection", size, size, bias=False)
    for i in range(config.num_layers):
        yield from _decoder_layer(f"decoder.layers.{i}", config)
    yield from _norm("decoder.norm", config)
    yield from _linear("fc_decode", size, config.vocab_size)
    if config.preset == "released":
        yield from _unused(config)


def _mime(config: MimeConfig) -> Named:
    """Eq. 4-27; the posterior is for training."""
    size = config.hidden_size
    groups = {"positive": POSITIVE_IDS, "negative": NEGATIVE_IDS} if config.emotion_grouping else {"all": LABELS}
    yield from _linear("emotion_query", size, size, bias=False)
    yield "emotion_embedding.weight", (len(LABELS), size)
    yield from _linear("prior.fc_sample", size, size)
    for group, emotions in groups.items():
        yield from _linear(f"prior.fc_mu.{group}", size, size)
        yield from _linear(f"prior.fc_sigma.{group}", size, size)
        yield from _linear(f"prior.fc_d.{group}", size, len(emotions))
        yield from _linear(f"posterior.fc_sample.{group}", 2 * size, size)
        yield from _linear(f"posterior.fc_mu.{group}", size, size)
        yield from _linear(f"posterior.fc_sigma.{group}", size, size)
    for i in range(1 if config.shared_response_encoder else 2):
        yield from _encoder(f"response_encoders.{i}", config, 2 * size, config.num_layers)
    yield from _linear("fusion.fc_contrib", 2 * size, 2 * size)
    yield from _linear("fusion.fc_fused", 2 * size, size)


def _baseline(config: ModelConfig) -> Named:
    yield from _linear("emotion_key", config.hidden_size, len(LABELS), bias=False)
    if isinstance(config, MoelConfig):
        for listener in ("shared_listener", *(f"listeners.{i}" for i in range(len(LABELS)))):
            yield from _decoder_layer(f"decoder.{listener}", config)


def _unused(config: ModelConfig) -> Named:
    """Of released checkpoints; no computation reads them."""
    size = config.hidden_size
    yield from _linear("unused.p_gen", size, 1)
    if isinstance(config, MoelConfig):
        yield from _linear("unused.emoji_embedding", EMOJI_SIZE, size, bias=False)
    if isinstance(config, MimeConfig):
        yield from _linear("unused.decoder_key", size, len(LABELS), bias=False)
        yield from _linear("unused.e_weight", size, size)
        yield from _linear("unused.posterior_fc_d_positive", size, len(POSITIVE_IDS))
        yield from _linear("unused.posterior_fc_d_negative", size, len(NEGATIVE_IDS))


def _encoder(name: str, config: ModelConfig, inputs: int, layers: int) -> Named:
    yield from _linear(f"{name}.projection", inputs, config.hidden_size, bias=False)
    for i in range(layers):
        layer = f"{name}.layers.{i}"
        yield from _norm(f"{layer}.norm_attention", config)
        yield from _attention(f"{layer}.attention", config)
        yield from _norm(f"{layer}.norm_ffn", config)
        yield from _feed_forward(f"{layer}.ffn", config)
    yield from _norm(f"{name}.norm", config)


def _decoder_layer(name: str, config: ModelConfig) -> Named:
    for part in ("self_attention", "memory_attention"):
        yield from _norm(f"{name}.norm_{part}", config)
        yield from _attention(f"{name}.{part}", config)
    yield from _norm(f"{name}.norm_ffn", config)
    yield from _feed_forward(f"{name}.ffn", config)


def _attention(name: str, config: ModelConfig) -> Named:
    size, depth = config.hidden_size, config.attention_depth
    for part in ("query", "key", "value"):
        yield from _linear(f"{name}.{part}", size, depth, bias=False)
    yield from _linear(f"{name}.output", depth, size, bias=False)


def _feed_forward(name: str, config: ModelConfig) -> Named:
    size, channels = config.hidden_size, config.ffn_channels
    for part, inputs, outputs in (("conv1", size, channels), ("conv2", channels, size)):
        yield f"{name}.{part}.weight", (outputs, inputs, 3)
        yield f"{name}.{part}.bias", (outputs,)


def _linear(name: str, inputs: int, outputs: int, *, bias: bool = True) -> Named:
    yield f"{name}.weight", (outputs, inputs)
    if bias:
        yield f"{name}.bias", (outputs,)


def _norm(name: str, config: ModelConfig) -> Named:
    yield f"{name}.weight", (config.hidden_size,)
    yield f"{name}.bias", (config.hidden_size,)


@dataclass(frozen=True)
class Found:
    """A tensor that is there."""

    shape: Shape
    dtype: str
    floating: bool
    count_unusable: Callable[[], int]  # values that are NaN, or infinite in float32


def expected_shapes(config: ModelConfig, found: Mapping[str, Found], *, where: str) -> dict[str, Shape]:
    """`tensor_shapes`, unless it is plain that the model is another: a wrong number must not take all memory.

    Raises:
        CheckpointError: sizes far beyond what the tensors have; the sines of the positions, which are in no file, must
            be no more than the values in it, or SMALL.
    """
    widest = max(config.vocab_size, config.hidden_size, config.attention_depth, 3 * config.ffn_channels)
    held = sum(math.prod(tensor.shape) for tensor in found.values())
    if config.hidden_size * widest > max(held, SMALL) or max(config.num_layers, config.context_layers) > len(found):
        raise CheckpointError(
            f"{where}: {len(found)} tensors with {held} values are too few for hidden_size={config.hidden_size}, "
            f"vocab_size={config.vocab_size}, attention_depth={config.attention_depth}, "
            f"ffn_channels={config.ffn_channels}, num_layers={config.num_layers}, "
            f"context_layers={config.context_layers}"
        )
    if config.max_positions * config.hidden_size > max(held, SMALL):
        most = max(held, SMALL) // config.hidden_size
        raise CheckpointError(
            f"{where}: max_positions={config.max_positions}: must be at most {most} with {held} values and "
            f"hidden_size={config.hidden_size}"
        )
    return tensor_shapes(config)


def check_tensors(
    found: Mapping[str, Found], expected: Mapping[str, Shape], *, where: str, faults: Sequence[str] = ()
) -> None:
    """Compare names, shapes, types and values; `faults` are named in the same message.

    Raises:
        CheckpointError: naming every fault.
    """
    all_faults = [*faults, *(f"missing {name} {shape}" for name, shape in expected.items() if name not in found)]
    all_faults += [f"unexpected {name} {tensor.shape}" for name, tensor in found.items() if name not in expected]
    for name in expected.keys() & found.keys():
        all_faults += _tensor_faults(name, found[name], expected[name])
    if all_faults:
        more = f" and {len(all_faults) - MAX_FAULTS} more" if len(all_faults) > MAX_FAULTS else ""
        raise CheckpointError(f"{where}: {'; '.join(sorted(all_faults)[:MAX_FAULTS])}{more}")


def _tensor_faults(name: str, tensor: Found, shape: Shape) -> list[str]:
    if tensor.shape != shape:
        return [f"{name} has shape {tensor.shape}, expected {shape}"]
    if not tensor.floating:
        return [f"{name} is {tensor.dtype}, expected a floating-point type"]
    bad = tensor.count_unusable()
    return [f"{name} has {bad} values that are NaN or infinite"] if bad else []
