"""The training loss: eq. 32 for the paper's preset, the released code's sums for the released one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mime_fast.data.batches import Batch, decoder_inputs
from mime_fast.reference.decoder import Memory
from mime_fast.reference.dialogue_model import Context, DialogueModel
from mime_fast.reference.mime import Mime, Refined
from mime_fast.reference.moel import Moel
from mime_fast.reference.response_emotion import GROUPS, Gaussian, Mixture, group_names
from mime_fast.text.special import PAD_ID
from mime_fast.training.risk import CandidateBatch, risk, vocabulary_logits


@dataclass(frozen=True)
class LossTerms:
    """The terms of one batch, reduced as the preset wants them, ready to be weighted and added."""

    classification: Tensor  # L_cls, eq. 6
    kl: Tensor  # KL[Q || P] of all groups, eq. 16
    reconstruction: Tensor  # -E_Q[log P(e_g | z_g, C)] of all groups, eq. 16
    response: Tensor  # L_resp, eq. 31
    mixture: Tensor  # no term of the paper's: see `mixture_loss`
    risk: Tensor  # nor this one: see training/risk.py

    def total(
        self,
        alpha: float = 1.0,
        beta: float = 1.0,
        gamma: float = 1.0,
        kl: float = 1.0,
        mixture: float = 0.0,
        risk: float = 0.0,
    ) -> Tensor:
        """Eq. 32; `kl` scales only the KL part of the ELBO (its warm-up), `mixture` and `risk` what eq. 32 lacks."""
        elbo = kl * self.kl + self.reconstruction
        paper = alpha * self.classification + beta * elbo + gamma * self.response
        return paper + mixture * self.mixture + risk * self.risk


def loss_terms(
    model: DialogueModel,
    batch: Batch,
    noise: Tensor,
    label_smoothing: float = 0.0,
    emotion_smoothing: float = 0.0,
    emotion_teacher: float = 0.0,
    bfloat16_projection: bool = False,
    gold_listeners: bool = False,
    candidates: CandidateBatch | None = None,
) -> LossTerms:
    """All terms for one batch of gold responses; the baselines' are only L_cls and L_resp.

    Args:
        model: in training mode or not; the noise is given, so only dropout differs.
        batch: ids of B examples.
        noise: standard normals [B, 2 G, C]: the prior's for each group, then the posterior's.
        label_smoothing: mass spread evenly over the words that are neither gold nor PAD.
        emotion_smoothing: mass of L_cls spread evenly over all emotions.
        emotion_teacher: share of L_cls that comes from the batch's teacher, not the label.
        bfloat16_projection: project on the vocabulary in bfloat16, forward and backward; the softmax stays as it is.
        gold_listeners: MoEL uses only the labelled emotion's listener.
        candidates: of the risk; None: no risk.
    """
    context = model.encode(batch.context_ids, batch.state_ids)
    classification = classification_loss(context.emotion_logits, batch, emotion_smoothing, emotion_teacher)
    kl = reconstruction = mixture = classification.new_zeros(())
    if isinstance(model, Mime):
        kl, reconstruction, mixture, memory = _mime_terms(model, context, batch.emotion, noise)
    elif isinstance(model, Moel) and gold_listeners:
        memory = model.listen(context, model.gold_weights(batch.emotion))
    else:
        memory, _ = model.decoder_memory(context, batch.emotion, None)
    response = _response_loss(model, batch, memory, label_smoothing, bfloat16_projection)
    expected = response.new_zeros(())
    if candidates is not None:
        expected = risk(model, memory, candidates, bfloat16_projection) / len(batch.emotion)
    if model.config.preset == "paper":
        size = len(batch.emotion)
        kl, reconstruction, response = kl / size, reconstruction / size, response / size
    return LossTerms(classification, kl, reconstruction, response, mixture, expected)


def classifier_terms(
    model: DialogueModel, batch: Batch, emotion_smoothing: float = 0.0, emotion_teacher: float = 0.0
) -> LossTerms:
    """Only L_cls, as in `loss_terms`; every other term is 0 and takes no time."""
    logits = model.encode(batch.context_ids, batch.state_ids).emotion_logits
    classification = classification_loss(logits, batch, emotion_smoothing, emotion_teacher)
    none = classification.new_zeros(())
    return LossTerms(classification, none, none, none, none, none)


def reached_by_classifier(model: DialogueModel, batch: Batch) -> list[nn.Parameter]:
    """The parameters that L_cls has a gradient for: E_W, the context encoder, W_E and E_E."""
    parameters = list(model.parameters())
    logits = model.encode(batch.context_ids, batch.state_ids).emotion_logits
    gradients = torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
    return [parameter for parameter, gradient in zip(parameters, gradients, strict=True) if gradient is not None]


def classification_loss(logits: Tensor, batch: Batch, smoothing: float, teacher: float) -> Tensor:
    """L_cls (eq. 6) for logits [B, 32]: the cross-entropy with the label, and with the teacher's distribution."""
    told = F.cross_entropy(logits, batch.emotion, label_smoothing=smoothing)
    if teacher == 0:
        return told
    assert batch.teacher is not None, "emotion_teacher needs examples with a teacher"
    return torch.lerp(told, F.cross_entropy(logits, batch.teacher.to(logits.dtype)), teacher)


def _mime_terms(model: Mime, context: Context, emotion: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor, Memory]:
    """KL, reconstruction and mixture term, and the decoder's memory."""
    groups = group_names(model.config)
    prior = model.prior(context.c)
    mixture = _mix(model, prior, noise[:, : len(groups)])
    terms = _paper_terms if model.config.posterior_on_emotion else _released_terms
    kl, reconstruction, memory = terms(model, context, emotion, prior, mixture, noise[:, len(groups) :])
    return kl, reconstruction, mixture_loss(model, prior, emotion), memory


