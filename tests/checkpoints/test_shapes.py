"""The list of names and shapes that checks a file is that of the reference model, for all kinds and switches."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from mime_fast.checkpoints.shapes import num_parameters, tensor_shapes
from mime_fast.checkpoints.torch_weights import own_state
from mime_fast.config.model import MODEL_CONFIGS, ModelConfig
from mime_fast.errors import ConfigError
from mime_fast.reference.models import new_model

SIZES: dict[str, Any] = {"hidden_size": 8, "attention_depth": 6, "ffn_channels": 5}


def configs() -> list[ModelConfig]:
    """Each kind and preset with every switch turned over, and with two at once; layers of all numbers."""
    found: list[ModelConfig] = []
    for kind, preset in itertools.product(MODEL_CONFIGS.values(), ("paper", "released")):
        plain = getattr(kind, preset)(11, **SIZES)
        switches = [field.name for field in dataclasses.fields(kind) if field.type == "bool"]
        changes: list[dict[str, Any]] = [{}, {"num_layers": 3}, {"num_layers": 2, "context_layers": 1}]
        for names in (*itertools.combinations(switches, 1), *itertools.combinations(switches, 2)):
            changes.append({name: not getattr(plain, name) for name in names})
        for change in changes:
            try:
                found.append(plain.replace(**change))
            except ConfigError:  # no grouping means no mimicry
                continue
    return found


def test_shapes_are_those_of_the_reference() -> None:
    assert len(configs()) > 100
    for config in configs():
        model = new_model(config)
        expected = {name: tuple(value.shape) for name, value in own_state(model).items()}
        assert tensor_shapes(config) == expected, config
        assert num_parameters(config) == model.num_parameters(), config
        assert config.noise_groups == model.noise_groups == len(getattr(getattr(model, "prior", None), "fc_mu", ())), (
            config
        )


@pytest.mark.parametrize("kind", MODEL_CONFIGS.values(), ids=MODEL_CONFIGS)
def test_sizes_of_any_number_cost_nothing(kind: type[ModelConfig]) -> None:
    huge = kind.paper(2**20, hidden_size=2**20)
    assert tensor_shapes(huge)["word_embedding.weight"] == (2**20, 2**20)
