"""The training loss against written-out formulas, and its gradients against finite differences."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mime_fast.emotions import POSITIVE_IDS
from mime_fast.reference.mime import Mime
from mime_fast.reference.response_emotion import GROUPS, Gaussian
from mime_fast.text.special import PAD_ID, SOS_ID
from mime_fast.training.losses import LossTerms, classifier_terms, kl_divergence, loss_terms, mixture_loss, smoothed_nll
from tests.parity import assert_close
from tests.reference.tiny import random_batch, tiny_model

LENGTHS, TARGETS = [3, 6, 1], [4, 2, 6]


def noise_for(model: Mime, batch_size: int = 3) -> Tensor:
    shape = (batch_size, 2 * model.noise_groups, model.config.hidden_size)
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(9))


def dense_smoothed_kl(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """The released way: a dense target and KLDivLoss."""
    dense = torch.full_like(logits, smoothing / (logits.shape[1] - 2))
    dense.scatter_(1, targets[:, None], 1 - smoothing)
    dense[:, PAD_ID] = 0
    return F.kl_div(logits.log_softmax(1), dense, reduction="sum")


@pytest.mark.parametrize("smoothing", [0.1, 0.3])
def test_smoothed_nll_equals_the_dense_form(smoothing: float) -> None:
    logits = torch.randn(6, 17, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.tensor([0, 2, 16, 5, 5, 7])
    loss = smoothed_nll(logits, targets, smoothing)
    (gradient,) = torch.autograd.grad(2.5 * loss, logits)
    dense = dense_smoothed_kl(logits, targets, smoothing)
    (expected,) = torch.autograd.grad(2.5 * dense, logits)
    assert_close(loss, dense)
    assert_close(gradient, expected)


def test_without_smoothing_it_is_the_nll() -> None:
    logits = torch.randn(4, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([0, 3, 8, 2])
    expected = -sum(logits.log_softmax(1)[i, t] for i, t in enumerate(targets))
    assert_close(smoothed_nll(logits, targets, 0.0), torch.as_tensor(expected))


def test_the_classifier_alone_has_the_same_loss() -> None:
    model, batch = tiny_model(), random_batch(LENGTHS, TARGETS)
    all_terms = loss_terms(model, batch, noise_for(model), emotion_smoothing=0.2)
    alone = classifier_terms(model, batch, emotion_smoothing=0.2)
    assert_close(alone.classification, all_terms.classification)
    assert_close(alone.total(alpha=3.0), 3 * all_terms.classification)


def test_emotion_smoothing_by_hand() -> None:
    """1 - s on the label and s / 32 on every emotion, the label's own share included; nothing else changes."""
    model, batch = tiny_model(), random_batch(LENGTHS, TARGETS)
    plain = loss_terms(model, batch, noise_for(model))
    smoothed = loss_terms(model, batch, noise_for(model), emotion_smoothing=0.2)
    logs = model.encode(batch.context_ids, batch.state_ids).emotion_logits.log_softmax(1)
    gold = logs[torch.arange(3), batch.emotion]
    assert_close(smoothed.classification, -(0.8 * gold + 0.2 * logs.mean(dim=1)).mean())
    assert not torch.equal(smoothed.classification, plain.classification)
    for name in ("kl", "reconstruction", "response", "mixture"):
        assert torch.equal(getattr(smoothed, name), getattr(plain, name)), name


def gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def test_bfloat16_projection_is_the_same_loss_roughly() -> None:
    """Within bfloat16's 8 bits, gradients too; the losses beside it are the same bit for bit."""
    model, batch = tiny_model().float(), random_batch(LENGTHS, TARGETS)
    noise = noise_for(model).float()
    found = []
    for half in (False, True):
        model.zero_grad()
        terms = loss_terms(model, batch, noise, bfloat16_projection=half)
        terms.response.backward()
        assert terms.response.dtype == torch.float32
        found.append((terms, gradient(model.fc_decode.weight), gradient(model.decoder.projection.weight)))
    (plain, *gradients), (rounded, *rounded_gradients) = found
    assert plain.response != rounded.response
    assert rounded.response.item() == pytest.approx(plain.response.item(), rel=0.01)
    for exact, other in zip(gradients, rounded_gradients, strict=True):
        assert (exact - other).norm() < 0.02 * exact.norm()
    for name in ("classification", "kl", "reconstruction", "mixture"):
        assert torch.equal(getattr(plain, name), getattr(rounded, name)), name


