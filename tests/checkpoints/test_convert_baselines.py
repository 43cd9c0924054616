"""From made-up checkpoints in the layout of MoEL's code to model folders, and everything that is refused on the way."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import mime_fast
from mime_fast.checkpoints.convert import convert
from mime_fast.checkpoints.model_folder import load_model_folder
from mime_fast.checkpoints.released import Layout
from mime_fast.checkpoints.released_baselines import MOEL, MULTITASK
from mime_fast.checkpoints.torch_weights import own_state
from mime_fast.config.model import MoelConfig, MultiTaskConfig
from mime_fast.errors import CheckpointError
from tests.checkpoints.hostile import RunsCode
from tests.checkpoints.released_layout import (
    CHANNELS,
    DEPTH,
    HIDDEN,
    WORDS,
    baseline_shapes,
    in_parts,
    made_up,
    released_state,
)
from tests.checkpoints.test_released_vocabulary import Lang

KINDS = pytest.mark.parametrize("kind", ["multi-tr", "moel"])
LAYOUTS: dict[str, Layout] = {"multi-tr": MULTITASK, "moel": MOEL}
GAMMA = "encoder_state_dict.enc.0.layer_norm_mha.gamma"
Refused = Callable[[dict[str, Any]], str]


@pytest.fixture
def vocab(tmp_path: Path) -> Path:
    path = tmp_path / "vocab.json"
    path.write_text(json.dumps(WORDS))
    return path


@pytest.fixture
def refused(vocab: Path, tmp_path: Path) -> Refused:
    """The message of a refusal that leaves nothing behind."""

    def convert_it(saved: dict[str, Any]) -> str:
        torch.save(saved, tmp_path / "model.pt")
        before = sorted(tmp_path.iterdir())
        with pytest.raises(CheckpointError) as caught:
            convert(tmp_path / "model.pt", vocab, tmp_path / "out")
        assert sorted(tmp_path.iterdir()) == before
        return str(caught.value)

    return convert_it


def state_of(kind: str, **changes: int) -> dict[str, Tensor]:
    return made_up(baseline_shapes(kind, **changes))


@pytest.mark.parametrize(("kind", "layers"), [("multi-tr", 2), ("multi-tr", 1), ("moel", 1), ("moel", 2)])
def test_every_value_arrives_under_its_name(vocab: Path, tmp_path: Path, kind: str, layers: int) -> None:
    state = state_of(kind, layers=layers)
    torch.save(in_parts(state), tmp_path / "model.pt")
    summary = convert(tmp_path / "model.pt", vocab, tmp_path / "out")
    loaded = load_model_folder(tmp_path / "out")
    ours = own_state(loaded.model)
    assert all(torch.equal(ours.pop(str(LAYOUTS[kind].our_name(name))), value) for name, value in state.items())
    assert list(ours) == (["unused.emoji_embedding.weight"] if kind == "moel" else [])
    assert not any(value.any() for value in ours.values())
    assert loaded.tokenizer.words == WORDS
    make = MoelConfig if kind == "moel" else MultiTaskConfig
    sizes = {"hidden_size": HIDDEN, "attention_depth": DEPTH, "ffn_channels": CHANNELS, "num_layers": layers}
    assert loaded.model.config == make.released(len(WORDS), **sizes)
    assert summary == {
        "out_dir": str(tmp_path / "out"),
        "model_type": kind,
        "vocab_size": len(WORDS),
        "hidden_size": HIDDEN,
        "num_layers": layers,
        "tensors": len(state),
        "parameters": sum(value.numel() for value in state.values()) + (64 * HIDDEN if kind == "moel" else 0),
        "iteration": 15999,
        "loss": 36.5,
    }


@KINDS
def test_a_safetensors_file_without_levels(vocab: Path, tmp_path: Path, kind: str) -> None:
    state = made_up(baseline_shapes(kind))
    save_file(state, tmp_path / "flat")
    torch.save(in_parts(state), tmp_path / "parts")
    summaries = [convert(tmp_path / name, vocab, tmp_path / f"{name}-out") for name in ("flat", "parts")]
    assert [summary["model_type"] for summary in summaries] == [kind, kind]
    first, second = ((tmp_path / f"{name}-out" / "model.safetensors").read_bytes() for name in ("flat", "parts"))
    assert first == second


def test_a_name_without_levels_that_is_also_one_of_a_level(vocab: Path, tmp_path: Path) -> None:
    for extra in ("decoder_state_dict", "strange"):
        save_file(made_up(baseline_shapes("multi-tr")) | {extra: torch.zeros(2)}, tmp_path / extra)
        with pytest.raises(CheckpointError, match=f"unexpected '?{extra}"):
            convert(tmp_path / extra, vocab, tmp_path / "out")


@KINDS
def test_a_converted_model_replies(vocab: Path, tmp_path: Path, kind: str) -> None:
    torch.save(in_parts(state_of(kind)), tmp_path / "model.pt")
    convert(tmp_path / "model.pt", vocab, tmp_path / "out")
    engine = mime_fast.load(tmp_path / "out", backend="reference", device="cpu")
    (reply,) = engine.generate([["i lost my kite ."]], search="mime", max_new_tokens=4)
    assert engine.describe()["model_type"] == kind
    assert 0 < len(reply.token_logprobs) <= 4
    assert reply.mixture is None


def test_what_moel_usually_does_not_save_is_kept_where_it_is_saved(vocab: Path, tmp_path: Path) -> None:
    extra = torch.randn(HIDDEN, 64, generator=torch.Generator().manual_seed(1))
    torch.save(in_parts(state_of("moel"), emoji_embedding_dict={"weight": extra}), tmp_path / "model.pt")
    convert(tmp_path / "model.pt", vocab, tmp_path / "out")
    assert torch.equal(own_state(load_model_folder(tmp_path / "out").model)["unused.emoji_embedding.weight"], extra)


def test_it_is_refused_where_it_does_not_belong(refused: Refused) -> None:
    emoji = {"emoji_embedding_dict": {"weight": torch.zeros(HIDDEN, 64)}}
    assert "unexpected 'emoji_embedding_dict'" in refused(in_parts(state_of("multi-tr"), **emoji))
    wrong = {"emoji_embedding_dict": {"weight": torch.zeros(HIDDEN, 65), "bias": torch.zeros(3)}}
    message = refused(in_parts(state_of("moel"), **wrong))
    assert f"emoji_embedding_dict.weight has shape ({HIDDEN}, 65), expected ({HIDDEN}, 64)" in message
    assert "unexpected emoji_embedding_dict.bias (3,)" in message


@KINDS
def test_all_faults_come_in_one_message(refused: Refused, kind: str) -> None:
    state = state_of(kind, vocab=len(WORDS) + 1)
    del state["decoder_state_dict.dec.0.layer_norm_mha_enc.beta"]
    state["encoder_state_dict.act_fn.p.bias"] = torch.zeros(1)
    state["generator_dict.p_gen_linear.bias"] = torch.zeros(5)
    state[GAMMA][2] = torch.nan
    state["decoder_state_dict.embedding_proj.weight"] = torch.zeros(1).expand(HIDDEN, HIDDEN)
    state["generator_dict.proj.bias"] = state["generator_dict.proj.bias"].long()
    saved = in_parts(state, notes="hello", current_loss=np.float64(3.0))
    del saved["decoder_key_state_dict"]
    saved["encoder_state_dict"]["version"] = 3
    message = refused(saved)
    faults = [
        "missing decoder_state_dict.dec.0.layer_norm_mha_enc.beta (12,)",
        "unexpected encoder_state_dict.act_fn.p.bias (1,)",
        "generator_dict.p_gen_linear.bias has shape (5,), expected (1,)",
        f"{GAMMA} has 1 values that are NaN or infinite",
        "decoder_state_dict.embedding_proj.weight is no plain tensor in memory",
        "generator_dict.proj.bias is int64, expected a floating-point type",
        "unexpected 'notes' beside the state dicts",
        "missing decoder_key_state_dict",
        "encoder_state_dict.'version' is int, expected a tensor under a name",
        f"embedding_dict.lut.weight has {len(WORDS) + 1} words, the vocabulary has {len(WORDS)}",
    ]
    assert [fault for fault in faults if fault not in message] == []
    assert message.count(";") == len(faults) - 1


@KINDS
@pytest.mark.parametrize(
    "part",
    ["encoder_state_dict", "decoder_state_dict", "generator_dict", "embedding_dict", "decoder_key_state_dict"],
)
def test_a_part_that_is_missing_or_none(refused: Refused, kind: str, part: str) -> None:
    """Its tensors are not named one by one."""
    saved = in_parts(state_of(kind))
    del saved[part]
    assert refused(saved).endswith(f": missing {part}")
    assert refused(saved | {part: 3}).endswith(f": {part} is int, expected a state dict")


def test_parts_of_a_listener_are_missing(refused: Refused) -> None:
    state = {name: value for name, value in state_of("moel").items() if ".experts.31." not in name}
    message = refused(in_parts(state))
    assert f"missing decoder_state_dict.experts.31.layer_norm_ffn.beta ({HIDDEN},)" in message
    assert message.count("missing") == 18
    state = {name: value for name, value in state_of("moel").items() if ".basic." not in name}
    assert refused(in_parts(state)).count("missing decoder_state_dict.basic.") == 18


def test_a_listener_too_many(refused: Refused) -> None:
    state = state_of("moel")
    state |= {k.replace(".31.", ".32."): value for k, value in state.items() if ".experts.31." in k}
    assert refused(in_parts(state)).count("unexpected decoder_state_dict.experts.32.") == 18


@KINDS
def test_layouts_do_not_mix(refused: Refused, kind: str) -> None:
    """MIME's tensors under `model` or beside the state dicts, or one of these beside MIME's."""
    alone = "unexpected 'model' beside the state dicts"
    assert refused(in_parts(state_of(kind), model=released_state())).endswith(alone)
    flat = refused(in_parts(state_of(kind)) | released_state())
    assert "unexpected 'cdecoder.fc1.bias' beside the state dicts" in flat
    assert flat.endswith("and 90 more")
    lone = refused({"model": released_state(), "decoder_key_state_dict": {"weight": torch.zeros(32, HIDDEN)}})
    assert "missing encoder_state_dict" in lone
    assert "unexpected 'model'" in lone


def test_the_names_are_those_of_the_layout() -> None:
    for kind, layout in LAYOUTS.items():
        for layers in (1, 2):
            assert sorted(layout.names(layers)) == sorted(baseline_shapes(kind, layers=layers))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("embedding_dict.lut.weight", "word_embedding.weight"),
        ("encoder_state_dict.enc.1.layer_norm_mha.gamma", "context_encoder.layers.1.norm_attention.weight"),
        ("encoder_state_dict.layer_norm.beta", "context_encoder.norm.bias"),
        (
            "decoder_state_dict.basic.multi_head_attention_dec.query_linear.weight",
            "decoder.shared_listener.self_attention.query.weight",
        ),
        (
            "decoder_state_dict.experts.17.multi_head_attention_enc_dec.output_linear.weight",
            "decoder.listeners.17.memory_attention.output.weight",
        ),
        (
            "decoder_state_dict.experts.3.positionwise_feed_forward.layers.0.conv.bias",
            "decoder.listeners.3.ffn.conv1.bias",
        ),
        ("decoder_state_dict.dec.0.layer_norm_mha_enc.beta", "decoder.layers.0.norm_memory_attention.bias"),
        ("decoder_state_dict.embedding_proj.weight", "decoder.projection.weight"),
        ("generator_dict.proj.bias", "fc_decode.bias"),
        ("generator_dict.p_gen_linear.weight", "unused.p_gen.weight"),
        ("decoder_key_state_dict.weight", "emotion_key.weight"),
        ("emoji_embedding_dict.weight", "unused.emoji_embedding.weight"),
    ],
)
def test_a_tensor_keeps_its_role(theirs: str, ours: str) -> None:
    assert MOEL.our_name(theirs) == ours


@KINDS
def test_code_in_a_checkpoint_is_not_run(refused: Refused, tmp_path: Path, kind: str) -> None:
    for part in ("encoder_state_dict", "optimizer"):
        assert "refused: it names" in refused(in_parts(state_of(kind)) | {part: RunsCode(tmp_path / "ran")})
    assert not (tmp_path / "ran").exists()


def test_the_vocabulary_may_be_the_authors_pickle(tmp_path: Path) -> None:
    torch.save(in_parts(state_of("multi-tr")), tmp_path / "model.pt")
    (tmp_path / "vocab.p").write_bytes(pickle.dumps([{}, {}, {}, Lang(WORDS)]))
    convert(tmp_path / "model.pt", tmp_path / "vocab.p", tmp_path / "out")
    assert load_model_folder(tmp_path / "out").tokenizer.words == WORDS
