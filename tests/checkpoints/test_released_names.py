"""Names of a released checkpoint: the project's list against one written out by hand, and where each tensor goes."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import torch

from mime_fast.checkpoints.released import MIME, Layout
from mime_fast.checkpoints.released_baselines import MOEL, MULTITASK
from mime_fast.checkpoints.torch_weights import own_state
from mime_fast.config.model import MimeConfig
from mime_fast.reference.mime import Mime
from tests.checkpoints.released_layout import CHANNELS, DEPTH, HIDDEN, WORDS, released_shapes, released_state

DOCUMENT = Path(__file__).parents[2] / "docs" / "checkpoints.md"
ENCODERS = {"encoder", "emotion_input_encoder_{1,2}.enc"}


def tiny(layers: int = 1) -> Mime:
    config = MimeConfig.released(
        len(WORDS), hidden_size=HIDDEN, attention_depth=DEPTH, ffn_channels=CHANNELS, num_layers=layers
    )
    return Mime(config)


@pytest.mark.parametrize("layers", [1, 2])
def test_names_are_those_of_the_layout_in_its_order(layers: int) -> None:
    assert MIME.names(layers) == list(released_shapes(layers=layers))


def test_one_layer_has_110_tensors() -> None:
    assert len(MIME.names(1)) == 110


@pytest.mark.parametrize("layers", [1, 2])
def test_every_tensor_has_its_place_and_shape(layers: int) -> None:
    ours = {MIME.our_name(name): shape for name, shape in released_shapes(layers=layers).items()}
    assert ours == {name: tuple(value.shape) for name, value in own_state(tiny(layers)).items()}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("embedding.lut.weight", "word_embedding.weight"),
        ("encoder.enc.0.multi_head_attention.value_linear.weight", "context_encoder.layers.0.attention.value.weight"),
        ("encoder.enc.0.layer_norm_mha.gamma", "context_encoder.layers.0.norm_attention.weight"),
        ("encoder.layer_norm.beta", "context_encoder.norm.bias"),
        ("decoder.dec.0.multi_head_attention_dec.key_linear.weight", "decoder.layers.0.self_attention.key.weight"),
        (
            "decoder.dec.0.multi_head_attention_enc_dec.key_linear.weight",
            "decoder.layers.0.memory_attention.key.weight",
        ),
        ("decoder.dec.0.layer_norm_mha_enc.beta", "decoder.layers.0.norm_memory_attention.bias"),
        ("decoder.dec.0.positionwise_feed_forward.layers.1.conv.bias", "decoder.layers.0.ffn.conv2.bias"),
        ("emotion_input_encoder_1.enc.embedding_proj.weight", "response_encoders.0.projection.weight"),
        ("emotion_input_encoder_2.enc.enc.0.layer_norm_ffn.beta", "response_encoders.1.layers.0.norm_ffn.bias"),
        ("vae_sampler.h_posterior_postive.bias", "posterior.fc_sample.positive.bias"),
        ("vae_sampler.logvar_prior_negative.weight", "prior.fc_sigma.negative.weight"),
        ("vae_sampler.Dense_z_posterior_positive.weight", "unused.posterior_fc_d_positive.weight"),
        ("s_weight.weight", "emotion_query.weight"),
        ("emoji_embedding.weight", "emotion_embedding.weight"),
        ("generator.p_gen_linear.bias", "unused.p_gen.bias"),
    ],
)
def test_a_tensor_keeps_its_role(theirs: str, ours: str) -> None:
    assert MIME.our_name(theirs) == ours


def test_rename_keeps_values_and_names_strangers() -> None:
    state = released_state()
    renamed, strangers = MIME.rename({**state, "moe.gate": torch.zeros(1)})
    assert strangers == ["moe.gate"]
    assert len(renamed) == len(state)
    assert all(renamed[str(MIME.our_name(name))] is value for name, value in state.items())


def spelled_out(name: str) -> list[str]:
    """`a.{b,c}` as `a.b`, `a.c`."""
    parts = [part.split(",") for part in re.split(r"[{}]", name)]
    return ["".join(chosen) for chosen in itertools.product(*parts)]


def test_the_documented_table_is_what_happens() -> None:
    section = DOCUMENT.read_text().partition("## Names\n")[2].partition("## Names of the baselines")[0]
    rows = re.findall(r"^\| `([^`]+)` .*?\| `([^`]+)`", section, re.MULTILINE)
    encoders = [pair for row in rows if row[0] in ENCODERS for pair in zip(*map(spelled_out, row), strict=True)]
    documented: dict[str, str] = {}
    for row in rows:
        if row[0] in ENCODERS:
            continue
        for theirs, ours in encoders if row[0].startswith("ENC.") else [("", "")]:
            names = spelled_out(row[0].replace("ENC", theirs)), spelled_out(row[1].replace("ENC", ours))
            documented |= dict(zip(*names, strict=True))
    assert documented == {name: MIME.our_name(name) for name in MIME.names(1)}


def behind(prefix: str, ours: str) -> dict[str, str]:
    """MIME's names after a prefix, theirs to ours."""
    found = (name for name in MIME.names(1) if name.startswith(prefix))
    return {name.removeprefix(prefix): str(MIME.our_name(name)).removeprefix(ours) for name in found}


@pytest.mark.parametrize("layout", [MULTITASK, MOEL])
def test_the_documented_table_of_the_baselines_is_what_happens(layout: Layout) -> None:
    section = DOCUMENT.read_text().partition("## Names of the baselines")[2]
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)`(.*?)\| `([^`]+)`", section, re.MULTILINE)
    assert len(rows) == 11
    shared = {"ENC": behind("encoder.", "context_encoder."), "LAYER": behind("decoder.dec.0.", "decoder.layers.0.")}
    numbers = {"{i}": "{0,1}", "{e}": "{" + ",".join(map(str, range(32))) + "}"}
    documented: dict[str, str] = {}
    for part, theirs, note, ours in rows:
        if "MoEL" in note and layout is MULTITASK:
            continue
        for sign, values in numbers.items():
            theirs, ours = theirs.replace(sign, values), ours.replace(sign, values)  # noqa: PLW2901
        for pair in zip(spelled_out(f"{part}.{theirs}"), spelled_out(ours), strict=True):
            sign = next((sign for sign in shared if sign in pair[0]), "")
            inner = shared[sign].items() if sign else [("", "")]
            documented |= {pair[0].replace(sign or " ", a): pair[1].replace(sign or " ", b) for a, b in inner}
    second = {name.replace("enc.0.", "enc.1.") for name in documented if "encoder_state_dict.enc.0." in name}
    unsaved = {layout.unsaved} - {""}
    assert documented == {name: layout.our_name(name) for name in {*layout.names(2), *unsaved} - second}
