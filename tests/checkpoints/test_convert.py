"""From made-up checkpoints in the released layout to model folders, and everything that is refused on the way."""

from __future__ import annotations

import json
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mime_fast.checkpoints.convert import convert
from mime_fast.checkpoints.model_folder import load_model_folder, save_model_folder
from mime_fast.checkpoints.released import MIME
from mime_fast.checkpoints.torch_weights import own_state
from mime_fast.config.generation import GenerationConfig
from mime_fast.errors import CheckpointError
from tests.checkpoints.hostile import RunsCode
from tests.checkpoints.released_layout import CHANNELS, DEPTH, HIDDEN, WORDS, released_state, save_released

GAMMA = "encoder.enc.0.layer_norm_mha.gamma"

FILES = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"]


@pytest.fixture
def vocab(tmp_path: Path) -> Path:
    path = tmp_path / "vocab.json"
    path.write_text(json.dumps(WORDS))
    return path


def refused(checkpoint: Path, vocab: Path, tmp_path: Path) -> str:
    """The message of a refusal that leaves nothing behind."""
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CheckpointError) as caught:
        convert(checkpoint, vocab, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before
    return str(caught.value)


def refused_state(state: dict[str, Any], vocab: Path, tmp_path: Path) -> str:
    return refused(save_released(tmp_path / "model.pt", state), vocab, tmp_path)


@pytest.mark.parametrize("layers", [1, 2])
def test_every_value_arrives_under_its_name(vocab: Path, tmp_path: Path, layers: int) -> None:
    state = released_state(layers=layers)
    summary = convert(save_released(tmp_path / "model.pt", state), vocab, tmp_path / "new" / "out")
    loaded = load_model_folder(tmp_path / "new" / "out")
    ours = own_state(loaded.model)
    assert len(ours) == len(state)
    assert all(torch.equal(ours[str(MIME.our_name(name))], value) for name, value in state.items())
    assert loaded.tokenizer.words == WORDS
    assert loaded.generation == GenerationConfig()
    config = loaded.model.config
    assert (config.preset, config.hidden_size, config.attention_depth) == ("released", HIDDEN, DEPTH)
    assert (config.ffn_channels, config.num_layers, config.num_heads) == (CHANNELS, layers, 2)
    assert summary == {
        "out_dir": str(tmp_path / "new" / "out"),
        "model_type": "mime",
        "vocab_size": len(WORDS),
        "hidden_size": HIDDEN,
        "num_layers": layers,
        "tensors": len(state),
        "parameters": sum(value.numel() for value in state.values()),
        "iteration": 12000,
        "loss": 3.5,
    }
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["out"]


def test_a_bare_state_dict(vocab: Path, tmp_path: Path) -> None:
    torch.save(released_state(), tmp_path / "bare.pt")
    summary = convert(tmp_path / "bare.pt", vocab, tmp_path / "out")
    assert (summary["tensors"], summary["iteration"], summary["loss"]) == (110, None, None)


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "_orig_mod.", "module._orig_mod.", "model.module.", "module." * 3, "net.model." * 4]
)
@pytest.mark.parametrize("key", ["model", "state_dict", None])
def test_names_of_a_wrapped_model(vocab: Path, tmp_path: Path, prefix: str, key: str | None) -> None:
    """As DataParallel, torch.compile and trainers save it."""
    state = {prefix + name: value for name, value in released_state().items()}
    torch.save(state if key is None else {key: state}, tmp_path / "wrapped.pt")
    torch.save(released_state(), tmp_path / "bare.pt")
    for name in ("wrapped", "bare"):
        convert(tmp_path / f"{name}.pt", vocab, tmp_path / name)
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("wrapped", "bare"))
    assert first == second


def test_a_name_outside_the_wrapper_is_no_fault_of_all_others(vocab: Path, tmp_path: Path) -> None:
    state = {f"module.{name}": value for name, value in released_state().items()} | {"steps": torch.zeros(1)}
    message = refused_state(state, vocab, tmp_path)
    assert message == f"{tmp_path / 'model.pt'}: unexpected steps (1,)"