def test_kl_divergence_by_hand() -> None:
    """For one dimension: ln(s_p / s_q) + (s_q^2 + (m_q - m_p)^2) / (2 s_p^2) - 1/2."""
    q = Gaussian(torch.tensor([[1.0]]).double(), torch.tensor([[math.log(4.0)]], dtype=torch.float64))
    p = Gaussian(torch.tensor([[-1.0]]).double(), torch.tensor([[math.log(9.0)]], dtype=torch.float64))
    expected = math.log(3 / 2) + (4 + 4) / (2 * 9) - 0.5
    assert_close(kl_divergence(q, p), torch.tensor(expected, dtype=torch.float64))
    assert_close(kl_divergence(q, q), torch.tensor(0.0, dtype=torch.float64))


def nll_by_hand(model: Mime, batch: Any, memory: Any) -> float:
    total = 0.0
    for b in range(len(batch.emotion)):
        words = [int(t) for t in batch.target_ids[b] if t != PAD_ID]
        prefix = torch.tensor([[SOS_ID, *words[:-1]]])
        one = type(memory)(memory.fused[b : b + 1], memory.real[b : b + 1], memory.mimic_share[b : b + 1])
        logprobs = model.fc_decode(model.decode(prefix, one)).log_softmax(-1)[0]
        total -= sum(logprobs[t, word].item() for t, word in enumerate(words))
    return total


def test_paper_terms_by_hand() -> None:
    """Eq. 6, 16, 31: means over the batch; the decoder reads the posterior's sample, mimicry follows the gold label."""
    model = tiny_model()
    batch, noise = random_batch(LENGTHS, TARGETS), noise_for(tiny_model())
    terms = loss_terms(model, batch, noise)
    context = model.encode(batch.context_ids, batch.state_ids)
    mixture = model.sample(context.c, noise[:, :2])
    prior, posterior = model.prior(context.c), model.posterior(context.c, mixture.emotions)
    z = {g: posterior[g].sample(noise[:, 2 + i]) for i, g in enumerate(("positive", "negative"))}
    decoded = model.prior.mix(z, model.emotion_embedding.weight)
    kl = sum(kl_divergence(posterior[g], prior[g]) for g in z)
    distance = sum(((mixture.emotions[g] - decoded.emotions[g]) ** 2).sum() for g in z)
    memory = model.remember(context, decoded, batch.emotion)
    classification = -context.emotion_logits.log_softmax(1)[torch.arange(3), batch.emotion].mean()
    assert_close(terms.classification, classification)
    assert_close(terms.kl, torch.as_tensor(kl) / 3)
    assert_close(terms.reconstruction, 0.5 * torch.as_tensor(distance) / 3)
    assert_close(terms.response, torch.tensor(nll_by_hand(model, batch, memory) / 3, dtype=torch.float64))


def test_released_terms_by_hand() -> None:
    """Sums over the batch; the decoder reads the prior's sample; the posterior sees means over real positions."""
    model = tiny_model("released")
    batch, noise = random_batch(LENGTHS, TARGETS), noise_for(tiny_model())
    terms = loss_terms(model, batch, noise)
    context = model.encode(batch.context_ids, batch.state_ids)
    mixture = model.sample(context.c, noise[:, :2])
    refined = model.refine(context, *model.mimicry(mixture, batch.emotion))
    observed: dict[str, list[Tensor]] = {"positive": [], "negative": []}
    for b in range(3):
        rows = LENGTHS[b] + 1
        mimic, other = refined.mimic[b, :rows].mean(0), refined.other[b, :rows].mean(0)
        user_positive = bool(model.is_positive[batch.emotion[b]])
        observed["positive"].append(mimic if user_positive else other)
        observed["negative"].append(other if user_positive else mimic)
    posterior = model.posterior(context.c, {g: torch.stack(rows) for g, rows in observed.items()})
    prior = model.prior(context.c)
    assert_close(posterior["negative"].log_variance, posterior["positive"].log_variance)
    assert_close(terms.kl, torch.as_tensor(sum(kl_divergence(posterior[g], prior[g]) for g in prior)))
    assert terms.reconstruction.item() == 0
    memory = model.fuse(refined)
    assert_close(terms.response, torch.tensor(nll_by_hand(model, batch, memory), dtype=torch.float64))


