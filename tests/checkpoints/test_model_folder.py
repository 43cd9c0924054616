"""The project's own checkpoint: what is written comes back, and every broken file is refused with all its faults."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mime_fast.checkpoints.model_folder import load_model_folder, save_model_folder
from mime_fast.checkpoints.torch_weights import load_weights, own_state
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MimeConfig, ModelConfig, MoelConfig, MultiTaskConfig
from mime_fast.errors import CheckpointError, ConfigError
from mime_fast.reference.mime import Mime
from mime_fast.reference.models import new_model
from mime_fast.text.tokenizer import Tokenizer
from tests.reference.tiny import tiny as of_kind

WORDS = ["i", "lost", "my", "kite", "."]
VOCAB = 7 + len(WORDS)
FILES = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"]
SIZES: dict[str, Any] = {"hidden_size": 12, "attention_depth": 8, "ffn_channels": 5}
GENERATION = GenerationConfig(num_beams=2, max_new_tokens=9, suppress_tokens=(0, 1))


def tiny(preset: str = "paper", **changes: Any) -> Mime:
    torch.manual_seed(3)
    make = MimeConfig.paper if preset == "paper" else MimeConfig.released
    return Mime(make(VOCAB, **SIZES, **changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    save_model_folder(path, tiny(), Tokenizer.from_words(WORDS), GENERATION)
    return path


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_weights(folder: Path, changes: dict[str, Tensor | None]) -> None:
    tensors: dict[str, Any] = load_file(folder / "model.safetensors") | changes
    save_file({name: value for name, value in tensors.items() if value is not None}, folder / "model.safetensors")


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_model_folder(folder)
    assert str(folder) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("paper", {}),
        ("released", {}),
        ("paper", {"tie_word_embeddings": True, "num_layers": 2, "dropout": 0.25}),
        ("paper", {"context_layers": 3}),
        ("paper", {"emotion_grouping": False, "emotion_mimicry": False}),
    ],
)
def test_what_is_written_comes_back(tmp_path: Path, preset: str, changes: dict[str, Any]) -> None:
    model = tiny(preset, **changes)
    save_model_folder(tmp_path / "a" / "b", model, Tokenizer.from_words(WORDS), GENERATION)
    assert sorted(entry.name for entry in (tmp_path / "a" / "b").iterdir()) == FILES
    loaded = load_model_folder(tmp_path / "a" / "b")
    assert loaded.model.config == model.config
    assert loaded.generation == GENERATION
    assert loaded.tokenizer.words[7:] == WORDS
    assert not loaded.model.training
    state = model.state_dict()
    assert loaded.model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in loaded.model.state_dict().items())


@pytest.mark.parametrize("preset", ["paper", "released"])
@pytest.mark.parametrize(
    ("kind", "changes"),
    [(MultiTaskConfig, {"tie_word_embeddings": True}), (MoelConfig, {"top_listeners": 3, "min_listener_weight": 0.01})],
)
def test_a_baseline_comes_back(tmp_path: Path, preset: str, kind: type[ModelConfig], changes: dict[str, Any]) -> None:
    model = of_kind(kind, preset, VOCAB, **SIZES, **changes).float()
    save_model_folder(tmp_path, model, Tokenizer.from_words(WORDS), GENERATION)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == kind.model_type
    loaded = load_model_folder(tmp_path).model
    assert loaded.config == model.config
    state = model.state_dict()
    assert loaded.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())


@pytest.mark.parametrize("kind", ["multi-tr", "moel"])
def test_the_weights_of_another_kind(folder: Path, kind: str) -> None:
    make = MoelConfig if kind == "moel" else MultiTaskConfig
    config = make.paper(VOCAB, **SIZES, num_layers=1).to_dict()
    (folder / "config.json").write_text(json.dumps({"model_type": kind, **config}))
    message = refused(folder)
    assert "missing emotion_key.weight (32, 12)" in message or kind == "moel"
    assert ("missing decoder.listeners.0." in message) == (kind == "moel")
    change_json(folder / "config.json", drop_ctx=True)
    assert "unknown key 'drop_ctx'" in refused(folder)


def test_sixteen_bits_come_back_rounded_in_float32(tmp_path: Path) -> None:
    model = tiny()
    save_model_folder(tmp_path / "m", model, Tokenizer.from_words(WORDS), GENERATION, dtype=torch.float16)
    assert {value.dtype for value in load_file(tmp_path / "m" / "model.safetensors").values()} == {torch.float16}
    loaded = own_state(load_model_folder(tmp_path / "m").model)
    for name, value in own_state(model).items():
        assert loaded[name].dtype == torch.float32
        assert torch.equal(loaded[name], value.half().float())


def test_a_tied_output_is_stored_once_and_stays_tied(tmp_path: Path) -> None:
    save_model_folder(tmp_path / "m", tiny(tie_word_embeddings=True), Tokenizer.from_words(WORDS), GENERATION)
    assert "fc_decode.weight" not in load_file(tmp_path / "m" / "model.safetensors")
    model = load_model_folder(tmp_path / "m").model
    assert model.fc_decode.weight is model.word_embedding.weight


def test_json_with_a_byte_order_mark_is_read(folder: Path) -> None:
    for name in ("config.json", "generation_config.json"):
        (folder / name).write_bytes(codecs.BOM_UTF8 + (folder / name).read_bytes())
    assert load_model_folder(folder).generation == GENERATION


def test_saving_again_replaces_the_files(folder: Path) -> None:
    save_model_folder(folder, tiny("released"), Tokenizer.from_words(WORDS), GenerationConfig())
    loaded = load_model_folder(folder)
    assert loaded.model.config.preset == "released"
    assert loaded.generation == GenerationConfig()
    assert sorted(entry.name for entry in folder.iterdir()) == FILES


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (WORDS, {"suppress_tokens": (3, VOCAB)}, rf"suppress_tokens \[{VOCAB}\]: must be ids below"),
        (WORDS, {"max_new_tokens": 1001}, "max_new_tokens=1001: must be at most max_positions=1000"),
        (WORDS[1:], {}, f"tokenizer of {VOCAB - 1} tokens: must be of vocab_size={VOCAB}"),
    ],
)
def test_what_loading_refuses_is_not_written(
    tmp_path: Path, words: list[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        save_model_folder(tmp_path / "m", tiny(), Tokenizer.from_words(words), GenerationConfig(**options))
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 65_520.0])
def test_weights_that_loading_refuses_do_not_replace_a_folder(folder: Path, value: float) -> None:
    model = tiny()
    with torch.no_grad():
        model.state_dict()["decoder.norm.bias"][2] = value
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ConfigError, match=r"weights in float16: decoder\.norm\.bias has 1 values that are NaN or inf"):
        save_model_folder(folder, model, Tokenizer.from_words(WORDS), GENERATION, torch.float16)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64, torch.float8_e4m3fn, "float16", int])
def test_a_type_that_loading_refuses_is_not_written(tmp_path: Path, dtype: Any) -> None:
    with pytest.raises(ConfigError, match=r"dtype=.*: must be torch.float16, torch.bfloat16, torch.float32, torch.flo"):
        save_model_folder(tmp_path / "m", tiny(), Tokenizer.from_words(WORDS), GENERATION, dtype)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_type_that_is_written_can_be_loaded(tmp_path: Path, dtype: torch.dtype) -> None:
    save_model_folder(tmp_path / "m", tiny(), Tokenizer.from_words(WORDS), GENERATION, dtype)
    assert {value.dtype for value in load_file(tmp_path / "m" / "model.safetensors").values()} == {dtype}
    assert load_model_folder(tmp_path / "m").config == tiny().config


def test_all_faults_of_the_weights_come_in_one_message(folder: Path) -> None:
    bad = torch.zeros(12)
    bad[3], bad[5] = torch.nan, -torch.inf
    change_weights(
        folder,
        {
            "emotion_query.weight": None,
            "gate.weight": torch.zeros(2, 3),
            "fc_decode.bias": torch.zeros(VOCAB + 1),
            "context_encoder.norm.bias": bad,
            "decoder.norm.bias": torch.zeros(12, dtype=torch.int32),
            "prior.fc_sample.bias": torch.full((12,), torch.nan, dtype=torch.bfloat16),
        },
    )
    message = refused(folder)
    assert str(folder / "model.safetensors") in message
    assert "missing emotion_query.weight (12, 12)" in message
    assert "unexpected gate.weight (2, 3)" in message
    assert f"fc_decode.bias has shape ({VOCAB + 1},), expected ({VOCAB},)" in message
    assert "context_encoder.norm.bias has 2 values that are NaN or infinite" in message
    assert "decoder.norm.bias is int32, expected a floating-point type" in message
    assert "prior.fc_sample.bias has 12 values that are NaN or infinite" in message
    assert message.count(";") == 5


def test_many_faults_are_counted(folder: Path) -> None:
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
    faults = len(own_state(tiny())) + 1
    assert refused(folder).endswith(f"and {faults - 20} more")


def test_a_double_beyond_float32_is_infinite(folder: Path) -> None:
    change_weights(folder, {"decoder.norm.bias": torch.full((12,), 1e300, dtype=torch.float64)})
    assert "decoder.norm.bias has 12 values" in refused(folder)


def test_a_refused_load_makes_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even an empty one, so that no file takes memory for tensors that it does not contain."""
    tensors = {name: torch.zeros_like(value) for name, value in own_state(tiny()).items()}
    tensors["decoder.norm.bias"][0] = torch.nan
    made: list[str] = []

    def noting(config: Any) -> Any:
        made.append(config.model_type)
        return new_model(config)

    monkeypatch.setattr("mime_fast.checkpoints.torch_weights.new_model", noting)
    with pytest.raises(CheckpointError, match=r"^here: decoder\.norm\.bias"):
        load_weights(tiny().config, tensors, where="here")
    assert made == []
    tensors["decoder.norm.bias"][0] = 0
    assert not any(value.any() for value in own_state(load_weights(tiny().config, tensors, where="here")).values())
    assert made == ["mime"]


