"""Configs of MIME and of its baselines (section 4.2 of the paper): what can vary, and within which bounds."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from mime_fast.config.checks import Config, check_bool, check_float, check_int
from mime_fast.emotions import LABELS
from mime_fast.errors import ConfigError

Preset = Literal["paper", "released"]

MAX_SIZE = 2**20  # csrc/bindings/native/model_config.h


@dataclass(frozen=True)
class ModelConfig(Config):
    """Sizes and switches that MIME and its baselines share. Start from `paper(V)` or `released(V)` of one of its kinds.

    The switches are the places where the paper and the code its authors released differ (docs/model.md lists them).
    """

    model_type: ClassVar[str]
    QUIRKS: ClassVar[dict[str, Any]] = {
        "preset": "released",
        "speaker_table": False,
        "final_relu": True,
        "unbiased_norm": True,
    }

    vocab_size: int
    preset: Preset = "paper"
    hidden_size: int = 300  # D_emb = D_h
    num_layers: int = 1
    context_layers: int = 0  # only of TR_ctx_enc (eq. 2); 0: num_layers
    num_heads: int = 2
    attention_depth: int = 40  # keys and values of all heads together
    ffn_channels: int = 50
    max_positions: int = 1000  # rows of the sinusoidal table; CTX is one of them
    dropout: float = 0.0
    tie_word_embeddings: bool = False  # FC_decode's weight is E_W
    speaker_table: bool = True  # E_S is a table of its own (eq. 1); False: rows of E_W
    final_relu: bool = False  # ReLU after the last convolution of the FFN, too
    unbiased_norm: bool = False  # LayerNorm by the unbiased deviation, epsilon outside the root

    def __post_init__(self) -> None:
        if not isinstance(self.preset, str) or self.preset not in ("paper", "released"):
            raise ConfigError(f"preset={self.preset!r}: must be 'paper' or 'released'")
        check_int("vocab_size", self.vocab_size, 7, MAX_SIZE)
        for name in ("num_layers", "num_heads", "attention_depth", "ffn_channels", "max_positions"):
            check_int(name, getattr(self, name), 1, MAX_SIZE)
        check_int("context_layers", self.context_layers, 0, MAX_SIZE)
        check_int("hidden_size", self.hidden_size, 4, MAX_SIZE)
        if self.hidden_size % 2:
            raise ConfigError(f"hidden_size={self.hidden_size}: must be even (sines and cosines)")
        if self.attention_depth % self.num_heads:
            raise ConfigError(
                f"attention_depth={self.attention_depth}: must be a multiple of num_heads={self.num_heads}"
            )
        check_float("dropout", self.dropout, 0.0, 0.999)
        for field in dataclasses.fields(self):
            if field.type == "bool":
                check_bool(field.name, getattr(self, field.name))
        self._make_plain()

    @property
    def num_context_layers(self) -> int:
        """Layers of the context encoder."""
        return self.context_layers or self.num_layers

    @property
    def noise_groups(self) -> int:
        """G, the noise vectors that a response emotion is drawn from; 0: the model has none."""
        return 0

    @property
    def mimics(self) -> bool:
        """Whether the user's emotion decides which group of emotions is mimicked (eq. 18-19)."""
        return False

    @classmethod
    def paper(cls, vocab_size: int, **changes: Any) -> Self:
        """The equations as printed."""
        return cls(vocab_size=vocab_size, **changes)

    @classmethod
    def released(cls, vocab_size: int, **changes: Any) -> Self:
        """What the released code computes, quirks included."""
        return cls(vocab_size=vocab_size, **(cls.QUIRKS | changes))


@dataclass(frozen=True)
class MimeConfig(ModelConfig):
    """MIME's own switches beside the shared ones."""

    model_type = "mime"
    QUIRKS: ClassVar[dict[str, Any]] = ModelConfig.QUIRKS | {
        "drop_ctx": False,
        "shared_response_encoder": False,
        "separate_sigma": False,
        "posterior_on_emotion": False,
    }

    drop_ctx: bool = True  # eq. 20-24 run over i = 1..k; False: CTX stays in the memory
    shared_response_encoder: bool = True  # one TR_resp_enc (eq. 22-23); False: one for M, one for M~
    separate_sigma: bool = True  # sigma per group (eq. 13); False: sigma_neg = sigma_pos
    posterior_on_emotion: bool = True  # Q(z_g | e_g, C), eq. 17; False: on the mean of M or M~
    emotion_mimicry: bool = True  # eq. 18-19; False: m = e_pos, m~ = e_neg always
    emotion_grouping: bool = True  # two groups; False: one mixture over the 32 emotions

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.emotion_mimicry and not self.emotion_grouping:
            raise ConfigError(
                "emotion_mimicry=True with emotion_grouping=False: without groups there is nothing to mimic; "
                "set emotion_mimicry=False"
            )

    @property
    def noise_groups(self) -> int:
        return 2 if self.emotion_grouping else 1

    @property
    def mimics(self) -> bool:
        return self.emotion_mimicry


@dataclass(frozen=True)
class MultiTaskConfig(ModelConfig):
    """Multi-TR: a plain transformer that also classifies the user's emotion."""

    model_type = "multi-tr"

    num_layers: int = 2


@dataclass(frozen=True)
class MoelConfig(ModelConfig):
    """MoEL: a decoder (listener) for each emotion, one for all, and one that reads their mixture."""

    model_type = "moel"
    QUIRKS: ClassVar[dict[str, Any]] = ModelConfig.QUIRKS | {"min_listener_weight": 1e-4}

    top_listeners: int = 5  # the likeliest emotions, whose listeners are used
    min_listener_weight: float = 0.0  # a listener of no more weight is not used, but in training

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int("top_listeners", self.top_listeners, 1, len(LABELS))
        check_float("min_listener_weight", self.min_listener_weight, 0.0, 0.5 / len(LABELS))


MODEL_CONFIGS: dict[str, type[ModelConfig]] = {
    config.model_type: config for config in (MimeConfig, MultiTaskConfig, MoelConfig)
}


def config_class(model_type: object) -> type[ModelConfig]:
    """The config of a kind of model.

    Raises:
        ConfigError: no such kind.
    """
    found = MODEL_CONFIGS.get(model_type) if isinstance(model_type, str) else None
    if found is None:
        raise ConfigError(f"model_type={model_type!r}: must be one of {', '.join(map(repr, MODEL_CONFIGS))}")
    return found
