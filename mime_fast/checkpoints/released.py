"""Released checkpoints of MIME: how the authors' parameter names map to ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import mime_fast.needs_torch

from torch import Tensor

from mime_fast.config.model import MimeConfig, ModelConfig

_LAYER_RULES: tuple[tuple[str, str], ...] = (
    (r"embedding_proj", "projection"),
    (r"(enc|dec)\.(\d+)\.", r"layers.\2."),
    (r"multi_head_attention_dec", "self_attention"),
    (r"multi_head_attention_enc_dec", "memory_attention"),
    (r"multi_head_attention", "attention"),
    (r"(query|key|value|output)_linear", r"\1"),
    (r"positionwise_feed_forward\.layers\.0\.conv", "ffn.conv1"),
    (r"positionwise_feed_forward\.layers\.1\.conv", "ffn.conv2"),
    (r"layer_norm_mha_dec", "norm_self_attention"),
    (r"layer_norm_mha_enc", "norm_memory_attention"),
    (r"layer_norm_mha", "norm_attention"),
    (r"layer_norm_ffn", "norm_ffn"),
    (r"layer_norm", "norm"),
    (r"gamma", "weight"),
    (r"beta", "bias"),
)

_PREFIXES: tuple[tuple[str, str], ...] = (
    ("embedding.lut.", "word_embedding."),
    ("encoder.", "context_encoder."),
    ("emotion_input_encoder_1.enc.", "response_encoders.0."),
    ("emotion_input_encoder_2.enc.", "response_encoders.1."),
    ("decoder.", "decoder."),
    ("vae_sampler.h_prior.", "prior.fc_sample."),
    ("vae_sampler.mu_prior_", "prior.fc_mu."),
    ("vae_sampler.logvar_prior_", "prior.fc_sigma."),
    ("vae_sampler.Dense_z_prior_", "prior.fc_d."),
    ("vae_sampler.h_posterior_postive.", "posterior.fc_sample.positive."),
    ("vae_sampler.h_posterior_negative.", "posterior.fc_sample.negative."),
    ("vae_sampler.mu_posterior_", "posterior.fc_mu."),
    ("vae_sampler.logvar_posterior_", "posterior.fc_sigma."),
    ("vae_sampler.Dense_z_posterior_", "unused.posterior_fc_d_"),
    ("cdecoder.fc1.", "fusion.fc_contrib."),
    ("cdecoder.fc2.", "fusion.fc_fused."),
    ("s_weight.", "emotion_query."),
    ("decoder_key.", "unused.decoder_key."),
    ("e_weight.", "unused.e_weight."),
    ("generator.proj.", "fc_decode."),
    ("generator.p_gen_linear.", "unused.p_gen."),
    ("emoji_embedding.", "emotion_embedding."),
)

_NORM = ("gamma", "beta")
AFFINE = ("weight", "bias")
_ATTENTION = tuple(f"{part}_linear.weight" for part in ("query", "key", "value", "output"))
_FFN = tuple(f"positionwise_feed_forward.layers.{i}.conv.{part}" for i in (0, 1) for part in AFFINE)

ENCODER_LAYER = (
    *(f"multi_head_attention.{part}" for part in _ATTENTION),
    *_FFN,
    *(f"layer_norm_{which}.{part}" for which in ("mha", "ffn") for part in _NORM),
)
DECODER_LAYER = (
    *(f"multi_head_attention_{which}.{part}" for which in ("dec", "enc_dec") for part in _ATTENTION),
    *_FFN,
    *(f"layer_norm_{which}.{part}" for which in ("mha_dec", "mha_enc", "ffn") for part in _NORM),
)

_STACKS = ("context_encoder.", "response_encoders.", "decoder.")


@dataclass(frozen=True)
class Layout:
    """How the tensors of a kind of released model are called."""

    config: type[ModelConfig]
    prefixes: tuple[tuple[str, str], ...]  # theirs and ours; the first that fits counts
    names: Callable[[int], list[str]]  # of all tensors of a model with so many layers
    encoder: str = "encoder"
    decoder: str = "decoder"
    words: str = "embedding.lut.weight"
    output: str = "generator.proj.weight"
    unsaved: str = ""  # a tensor that a checkpoint may lack; it is zero then

    def our_name(self, name: str) -> str | None:
        """Our name of a released tensor; None where the layout has no such tensor."""
        for theirs, ours in self.prefixes:
            if name.startswith(theirs):
                rest = name[len(theirs) :]
                if ours.startswith(_STACKS):
                    for pattern, replacement in _LAYER_RULES:
                        rest = re.sub(pattern, replacement, rest)
                return ours + rest
        return None

    def rename(self, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """The tensors under our names, and the names that the layout does not have."""
        renamed = {name: self.our_name(name) for name in tensors}
        strangers = [name for name, ours in renamed.items() if ours is None]
        return {ours: tensors[name] for name, ours in renamed.items() if ours is not None}, strangers

    def num_layers(self, tensors: Mapping[str, Tensor]) -> int:
        """Layers of the context encoder, or else of the decoder; 1 where neither has any."""
        for stack in (f"{self.encoder}.enc", f"{self.decoder}.dec"):
            layer = re.compile(re.escape(stack) + r"\.(\d+)\.")
            found = {match[1] for match in map(layer.match, tensors) if match}
            if found:
                return len(found)
        return 1


def _names(num_layers: int) -> list[str]:
    """110 with one layer, in the order of a checkpoint."""
    names = ["embedding.lut.weight", *stack_names("encoder", "enc", ENCODER_LAYER, num_layers)]
    names += stack_names("decoder", "dec", DECODER_LAYER, num_layers)
    for net, hidden in (("prior", ("h_prior",)), ("posterior", ("h_posterior_postive", "h_posterior_negative"))):
        layers = [f"{kind}_{net}_{group}" for group in ("positive", "negative") for kind in ("mu", "logvar", "Dense_z")]
        names += [f"vae_sampler.{layer}.{part}" for layer in (*hidden, *layers) for part in AFFINE]
    for encoder in ("emotion_input_encoder_1.enc", "emotion_input_encoder_2.enc"):
        names += stack_names(encoder, "enc", ENCODER_LAYER, num_layers)
    names += [f"cdecoder.{layer}.{part}" for layer in ("fc1", "fc2") for part in AFFINE]
    names += ["s_weight.weight", "decoder_key.weight"]
    rest = ("e_weight", "generator.proj", "generator.p_gen_linear")
    names += [f"{layer}.{part}" for layer in rest for part in AFFINE]
    return [*names, "emoji_embedding.weight"]


def stack_names(prefix: str, kind: str, layer: tuple[str, ...], num_layers: int) -> list[str]:
    """The names of an encoder's or decoder's tensors."""
    layers = [f"{kind}.{i}.{name}" for i in range(num_layers) for name in layer]
    names = ["embedding_proj.weight", *layers, *(f"layer_norm.{part}" for part in _NORM)]
    return [f"{prefix}.{name}" for name in names]


MIME = Layout(MimeConfig, _PREFIXES, _names)