@pytest.mark.parametrize("grouping", [True, False])
def test_mixture_loss_by_hand(grouping: bool) -> None:
    """The weight, at z = mu, of the labelled emotion in its own group."""
    model = tiny_model(emotion_grouping=grouping, emotion_mimicry=grouping)
    c = torch.randn(32, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    weights = model.sample(c, None).weights
    total = 0.0
    for index in range(32):
        group = "all" if not grouping else "positive" if index in POSITIVE_IDS else "negative"
        total -= math.log(weights[group][index, GROUPS[group].index(index)].item())
    loss = mixture_loss(model, model.prior(c), torch.arange(32))
    assert_close(loss, torch.tensor(total / 32, dtype=torch.float64))


def test_total_is_the_weighted_sum() -> None:
    """Eq. 32; the KL weight scales only KL."""
    terms = LossTerms(
        classification=torch.tensor(1.0),
        kl=torch.tensor(10.0),
        reconstruction=torch.tensor(100.0),
        response=torch.tensor(1000.0),
        mixture=torch.tensor(10_000.0),
        risk=torch.tensor(100_000.0),
    )
    assert terms.total().item() == 1111
    weighted = terms.total(alpha=2, beta=3, gamma=4, kl=0.5, mixture=0.1, risk=0.7)
    assert weighted.item() == 2 + 3 * (5 + 100) + 4000 + 1000 + 70_000


@pytest.mark.parametrize(
    "changes",
    [
        {"preset": "paper"},
        {"preset": "paper", "tie_word_embeddings": True, "shared_response_encoder": False},
        {"preset": "released"},
        {"preset": "released", "emotion_mimicry": False, "emotion_grouping": False},
    ],
)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradients_equal_finite_differences(changes: dict[str, Any], smoothing: float) -> None:
    """Along a random direction of each parameter, central differences in float64."""
    model = tiny_model(**changes)
    batch, noise = random_batch(LENGTHS, TARGETS), noise_for(model)

    def total() -> Tensor:
        return loss_terms(model, batch, noise, smoothing).total(1.5, 0.7, 1.0, 0.3, 0.8)

    total().backward()
    generator = torch.Generator().manual_seed(4)
    for name, parameter in model.named_parameters():
        direction = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
        if name == "word_embedding.weight":
            direction[PAD_ID] = 0  # its gradient is defined as zero
        gradient = 0.0 if parameter.grad is None else (parameter.grad * direction).sum().item()
        step = 1e-6
        with torch.no_grad():
            parameter.add_(step * direction)
            up = total().item()
            parameter.sub_(2 * step * direction)
            down = total().item()
            parameter.add_(step * direction)
        assert gradient == pytest.approx((up - down) / (2 * step), rel=1e-4, abs=1e-4), name


def test_every_parameter_of_the_paper_preset_learns() -> None:
    model = tiny_model()
    loss_terms(model, random_batch(LENGTHS, TARGETS), noise_for(model)).total().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_what_the_released_code_never_trains() -> None:
    model = tiny_model("released")
    loss_terms(model, random_batch(LENGTHS, TARGETS), noise_for(model), 0.1).total().backward()
    idle = {name.rsplit(".", 1)[0] for name, parameter in model.named_parameters() if parameter.grad is None}
    assert idle == {
        "prior.fc_sigma.negative",
        "posterior.fc_sigma.negative",
        "unused.decoder_key",
        "unused.e_weight",
        "unused.p_gen",
        "unused.posterior_fc_d_positive",
        "unused.posterior_fc_d_negative",
    }