def test_a_safetensors_file(vocab: Path, tmp_path: Path) -> None:
    """Whatever it is called."""
    save_file({f"module.{name}": value for name, value in released_state().items()}, tmp_path / "weights.pt")
    torch.save(released_state(), tmp_path / "bare.pt")
    summary = convert(tmp_path / "weights.pt", vocab, tmp_path / "out")
    convert(tmp_path / "bare.pt", vocab, tmp_path / "bare")
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("out", "bare"))
    assert first == second
    assert (summary["tensors"], summary["iteration"], summary["loss"]) == (110, None, None)


@pytest.mark.parametrize("cut", [9, 40, -1])
def test_a_broken_safetensors_file(vocab: Path, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "model.safetensors"
    save_file(released_state(), path)
    path.write_bytes(path.read_bytes()[:cut])
    assert refused(path, vocab, tmp_path).startswith(f"{path}: not a readable safetensors file (")


def test_the_older_file_format_of_torch(vocab: Path, tmp_path: Path) -> None:
    torch.save({"model": released_state()}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert convert(tmp_path / "old.pt", vocab, tmp_path / "out")["tensors"] == 110


def test_a_numpy_loss(vocab: Path, tmp_path: Path) -> None:
    path = save_released(tmp_path / "model.pt", released_state(), current_loss=np.float64(3.5), iter=torch.tensor(9))
    summary = convert(path, vocab, tmp_path / "out")
    assert (summary["iteration"], summary["loss"]) == (9, 3.5)


def test_half_precision_becomes_float32(vocab: Path, tmp_path: Path) -> None:
    state = {name: value.half() for name, value in released_state().items()}
    convert(save_released(tmp_path / "model.pt", state), vocab, tmp_path / "out")
    ours = own_state(load_model_folder(tmp_path / "out").model)
    assert ours["emotion_query.weight"].dtype == torch.float32
    assert torch.equal(ours["emotion_query.weight"], state["s_weight.weight"].float())


def test_an_empty_folder_may_wait(vocab: Path, tmp_path: Path) -> None:
    """And stays the one that it is: with its mode, and where it is mounted or a shell is in it."""
    out = tmp_path / "out"
    out.mkdir(mode=0o750)
    before = out.stat()
    convert(save_released(tmp_path / "model.pt", released_state()), vocab, out)
    assert (out.stat().st_ino, out.stat().st_mode) == (before.st_ino, before.st_mode)
    assert load_model_folder(out).tokenizer.vocab_size == len(WORDS)
    assert sorted(each.name for each in out.iterdir()) == FILES
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model.pt", "out", "vocab.json"]


def test_the_current_folder(vocab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    assert convert(save_released(tmp_path / "model.pt", released_state()), vocab, ".")["out_dir"] == os.getcwd()
    assert sorted(os.listdir()) == FILES


def test_an_empty_folder_is_left_empty(vocab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    path, rename = save_released(tmp_path / "model.pt", released_state()), Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "config.json":
            assert len(list(target.parent.iterdir())) == len(FILES)  # the others and the folder that this one is in
            raise OSError("no such server")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    assert "out: cannot be written (no such server)" in refused(path, vocab, tmp_path)
    assert not list((tmp_path / "out").iterdir())


def test_a_folder_that_somebody_filled_meanwhile(vocab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()

    def filling(folder: Path, *parts: Any) -> None:
        save_model_folder(folder, *parts)
        (tmp_path / "out" / "config.json").write_text("mine")

    monkeypatch.setattr("mime_fast.checkpoints.convert.save_model_folder", filling)
    path = save_released(tmp_path / "model.pt", released_state())
    assert "cannot be written" in refused(path, vocab, tmp_path)
    assert [(each.name, each.read_text()) for each in (tmp_path / "out").iterdir()] == [("config.json", "mine")]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_one(vocab: Path, tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "far").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "far")
    summary = convert(save_released(tmp_path / "model.pt", released_state()), vocab, tmp_path / "out")
    assert summary["out_dir"] == str(tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert load_model_folder(tmp_path / "far").tokenizer.vocab_size == len(WORDS)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_a_name_that_no_folder_can_have(vocab: Path, tmp_path: Path, name: str) -> None:
    path = save_released(tmp_path / "model.pt", released_state())
    with pytest.raises(CheckpointError, match="cannot be written"):
        convert(path, vocab, tmp_path / name)


def test_a_folder_in_use_is_left_alone(vocab: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "note.txt").write_text("mine")
    path = save_released(tmp_path / "model.pt", released_state())
    assert "exists already" in refused(path, vocab, tmp_path)
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["note.txt"]


def test_a_file_in_the_way_is_left_alone(vocab: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    assert "exists already" in refused(save_released(tmp_path / "model.pt", released_state()), vocab, tmp_path)
    assert (tmp_path / "out").read_text() == "mine"


def test_a_failed_write_leaves_nothing(vocab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("mime_fast.checkpoints.model_folder.write_json", full)
    path = save_released(tmp_path / "model.pt", released_state())
    assert "cannot be written (no space left)" in refused(path, vocab, tmp_path)


def test_all_faults_come_in_one_message(vocab: Path, tmp_path: Path) -> None:
    state: dict[str, Tensor] = released_state(vocab=len(WORDS) + 1)
    del state["s_weight.weight"]
    state["moe.gate"] = torch.zeros(3)
    state["cdecoder.fc1.bias"] = torch.zeros(5)
    state[GAMMA][2] = torch.nan
    state["decoder.layer_norm.beta"][:2] = torch.inf
    state["decoder_key.weight"] = state["decoder_key.weight"].long()
    message = refused_state(state, vocab, tmp_path)
    assert f"missing s_weight.weight ({HIDDEN}, {HIDDEN})" in message
    assert "unexpected moe.gate (3,)" in message
    assert f"cdecoder.fc1.bias has shape (5,), expected ({2 * HIDDEN},)" in message
    assert f"{GAMMA} has 1 values that are NaN or infinite" in message
    assert "decoder.layer_norm.beta has 2 values that are NaN or infinite" in message
    assert "decoder_key.weight is int64, expected a floating-point type" in message
    assert f"embedding.lut.weight has {len(WORDS) + 1} words, the vocabulary has {len(WORDS)}" in message
    assert message.count(";") == 6


def test_a_double_beyond_float32_is_infinite(vocab: Path, tmp_path: Path) -> None:
    state: dict[str, Tensor] = released_state()
    state[GAMMA] = torch.full((HIDDEN,), 1e300, dtype=torch.float64)
    assert f"{GAMMA} has {HIDDEN} values that are NaN or infinite" in refused_state(state, vocab, tmp_path)


@pytest.mark.parametrize("name", ["embedding.lut.weight", "encoder.enc.0.multi_head_attention.query_linear.weight"])
def test_a_tensor_that_gives_a_size_is_missing(vocab: Path, tmp_path: Path, name: str) -> None:
    state = released_state()
    del state[name]
    assert f"missing {name} (" in refused_state(state, vocab, tmp_path)


def test_an_odd_hidden_size(vocab: Path, tmp_path: Path) -> None:
    state: dict[str, Tensor] = released_state()
    state["embedding.lut.weight"] = torch.zeros(len(WORDS), 13)
    assert "hidden_size=13" in refused_state(state, vocab, tmp_path)


def test_sizes_that_would_take_all_memory(vocab: Path, tmp_path: Path) -> None:
    state: dict[str, Tensor] = released_state()
    state["embedding.lut.weight"] = torch.zeros(len(WORDS), 10**5)
    assert "too few for hidden_size=100000" in refused_state(state, vocab, tmp_path)


def test_another_model(vocab: Path, tmp_path: Path) -> None:
    message = refused_state({"lstm.weight": torch.zeros(4, 4)}, vocab, tmp_path)
    assert "missing cdecoder.fc1.bias" in message
    assert message.endswith("and 91 more")


def test_a_tensor_larger_than_its_file(vocab: Path, tmp_path: Path) -> None:
    state: dict[str, Tensor] = released_state()
    state["embedding.lut.weight"] = torch.zeros(1).expand(10**12, 10**6)
    assert "embedding.lut.weight is no plain tensor in memory" in refused_state(state, vocab, tmp_path)


@pytest.mark.parametrize("odd", [torch.zeros(HIDDEN).to_sparse(), torch.zeros(HIDDEN, device="meta")])
def test_a_tensor_of_an_odd_kind(vocab: Path, tmp_path: Path, odd: Tensor) -> None:
    state = {**released_state(), GAMMA: odd}
    assert f"{GAMMA} is no plain tensor in memory" in refused_state(state, vocab, tmp_path)


def test_a_parent_that_is_a_file(vocab: Path, tmp_path: Path) -> None:
    path = save_released(tmp_path / "model.pt", released_state())
    with pytest.raises(CheckpointError, match="cannot be written"):
        convert(path, vocab, vocab / "out")


def test_a_value_that_is_no_tensor(vocab: Path, tmp_path: Path) -> None:
    message = refused_state({**released_state(), "notes": "hello"}, vocab, tmp_path)
    assert "'notes' is str, expected a tensor under a name" in message


@pytest.mark.parametrize("saved", [{}, {"model": {}}, {"model": 3}, {"weights": {}}, {1: 2, "a": 3}])
def test_a_dict_without_tensors(vocab: Path, tmp_path: Path, saved: dict[Any, Any]) -> None:
    torch.save(saved, tmp_path / "model.pt")
    assert "no tensors under 'model'" in refused(tmp_path / "model.pt", vocab, tmp_path)


def test_a_list_in_place_of_a_checkpoint(vocab: Path, tmp_path: Path) -> None:
    torch.save([torch.zeros(2)], tmp_path / "model.pt")
    assert "contains list" in refused(tmp_path / "model.pt", vocab, tmp_path)


@pytest.mark.parametrize("where", ["model", "beside"])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_not_run(vocab: Path, tmp_path: Path, where: str, zipped: bool) -> None:
    hostile = RunsCode(tmp_path / "ran")
    saved = {"model": hostile} if where == "model" else {"model": released_state(), "optimizer": hostile}
    torch.save(saved, tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
    message = refused(tmp_path / "model.pt", vocab, tmp_path)
    assert "system" in message
    assert "weights_only" not in message  # torch's own text says how to switch the protection off
    assert not (tmp_path / "ran").exists()


def test_code_in_a_plain_pickle_is_not_run(vocab: Path, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(pickle.dumps({"model": RunsCode(tmp_path / "ran")}))
    assert "refused" in refused(tmp_path / "model.pt", vocab, tmp_path)


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_checkpoint(vocab: Path, tmp_path: Path, part: float, zipped: bool) -> None:
    torch.save({"model": released_state()}, tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
    data = (tmp_path / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(data[: int(part * len(data))])
    assert str(tmp_path / "model.pt") in refused(tmp_path / "model.pt", vocab, tmp_path)


def test_a_checkpoint_without_checksums(vocab: Path, tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        path = save_released(tmp_path / "model.pt", released_state())
    finally:
        torch.serialization.set_crc32_options(True)
    assert convert(path, vocab, tmp_path / "out")["tensors"] == 110


@pytest.mark.parametrize("data", [b"hello " * 50, b"PK\x03\x04" + bytes(200), b"{}", b"\x80\x02", bytes(64)])
def test_not_a_checkpoint_at_all(vocab: Path, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.pt").write_bytes(data)
    message = refused(tmp_path / "model.pt", vocab, tmp_path)
    assert "not a readable checkpoint" in message or "refused" in message


@pytest.mark.parametrize("name", ["absent.pt", "."])
def test_no_file(vocab: Path, tmp_path: Path, name: str) -> None:
    assert "not a file" in refused(tmp_path / name, vocab, tmp_path)


def test_the_fixture(fixtures_dir: Path, tmp_path: Path) -> None:
    folder = fixtures_dir / "released"
    words = json.loads((folder / "vocab.json").read_text())["index2word"]
    summary = convert(folder / "checkpoint.pt", folder / "vocab.json", tmp_path / "out")
    assert summary["tensors"] == 110
    assert summary["parameters"] == 3_082_465 + 601 * len(words)
    loaded = load_model_folder(tmp_path / "out")
    assert loaded.model.num_parameters() == summary["parameters"]
    assert loaded.tokenizer.words == words
    state: OrderedDict[str, Tensor] = torch.load(folder / "checkpoint.pt", weights_only=True)["model"]
    ours = own_state(loaded.model)
    assert all(torch.equal(ours[str(MIME.our_name(name))], value) for name, value in state.items())
