"""Configs of the systems that the paper compares MIME with (section 4.2), and all kinds of models by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from mime_fast.config import MimeConfig, ModelConfig, check_float, check_int
from mime_fast.emotions import LABELS
from mime_fast.errors import ConfigError


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

    top_listeners: int = 5  # the likeliest emotions, whose listeners are heard
    min_listener_weight: float = 0.0  # a listener of no more weight is not heard, but in training

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
        raise ConfigError(f"model_type={model_type!r}: {', '.join(map(repr, MODEL_CONFIGS))} are allowed")
    return found
