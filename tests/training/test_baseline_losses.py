"""L_cls + L_resp of the baselines: written out, against central differences, and with gold listeners."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from mime_fast.config.model import ModelConfig, MoelConfig, MultiTaskConfig
from mime_fast.data.batches import Example
from mime_fast.evaluation.metrics.likelihood import evaluate_likelihood
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.moel import Moel
from mime_fast.text.special import PAD_ID, SOS_ID
from mime_fast.training.losses import loss_terms
from mime_fast.training.recipe import Stage
from mime_fast.training.schedule import gold_listener_chance
from tests.parity import assert_close
from tests.reference.tiny import random_batch, random_contexts, tiny

BATCH = random_batch([3, 6, 1], [4, 2, 6])
NO_NOISE = torch.zeros(3, 0, 12, dtype=torch.float64)
KINDS = pytest.mark.parametrize("kind", [MultiTaskConfig, MoelConfig], ids=["multi-tr", "moel"])


def nll_by_hand(model: DialogueModel, gold_listeners: bool = False) -> float:
    """Each response by itself, word by word."""
    total = 0.0
    for b in range(3):
        length = int((BATCH.context_ids[b] != PAD_ID).sum())
        context = model.encode(BATCH.context_ids[b : b + 1, :length], BATCH.state_ids[b : b + 1, :length])
        memory, _ = model.decoder_memory(context, BATCH.emotion[b : b + 1], None)
        if gold_listeners:
            assert isinstance(model, Moel)
            alone = torch.zeros(1, 32, dtype=torch.float64)
            alone[0, BATCH.emotion[b]] = 1.0
            memory = model.listen(context, alone)
        words = [int(token) for token in BATCH.target_ids[b] if token != PAD_ID]
        logprobs = model.fc_decode(model.decode(torch.tensor([[SOS_ID, *words[:-1]]]), memory)).log_softmax(-1)[0]
        total -= sum(logprobs[t, word].item() for t, word in enumerate(words))
    return total


@KINDS
@pytest.mark.parametrize("preset", ["paper", "released"])
def test_terms_by_hand(kind: type[ModelConfig], preset: str) -> None:
    """The response is averaged over the batch in `paper` and summed in `released`; there is nothing else."""
    model = tiny(kind, preset)
    terms = loss_terms(model, BATCH, NO_NOISE)
    logits = model.encode(BATCH.context_ids, BATCH.state_ids).emotion_logits
    assert_close(terms.classification, -logits.log_softmax(1)[torch.arange(3), BATCH.emotion].mean())
    expected = nll_by_hand(model) / (3 if preset == "paper" else 1)
    assert_close(terms.response, torch.tensor(expected, dtype=torch.float64))
    assert [terms.kl.item(), terms.reconstruction.item(), terms.mixture.item()] == [0, 0, 0]


def test_a_gold_step_hears_that_listener_alone() -> None:
    """And no other listener is run: broken ones break nothing."""
    model = tiny(MoelConfig)
    assert isinstance(model, Moel)
    plain, gold = (loss_terms(model, BATCH, NO_NOISE, gold_listeners=given) for given in (False, True))
    assert_close(gold.response, torch.tensor(nll_by_hand(model, gold_listeners=True) / 3, dtype=torch.float64))
    assert torch.equal(gold.classification, plain.classification)
    assert gold.response != plain.response
    with torch.no_grad():
        for index in set(range(32)) - set(BATCH.emotion.tolist()):
            for parameter in model.decoder.listeners[index].parameters():
                parameter.fill_(torch.nan)
    assert torch.equal(loss_terms(model, BATCH, NO_NOISE, gold_listeners=True).response, gold.response)


def test_gold_listeners_are_moels_alone() -> None:
    model = tiny(MultiTaskConfig)
    terms = [loss_terms(model, BATCH, NO_NOISE, gold_listeners=given) for given in (False, True)]
    assert torch.equal(terms[0].response, terms[1].response)


def groups(model: DialogueModel) -> dict[str, list[torch.nn.Parameter]]:
    """Parameters by name; those of one listener are together."""
    found: dict[str, list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        parts = name.split(".")
        found.setdefault(".".join(parts[:3]) if "listener" in parts[1] else name, []).append(parameter)
    return found


@KINDS
@pytest.mark.parametrize("changes", [{"preset": "paper"}, {"preset": "released", "tie_word_embeddings": True}])
@pytest.mark.parametrize("gold", [False, True])
def test_gradients_equal_central_differences(kind: type[ModelConfig], changes: dict[str, Any], gold: bool) -> None:
    """Along a random direction of each parameter (of each listener), in training mode."""
    model = tiny(kind, num_layers=1, **changes).train()

    def total() -> Tensor:
        return loss_terms(model, BATCH, NO_NOISE, 0.1, 0.05, gold_listeners=gold).total(1.5, 0.7, 0.9)

    total().backward()
    generator, step, moving = torch.Generator().manual_seed(4), 1e-6, 0
    for name, parameters in groups(model).items():
        directions = [torch.randn(p.shape, dtype=torch.float64, generator=generator) for p in parameters]
        if name == "word_embedding.weight":
            directions[0][PAD_ID] = 0  # its gradient is defined as zero
        pairs = list(zip(parameters, directions, strict=True))
        gradient = sum(0.0 if p.grad is None else (p.grad * d).sum().item() for p, d in pairs)
        values = []
        with torch.no_grad():
            for way in (step, -2 * step):
                for parameter, direction in pairs:
                    parameter.add_(way * direction)
                values.append(total().item())
            for parameter, direction in pairs:
                parameter.add_(step * direction)
        assert gradient == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4, abs=1e-4), name
        moving += gradient != 0
    assert moving > 20


@pytest.mark.parametrize("gold", [False, True])
def test_who_learns(gold: bool) -> None:
    """Only used listeners; with gold listeners the classifier learns only from L_cls."""
    model = tiny(MoelConfig, "released").train()
    assert isinstance(model, Moel)
    weights = model.listener_weights(model.encode(BATCH.context_ids, BATCH.state_ids).emotion_logits)
    heard = set(BATCH.emotion.tolist()) if gold else set(weights.nonzero()[:, 1].tolist())
    loss_terms(model, BATCH, NO_NOISE, gold_listeners=gold).total(alpha=0.0).backward()
    learns = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert {int(name.split(".")[2]) for name in learns if ".listeners." in name} == heard
    assert any("shared_listener" in name for name in learns)
    assert not any(name.startswith("unused.") for name in learns)
    gradient = model.emotion_key.weight.grad
    assert gradient is not None and bool(gradient.any()) == (not gold)


def test_chance_of_gold_listeners_by_hand() -> None:
    """Step 2 goes by the first step's coin, whose chance is 1; then it falls to 1 in 10,000."""
    recipe = Stage(model_type="moel", gold_listener_steps=100)
    assert gold_listener_chance(recipe, 1) == 0
    assert gold_listener_chance(recipe, 2) == 1
    assert gold_listener_chance(recipe, 102) == pytest.approx(1e-4 + 0.9999 * math.exp(-1))
    assert gold_listener_chance(recipe, 10**6) == pytest.approx(1e-4)
    assert gold_listener_chance(Stage(model_type="moel"), 2) == 0


@KINDS
def test_labels_change_no_perplexity(kind: type[ModelConfig]) -> None:
    """Whatever polarity and noise are asked for; labels affect only the accuracies."""
    model = tiny(kind, "released")
    ids, states = random_contexts([5, 3, 8, 2])
    rows = [(i[i != PAD_ID].tolist(), s[i != PAD_ID].tolist()) for i, s in zip(ids, states, strict=True)]
    examples = [Example(i, s, [9 + b, 11, 2], 3 * b) for b, (i, s) in enumerate(rows)]
    first = evaluate_likelihood(model, examples)
    for changed in (
        evaluate_likelihood(model.train(), examples),
        evaluate_likelihood(model, examples, gold_polarity=False),
        evaluate_likelihood(model, examples, seed=8),
        evaluate_likelihood(model, examples, stochastic=False),
    ):
        assert changed == first
    other = [dataclasses.replace(example, emotion=31 - example.emotion) for example in examples]
    assert evaluate_likelihood(model, other).ppl == first.ppl
    assert evaluate_likelihood(model, examples, batch_size=1).ppl == pytest.approx(first.ppl, rel=1e-10)