@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 0.999])
def test_truncated_weights(folder: Path, part: float) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: int(part * len(data))])
    assert "not a readable safetensors file" in refused(folder)


@pytest.mark.parametrize("data", [b"hello world, hello world", bytes(100), b"\xff" * 100, b"PK\x03\x04" + bytes(100)])
def test_not_weights_at_all(folder: Path, data: bytes) -> None:
    (folder / "model.safetensors").write_bytes(data)
    assert "not a readable safetensors file" in refused(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"missing {name}" in refused(folder)


def test_all_missing_files_come_in_one_message(tmp_path: Path) -> None:
    message = refused(tmp_path)
    assert all(name in message for name in FILES)


@pytest.mark.parametrize("name", ["absent", "config.json"])
def test_not_a_folder(folder: Path, name: str) -> None:
    assert "not a folder" in refused(folder / name)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer.json"])
@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xff", b'{"a": }', b"[" * 100_000])
def test_broken_json(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    assert name in refused(folder)


@pytest.mark.parametrize(("name", "key"), [("config.json", "num_heads"), ("generation_config.json", "top_k")])
def test_a_key_that_comes_twice(folder: Path, name: str, key: str) -> None:
    text = (folder / name).read_text()
    (folder / name).write_text(text.replace("{", f'{{"{key}": 1,', 1))
    assert f"{name}: '{key}': given more than once; must be given once" in refused(folder)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_json_that_is_no_object(folder: Path, name: str) -> None:
    (folder / name).write_text("[1, 2]")
    assert "a JSON object is expected, got list" in refused(folder)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"hiden_size": 3, "colour": 1}, "unknown key 'colour'; unknown key 'hiden_size'"),
        ({"model_type": "gpt2"}, "model_type='gpt2': must be one of 'mime', 'multi-tr', 'moel'"),
        ({"model_type": ["moel"]}, "model_type=['moel']"),
        ({"model_type": None}, "model_type=None"),
        ({"top_listeners": 5}, "unknown key 'top_listeners'"),
        ({"hidden_size": "12"}, "hidden_size='12'"),
        ({"hidden_size": 13}, "hidden_size=13"),
        ({"num_heads": 3}, "num_heads=3"),
        ({"max_positions": 2**20 + 1}, "max_positions=1048577: must be an integer of 1 to 1048576"),
        ({"hidden_size": 10**30}, f"hidden_size={10**30}: must be an integer of 4 to 1048576"),
        ({"num_layers": 10**9}, "num_layers=1000000000: must be an integer of 1 to 1048576"),
        ({"dropout": float("nan")}, "dropout=nan"),
        ({"drop_ctx": 1}, "drop_ctx=1"),
        ({"preset": "other"}, "preset='other'"),
        ({"emotion_grouping": False}, "emotion_mimicry=True"),
    ],
)
def test_a_config_with_faults(folder: Path, changes: dict[str, Any], fault: str) -> None:
    change_json(folder / "config.json", **changes)
    message = refused(folder)
    assert "config.json" in message
    assert fault in message


