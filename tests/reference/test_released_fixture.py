"""The released code's own outputs: ids exactly, floats within the bound."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mime_fast.checkpoints.released import MIME
from mime_fast.checkpoints.torch_weights import load_weights
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MimeConfig
from mime_fast.data.batches import decoder_inputs
from mime_fast.reference.dialogue_model import Context
from mime_fast.reference.mime import FusedMemory, Mime, Refined
from mime_fast.reference.response_emotion import Mixture
from mime_fast.reference.search import search
from mime_fast.text.special import PAD_ID
from tests.parity import assert_close

VARIANTS = ("zero", "eps")
Golden = dict[str, Tensor]


@pytest.fixture(scope="module")
def golden(fixtures_dir: Path) -> Golden:
    with np.load(fixtures_dir / "released" / "golden.npz") as arrays:
        values = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    return {name: value.long() if value.dtype == torch.int32 else value for name, value in values.items()}


@pytest.fixture(scope="module")
def model(fixtures_dir: Path) -> Mime:
    checkpoint = torch.load(fixtures_dir / "released" / "checkpoint.pt", map_location="cpu", weights_only=True)
    tensors, strangers = MIME.rename(checkpoint["model"])
    assert not strangers
    assert len(tensors) == 110
    model = load_weights(MimeConfig.released(len(tensors["word_embedding.weight"])), tensors, where="fixture")
    assert isinstance(model, Mime)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def context(model: Mime, golden: Golden) -> Context:
    """All twelve contexts as one padded batch; the golden outputs are of batches of one."""
    ids, states = golden["ctx_ids"].clone(), golden["ctx_mask_ids"].clone()
    beyond = torch.arange(ids.shape[1]) >= golden["ctx_len"][:, None]
    with torch.inference_mode():
        return model.encode(ids.masked_fill(beyond, PAD_ID), states.masked_fill(beyond, PAD_ID))


def remember(
    model: Mime, context: Context, golden: Golden, variant: str, emotion: Tensor
) -> tuple[Mixture, Refined, FusedMemory]:
    noise = None if variant == "zero" else golden["eps"]
    with torch.inference_mode():
        mixture = model.sample(context.c, noise)
        refined = model.refine(context, *model.mimicry(mixture, emotion))
        return mixture, refined, model.fuse(refined)


def test_context_encoding(model: Mime, context: Context, golden: Golden) -> None:
    assert_close(context.hidden * context.real[..., None], golden["enc_out"])
    assert_close(context.emotion_logits, golden["emotion_logits"])
    assert torch.equal(context.emotion_logits.argmax(1), golden["emotion_pred"])


def test_prior(model: Mime, context: Context, golden: Golden) -> None:
    prior = model.prior(context.c)
    for group, short in (("positive", "pos"), ("negative", "neg")):
        assert_close(prior[group].mean, golden[f"mu_{short}"])
        assert_close(prior[group].log_variance, golden[f"logvar_{short}"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_mixture_and_memory(model: Mime, context: Context, golden: Golden, variant: str) -> None:
    mixture, refined, memory = remember(model, context, golden, variant, golden["emotion_pred"])
    real = context.real[..., None]
    assert_close(mixture.weights["positive"], golden[f"{variant}_d_pos"])
    assert_close(mixture.weights["negative"], golden[f"{variant}_d_neg"])
    assert_close(refined.mimic * real, golden[f"{variant}_m_out"])
    assert_close(refined.other * real, golden[f"{variant}_mt_out"])
    assert_close(memory.fused * real, golden[f"{variant}_memory"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_teacher_forcing(model: Mime, context: Context, golden: Golden, variant: str) -> None:
    _, _, memory = remember(model, context, golden, variant, golden["emotion_pred"])
    targets = golden["tgt_ids"]
    real = torch.arange(targets.shape[1]) < golden["tgt_len"][:, None]
    with torch.inference_mode():
        hidden = model.decode(decoder_inputs(targets), memory)
        logits = model.fc_decode(hidden)
    normaliser = logits.logsumexp(-1)
    gold = logits.gather(2, targets[..., None])[..., 0] - normaliser
    assert_close(logits[:, 0], golden[f"{variant}_first_logits"])
    assert_close(hidden[real], golden[f"{variant}_tf_hidden"][real])
    assert_close(normaliser[real], golden[f"{variant}_tf_lse"][real])
    assert_close(gold[real], golden[f"{variant}_tf_gold_logprob"][real])
    top = (logits - normaliser[..., None]).topk(10, dim=-1)
    assert_close(top.values[real], golden[f"{variant}_tf_top10_logprob"][real])


@pytest.mark.parametrize("variant", VARIANTS)
def test_evaluation_loss_with_gold_polarity(
    model: Mime, context: Context, golden: Golden, fixtures_dir: Path, variant: str
) -> None:
    records: list[dict[str, Any]] = json.loads((fixtures_dir / "released" / "golden.json").read_text())["records"]
    _, _, memory = remember(model, context, golden, variant, golden["gold_emotion"])
    targets = golden["tgt_ids"]
    with torch.inference_mode():
        logprobs = model.fc_decode(model.decode(decoder_inputs(targets), memory)).log_softmax(-1)
    gold = logprobs.gather(2, targets[..., None])[..., 0]
    for i, record in enumerate(records):
        loss = -gold[i, : golden["tgt_len"][i]].mean().item()
        assert math.isclose(loss, record[f"{variant}_eval_loss"], abs_tol=1e-4)


def run(model: Mime, memory: FusedMemory, options: GenerationConfig, eos: int | None) -> list[Any]:
    count = len(memory.fused)
    with torch.inference_mode():
        state = model.start_decoding(memory)
        return search(model, state, count, options, seeds=[0] * count, request_ids=range(count), eos_token_id=eos)


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_51_greedy_ids(model: Mime, context: Context, golden: Golden, variant: str) -> None:
    _, _, memory = remember(model, context, golden, variant, golden["emotion_pred"])
    found = run(model, memory, GenerationConfig(num_beams=1, max_new_tokens=51), None)
    ids = torch.tensor([one[0].token_ids for one in found])
    assert torch.equal(ids, golden[f"{variant}_greedy_ids51"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_five_beams(model: Mime, context: Context, golden: Golden, variant: str) -> None:
    """With the sum of a batch of twelve and of singles alike."""
    _, _, memory = remember(model, context, golden, variant, golden["emotion_pred"])
    options = GenerationConfig(num_beams=5, max_new_tokens=50, num_return_sequences=5, search="mime")
    found = run(model, memory, options, 2)
    for i, entries in enumerate(found):
        assert len(entries) == 5
        for rank, entry in enumerate(entries):
            length = int(golden[f"{variant}_beam_len"][i, rank])
            ids = golden[f"{variant}_beam_ids"][i, rank, :length].tolist()
            assert [*entry.token_ids, *([2] if entry.finish_reason == "eos" else [])] == ids
            assert math.isclose(entry.score, golden[f"{variant}_beam_scores"][i, rank].item(), abs_tol=1e-4)
        single = slice(i, i + 1)
        words = int(golden["ctx_len"][i])
        alone = FusedMemory(
            memory.fused[single, :words], memory.real[single, :words], memory.mimic_share[single, :words]
        )
        assert run(model, alone, options, 2)[0][0].token_ids == entries[0].token_ids
