"""Checkpoints of MoEL's code, which trains both baselines: how its names map to ours.

Such a checkpoint is a dict of state dicts, one per part of the model; a tensor's name is here its state dict's and its
own, joined by a dot.
"""

from __future__ import annotations

from collections.abc import Mapping

from mime_fast.checkpoints.released import AFFINE, DECODER_LAYER, ENCODER_LAYER, Layout, stack_names
from mime_fast.config.model import MoelConfig, MultiTaskConfig
from mime_fast.emotions import LABELS

ENCODER, DECODER, GENERATOR, EMBEDDING = "encoder_state_dict", "decoder_state_dict", "generator_dict", "embedding_dict"
KEY = "decoder_key_state_dict"
MODULES = (ENCODER, DECODER, GENERATOR, EMBEDDING, KEY)
UNSAVED = "emoji_embedding_dict"  # of MoEL; its code never uses the part, and does not save it
BESIDE = ("iter", "optimizer", "current_loss")  # what a checkpoint contains that is no weight

_LISTENERS = ("basic.", "experts.")  # only MoEL's decoder has them

_SHARED: tuple[tuple[str, str], ...] = (
    (f"{EMBEDDING}.lut.", "word_embedding."),
    (f"{ENCODER}.", "context_encoder."),
    (f"{DECODER}.", "decoder."),
    (f"{GENERATOR}.proj.", "fc_decode."),
    (f"{GENERATOR}.p_gen_linear.", "unused.p_gen."),
    (f"{KEY}.", "emotion_key."),
)
_MOEL: tuple[tuple[str, str], ...] = (
    (f"{DECODER}.basic.", "decoder.shared_listener."),
    (f"{DECODER}.experts.", "decoder.listeners."),
    (f"{UNSAVED}.", "unused.emoji_embedding."),
    *_SHARED,
)


def baseline_of(decoder: object) -> Layout:
    """The layout of the baseline that has this decoder, a state dict; Multi-TR's if it has no listeners."""
    names = decoder if isinstance(decoder, Mapping) else ()
    return MOEL if any(isinstance(name, str) and name.startswith(_LISTENERS) for name in names) else MULTITASK


def _multitask_names(num_layers: int) -> list[str]:
    names = [f"{EMBEDDING}.lut.weight", *stack_names(ENCODER, "enc", ENCODER_LAYER, num_layers)]
    names += stack_names(DECODER, "dec", DECODER_LAYER, num_layers)
    names += [f"{GENERATOR}.{layer}.{part}" for layer in ("proj", "p_gen_linear") for part in AFFINE]
    return [*names, f"{KEY}.weight"]


def _moel_names(num_layers: int) -> list[str]:
    listeners = ("basic", *(f"experts.{i}" for i in range(len(LABELS))))
    heard = [f"{DECODER}.{listener}.{name}" for listener in listeners for name in DECODER_LAYER]
    return [*_multitask_names(num_layers), *heard]


_PLACES = {
    "encoder": ENCODER,
    "decoder": DECODER,
    "words": f"{EMBEDDING}.lut.weight",
    "output": f"{GENERATOR}.proj.weight",
}
MULTITASK = Layout(MultiTaskConfig, _SHARED, _multitask_names, **_PLACES)
MOEL = Layout(MoelConfig, _MOEL, _moel_names, **_PLACES, unsaved=f"{UNSAVED}.weight")