def test_a_config_without_its_vocabulary_size(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    del values["vocab_size"]
    (folder / "config.json").write_text(json.dumps(values))
    assert "missing key 'vocab_size'" in refused(folder)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"beams": 3}, "unknown key 'beams'"),
        ({"num_beams": 0}, "num_beams=0"),
        ({"top_p": float("nan")}, "top_p=nan"),
        ({"suppress_tokens": [VOCAB]}, f"suppress_tokens [{VOCAB}]"),
        ({"max_new_tokens": 1001}, "max_new_tokens=1001: must be at most max_positions=1000"),
        ({"search": "greedy"}, "search='greedy'"),
    ],
)
def test_a_generation_config_with_faults(folder: Path, changes: dict[str, Any], fault: str) -> None:
    change_json(folder / "generation_config.json", **changes)
    message = refused(folder)
    assert "generation_config.json" in message
    assert fault in message


def test_a_vocabulary_of_another_length(folder: Path) -> None:
    Tokenizer.from_words([*WORDS, "string"]).save(folder / "tokenizer.json")
    assert f"tokenizer.json has {VOCAB + 1} tokens, config.json says vocab_size={VOCAB}" in refused(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": 10**5},
        {"hidden_size": 10**6},
        {"ffn_channels": 10**6},
        {"attention_depth": 10**6},
        {"num_layers": 10**6},
        {"context_layers": 10**6},
    ],
)
def test_sizes_that_would_take_all_memory(folder: Path, changes: dict[str, Any]) -> None:
    change_json(folder / "config.json", **changes)
    name, size = next(iter(changes.items()))
    assert f"{name}={size}" in refused(folder)
    assert "too few" in refused(folder)


def test_positions_that_would_take_all_memory(folder: Path) -> None:
    change_json(folder / "config.json", max_positions=2**20)
    values = sum(value.numel() for value in own_state(tiny()).values())
    assert f"max_positions={2**20}: must be at most 833333 with {values} values and hidden_size=12" in refused(folder)
    model = tiny()
    model.config = model.config.replace(max_positions=2**20)
    with pytest.raises(ConfigError, match=r"max_positions=1048576: must be at most 833333"):
        save_model_folder(folder / "new", model, Tokenizer.from_words(WORDS), GENERATION)


def test_a_slightly_wrong_size_names_the_tensors(folder: Path) -> None:
    change_json(folder / "config.json", ffn_channels=6)
    assert "decoder.layers.0.ffn.conv1.bias has shape (5,), expected (6,)" in refused(folder)
