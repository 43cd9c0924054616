"""What a model is made of is checked: a TypeError or ValueError says what came and what is allowed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from mime_fast import _native
from mime_fast.config.model import MimeConfig
from tests.native.random_models import GROUPS, KINDS, SMALL, native_config, random_tensors

ALL = {kind.model_type: kind.paper(50, **{**SMALL, "num_layers": 1}, max_positions=20) for kind in KINDS}
ALL_TENSORS = {name: random_tensors(config) for name, config in ALL.items()}
CONFIG, TENSORS = ALL["mime"], ALL_TENSORS["mime"]


def changed(array: Any, index: int, value: Any) -> Any:
    copy = array.copy()
    copy[index] = value
    return copy


def refused(message: str, error: type[Exception] = ValueError) -> Any:
    return pytest.raises(error, match=message)


MODELS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"config": {}}, ValueError, "missing key 'model_type'"),
    ({"config": {"model_type": "moel"}}, ValueError, "missing key 'vocab_size'"),
    ({"config": None}, TypeError, "incompatible"),
    ({"precision": "float64"}, ValueError, "precision='float64': must be 'float32', 'bfloat16' or 'int8'"),
    ({"precision": 32}, TypeError, "incompatible"),
    ({"isa": "sse"}, ValueError, "isa='sse' is not known"),
    ({"emotion_groups": GROUPS[:1]}, ValueError, "emotion_groups"),
    ({"emotion_groups": (GROUPS[0], GROUPS[0])}, ValueError, "emotion_groups: must have each emotion once"),
    ({"emotion_groups": (GROUPS[0][:0], np.arange(32, dtype=np.int32))}, ValueError, "some in both groups"),
    (
        {"emotion_groups": (changed(GROUPS[0], 0, 32), GROUPS[1])},
        ValueError,
        r"emotion_groups\[0\]=32: must be from 0 to 31",
    ),
    ({"emotion_groups": (changed(GROUPS[0], 0, -1), GROUPS[1])}, ValueError, r"emotion_groups\[0\]=-1"),
    ({"emotion_groups": (GROUPS[0].astype(np.int64), GROUPS[1])}, TypeError, "must be of dtype int32, not int64"),
    ({"emotion_groups": (list(GROUPS[0]), GROUPS[1])}, TypeError, "must be a numpy array, not list"),
    ({"tensors": {}}, ValueError, "missing tensor 'fc_decode.weight'"),
    ({"tensors": {"fc_decode.weight": 3}}, TypeError, "fc_decode.weight: must be a numpy array, not int"),
]
CONFIGS: list[tuple[str, Any, type[Exception], str]] = [
    ("model_type", "trs", ValueError, "model_type='trs': must be 'mime', 'multi-tr' or 'moel'"),
    ("model_type", 3, ValueError, "model_type=3: must be 'mime', 'multi-tr' or 'moel'"),
    ("model_type", "multi-tr", ValueError, "missing tensor 'emotion_key.weight'"),
    ("vocab_size", 6, ValueError, "vocab_size=6: must be an integer from 7 to 1048576"),
    ("vocab_size", 51, ValueError, "fc_decode.weight: axis 0 has 50 entries; must have 51"),
    ("vocab_size", 2**70, ValueError, "vocab_size"),
    ("vocab_size", 50.0, TypeError, "vocab_size: must be an integer, not float"),
    ("vocab_size", True, TypeError, "vocab_size: must be an integer, not bool"),
    ("hidden_size", 2, ValueError, "hidden_size=2"),
    ("hidden_size", 13, ValueError, "hidden_size: must be even"),
    ("hidden_size", 14, ValueError, "axis 1 has 12 entries; must have 14"),
    ("num_layers", 0, ValueError, "num_layers=0"),
    ("num_layers", 2, ValueError, "missing tensor 'context_encoder.layers.1"),
    ("num_layers", 2**20, ValueError, "missing tensor"),
    ("context_layers", -1, ValueError, "context_layers=-1"),
    ("context_layers", 2, ValueError, "missing tensor 'context_encoder.layers.1"),
    ("num_heads", 0, ValueError, "num_heads=0"),
    ("num_heads", 3, ValueError, "attention_depth: must be a multiple of num_heads"),
    ("attention_depth", -8, ValueError, "attention_depth=-8"),
    ("ffn_channels", 6, ValueError, "ffn.conv1.weight: axis 0 has 5 entries; must have 6"),
    ("max_positions", 0, ValueError, "max_positions=0"),
    ("max_positions", 2**21, ValueError, "max_positions=2097152"),
    ("drop_ctx", 1, TypeError, "drop_ctx: must be True or False"),
    ("shared_response_encoder", False, ValueError, "missing tensor 'response_encoders.1"),
    ("emotion_grouping", False, ValueError, "emotion_mimicry: must be False without emotion_grouping"),
]


MOEL_CONFIGS: list[tuple[str, Any, type[Exception], str]] = [
    ("model_type", "mime", ValueError, "missing key 'drop_ctx'"),
    ("num_layers", 2, ValueError, "missing tensor 'context_encoder.layers.1"),
    ("top_listeners", 0, ValueError, "top_listeners=0: must be an integer from 1 to 32"),
    ("top_listeners", 33, ValueError, "top_listeners=33: must be an integer from 1 to 32"),
    ("top_listeners", 5.0, TypeError, "top_listeners: must be an integer, not float"),
    ("min_listener_weight", -0.1, ValueError, "min_listener_weight=-0.1"),
    ("min_listener_weight", float("nan"), ValueError, "min_listener_weight=nan"),
    ("min_listener_weight", "0", TypeError, "min_listener_weight: must be a number, not str"),
]


@pytest.mark.parametrize(("change", "error", "message"), MODELS)
def test_models(change: dict[str, Any], error: type[Exception], message: str) -> None:
    good = {"config": native_config(CONFIG), "emotion_groups": GROUPS, "tensors": TENSORS}
    with refused(message, error):
        _native.Model(**(good | {"precision": "float32", "isa": "auto"} | change))


@pytest.mark.parametrize(("key", "value", "error", "message"), CONFIGS)
def test_configs(key: str, value: Any, error: type[Exception], message: str) -> None:
    for precision in ("float32", "int8"):
        with refused(message, error):
            _native.Model({**native_config(CONFIG), key: value}, GROUPS, TENSORS, precision, "auto")


@pytest.mark.parametrize(
    ("kind", "precision", "sizes", "inputs"),
    [
        ("mime", "int8", {"num_heads": 512, "attention_depth": 1024}, 0),
        ("mime", "int8", {"attention_depth": 132_104}, 0),
        ("mime", "int8", {"attention_depth": 132_106}, 132_106),
        ("mime", "int8", {"ffn_channels": 44_034}, 0),
        ("mime", "int8", {"ffn_channels": 44_035}, 132_105),
        ("mime", "int8", {"hidden_size": 66_052}, 0),
        ("mime", "int8", {"hidden_size": 66_054}, 132_108),
        ("multi-tr", "int8", {"hidden_size": 132_104}, 0),
        ("moel", "int8", {"hidden_size": 132_106}, 132_106),
        ("mime", "screened", {"attention_depth": 2**20, "ffn_channels": 2**20, "hidden_size": 132_104}, 0),
        ("mime", "screened", {"hidden_size": 132_106}, 132_106),
        ("mime", "bfloat16", {"hidden_size": 2**20}, 0),
    ],
)
def test_widths_of_int8(kind: str, precision: str, sizes: dict[str, int], inputs: int) -> None:
    """Its sums have 32 bits. A model that is narrow enough goes on to its first tensor, which is not there."""
    message = (
        f"a layer has {inputs} inputs; must have at most 132104 in int8" if inputs else "missing tensor 'fc_decode"
    )
    with refused(message, _native.ModelError if inputs else ValueError):
        _native.Model(native_config(ALL[kind]) | sizes, GROUPS, {}, precision, "auto")


@pytest.mark.parametrize(("key", "value", "error", "message"), MOEL_CONFIGS)
def test_configs_of_moel(key: str, value: Any, error: type[Exception], message: str) -> None:
    with refused(message, error):
        _native.Model({**native_config(ALL["moel"]), key: value}, GROUPS, ALL_TENSORS["moel"], "float32", "auto")


@pytest.mark.parametrize("kind", ALL)
def test_keys_of_other_kinds_are_not_asked_for(kind: str) -> None:
    """Nor those that only training reads, nor tensors of others."""
    _native.Model(native_config(ALL[kind]), GROUPS, ALL_TENSORS[kind], "float32", "auto")
    for key in native_config(ALL[kind]):
        less = {name: value for name, value in native_config(ALL[kind]).items() if name != key}
        if key in ("preset", "dropout", "tie_word_embeddings", "posterior_on_emotion"):
            _native.Model(less, GROUPS, ALL_TENSORS[kind], "float32", "auto")
            continue
        with refused(f"missing key '{key}'"):
            _native.Model(less, GROUPS, ALL_TENSORS[kind], "float32", "auto")


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in ALL for name in ALL_TENSORS[kind]])
def test_every_tensor(kind: str, name: str) -> None:
    config, tensors = native_config(ALL[kind]), ALL_TENSORS[kind]
    good = tensors[name]
    with refused(f"missing tensor '{name}'"):
        _native.Model(config, GROUPS, {key: tensors[key] for key in tensors if key != name}, "float32", "auto")
    bad: list[tuple[Any, type[Exception], str]] = [
        (good.astype(float), TypeError, "must be of dtype float32, not float64"),
        (good[None], ValueError, "must be a contiguous array of shape"),
        (good[:-1], ValueError, "axis 0 has"),
        (np.concatenate([good, good], axis=-1), ValueError, "axis . has"),
        (np.repeat(good, 2, axis=-1)[..., ::2], ValueError, "must be a contiguous array"),
        (good.tolist(), TypeError, "must be a numpy array, not list"),
    ]
    for value, error, message in bad:
        with refused(f"{name}: {message}", error):
            _native.Model(config, GROUPS, {**tensors, name: value}, "float32", "auto")


@pytest.mark.parametrize("layers", [1, 3])
def test_what_the_layers_share_is_asked_for_once(layers: int) -> None:
    config = MimeConfig.paper(50, **SMALL | {"num_layers": layers, "attention_depth": 4})
    tensors, asked = random_tensors(config), Counter[str]()

    class Counted:
        def __getitem__(self, name: str) -> Any:
            asked[name] += 1
            return tensors[name]

    _native.Model(native_config(config), GROUPS, Counted(), "float32", "auto")
    again = {name for name, times in asked.items() if times > 1}
    assert again <= {"prior.fc_sigma.positive.weight", "prior.fc_sigma.positive.bias"}
    assert asked["fusion.fc_fused.weight"] == asked["fusion.fc_fused.bias"] == 1