def mixture_loss(model: Mime, prior: dict[str, Gaussian], emotion: Tensor) -> Tensor:
    """-log d_g[e] at z_g = mu_g for the group g of the labelled emotion e, averaged over the batch.

    Nothing in eq. 32 ties d_g to the context: the words' gradient soon drives it to one emotion for all contexts.
    This term asks the mimicked group to weigh the user's emotion; at the mean, so that sigma_g is not touched.
    """
    order = [index for g in prior for index in GROUPS[g]]
    logs = torch.cat([model.prior.fc_d[g](prior[g].mean).log_softmax(dim=-1) for g in prior], dim=1)  # [B, 32]
    place = torch.tensor(order, device=emotion.device).argsort()
    return F.nll_loss(logs, place[emotion])


def kl_divergence(q: Gaussian, p: Gaussian) -> Tensor:
    """KL[q || p], summed over batch and dimensions."""
    spread = (q.log_variance.exp() + (q.mean - p.mean) ** 2) / p.log_variance.exp()
    return 0.5 * (p.log_variance - q.log_variance + spread - 1).sum()


def smoothed_nll(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """KL between the smoothed target and the model, summed; plain NLL without smoothing.

    The target has 1 - smoothing on the gold word and smoothing / (V - 2) on every other word but PAD, as in the
    released code; its dense form is never built.

    Args:
        logits: [N, V]; targets: [N], none of them PAD.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if smoothing == 0:
        return F.cross_entropy(logits, targets, reduction="sum")
    loss: Tensor = _SmoothedNLL.apply(logits, targets, smoothing)  # type: ignore[no-untyped-call]
    return loss


class _SmoothedNLL(torch.autograd.Function):
    """One pass forward and one softmax backward, where autograd would keep and revisit [N, V] several times."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        others = logits.shape[-1] - 2
        share = smoothing / others
        normaliser = logits.logsumexp(dim=-1)
        gold = logits.gather(1, targets[:, None])[:, 0]
        rest = logits.sum(dim=-1) - logits[:, PAD_ID] - gold - others * normaliser  # sum of the others' log-probs
        ctx.save_for_backward(logits, targets)
        ctx.smoothing, ctx.share = smoothing, share
        entropy = (1 - smoothing) * math.log(1 - smoothing) + smoothing * math.log(share)
        return len(targets) * entropy - ((1 - smoothing) * (gold - normaliser) + share * rest).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        logits, targets = ctx.saved_tensors
        difference = logits.softmax(dim=-1).sub_(ctx.share)  # softmax - target
        difference[:, PAD_ID] += ctx.share
        rows = torch.arange(len(targets), device=targets.device)
        difference[rows, targets] += ctx.share - (1 - ctx.smoothing)
        return difference.mul_(grad), None, None


def _mix(model: Mime, gaussians: dict[str, Gaussian], noise: Tensor) -> Mixture:
    z = {g: gaussian.sample(noise[:, i]) for i, (g, gaussian) in enumerate(gaussians.items())}
    return model.prior.mix(z, model.emotion_embedding.weight)


def _paper_terms(
    model: Mime, context: Context, emotion: Tensor, prior: dict[str, Gaussian], mixture: Mixture, noise: Tensor
) -> tuple[Tensor, Tensor, Memory]:
    """Eq. 16-17: the posterior sees [c ; e_g], explains e_g through a unit-variance Gaussian, and feeds the decoder."""
    posterior = model.posterior(context.c, mixture.emotions)
    decoded = _mix(model, posterior, noise)
    kl = torch.stack([kl_divergence(posterior[g], prior[g]) for g in prior]).sum()
    distances = [((mixture.emotions[g] - decoded.emotions[g]) ** 2).sum() for g in prior]
    return kl, 0.5 * torch.stack(distances).sum(), model.remember(context, decoded, emotion)


def _released_terms(
    model: Mime, context: Context, emotion: Tensor, prior: dict[str, Gaussian], mixture: Mixture, noise: Tensor
) -> tuple[Tensor, Tensor, Memory]:
    """The released code: the posterior sees the mean refined contexts; the decoder is fed by the prior's sample."""
    del noise  # the released posterior's sample reaches no loss
    refined = model.refine(context, *model.mimicry(mixture, emotion))
    posterior = model.posterior(context.c, _carriers(model, refined, emotion))
    kl = torch.stack([kl_divergence(posterior[g], prior[g]) for g in prior]).sum()
    return kl, kl.new_zeros(()), model.fuse(refined)


def _carriers(model: Mime, refined: Refined, emotion: Tensor) -> dict[str, Tensor]:
    """For each group, the mean over the real positions of the refined context that carries its emotion, [B, C]."""
    real = refined.real[..., None]
    mimic, other = ((x * real).sum(dim=1) / real.sum(dim=1) for x in (refined.mimic, refined.other))
    if not model.config.emotion_grouping:
        return {"all": mimic}
    if not model.config.emotion_mimicry:
        return {"positive": mimic, "negative": other}
    positive = model.is_positive[emotion][:, None]
    return {"positive": torch.where(positive, mimic, other), "negative": torch.where(positive, other, mimic)}


def _response_loss(
    model: DialogueModel, batch: Batch, memory: Memory, label_smoothing: float, bfloat16_projection: bool
) -> Tensor:
    out = model.decode(decoder_inputs(batch.target_ids), memory)
    real = batch.target_ids != PAD_ID
    logits = vocabulary_logits(model, out[real], bfloat16_projection)
    return smoothed_nll(logits, batch.target_ids[real], label_smoothing)
