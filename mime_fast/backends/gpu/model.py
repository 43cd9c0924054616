"""A model as the device back end runs it: the encoders of the reference, products in the precision; weights packed.

What is not a product of a big matrix is float32 in every precision: embeddings, norms, attention, the emotion
classifier and the sampling. B dialogues, S positions of a context with CTX, T of a response, C hidden, V words.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mime_fast.kernels.select import Ops
from mime_fast.kernels.weights import DecoderWeights, PriorWeights, pack_vocab
from mime_fast.reference.dialogue_model import Context
from mime_fast.reference.layers import Positions
from mime_fast.reference.mime import Mime
from mime_fast.text.special import PAD_ID, SOS_ID


@dataclass(frozen=True)
class PaddedContexts:
    """Encoded dialogues of similar length on the device, and what their response emotions are drawn from."""

    context_ids: Tensor  # int64 [B, S], padded with PAD
    state_ids: Tensor  # int64 [B, S]
    emotions: Tensor  # int32 [B], -1: the classifier's
    seeds: Tensor  # int64 [B], the bits
    request_ids: Tensor  # int64 [B], the bits
    stochastic: bool


@dataclass(frozen=True)
class Understood:
    """What the model made of a batch: rows of `EmotionOutputs`, and the decoder's memory."""

    emotion_logits: Tensor  # float32 [B, 32]
    mimicked: Tensor  # int32 [B]
    weights: Tensor  # float32 [B, 32]
    mimic_share: Tensor  # float32 [B]
    fused: Tensor  # [B, S', C], S' without CTX where that is dropped
    real: Tensor  # bool [B, S']


EMOTION_COLUMNS = 66  # of `emotion_rows`


def emotion_rows(of: Understood) -> Tensor:
    """Logits, the mimicked emotion, weights and share next to each other: float32 [B, 66]."""
    return torch.cat([of.emotion_logits, of.mimicked[:, None].float(), of.weights, of.mimic_share[:, None]], dim=1)


@dataclass(frozen=True)
class PaddedResponses:
    """Contexts, and a response to each."""

    contexts: PaddedContexts
    target_ids: Tensor  # int64 [B, T], padded with PAD


@dataclass(frozen=True)
class Read:
    """What the model made of contexts and responses."""

    understood: Understood
    hidden: Tensor  # O (eq. 28), what each target is predicted from, [B, T, C']


class DeviceModel:
    """Packed once.

    Args:
        model: float32, on its device; shared, not copied, for float32.
        dtype: of the products.
    """

    def __init__(self, model: Mime, dtype: torch.dtype, ops: Ops) -> None:
        self.config = model.config
        self.dtype = dtype
        self.ops = ops
        self.device = model.fc_decode.weight.device
        tensors = model.state_dict()
        self.vocab_weight, self.vocab_bias = pack_vocab(model.fc_decode.weight, model.fc_decode.bias, dtype)
        columns = self.vocab_weight.shape[1]
        self.decoder = DecoderWeights.pack(tensors, model.config, dtype, self.device, columns)
        self.prior = PriorWeights.pack(tensors, model.config, torch.float32, self.device)
        fusion = model.fusion
        self.fusion = tuple(
            x.detach().to(dtype).contiguous()
            for x in (
                fusion.fc_contrib.weight,
                fusion.fc_contrib.bias,
                fusion.fc_fused.weight,
                fusion.fc_fused.bias,
            )
        )
        keys, values = (
            [
                tensors[f"decoder.layers.{i}.memory_attention.{part}.weight"].to(dtype)
                for i in range(len(self.decoder.layers))
            ]
            for part in ("key", "value")
        )
        self.memory_matrices = list(zip(keys, values, strict=True))
        self.layers = _narrowed(model, dtype)

    def classify(self, context_ids: Tensor, state_ids: Tensor) -> Tensor:
        """Emotion logits, float32 [B, 32]."""
        return self.layers.encode(context_ids, state_ids).emotion_logits

    def understand(self, batch: PaddedContexts) -> Understood:
        """Eq. 1-4 and 7-27, without reading anything back."""
        context = self.layers.encode(batch.context_ids, batch.state_ids)
        guess = context.emotion_logits.argmax(dim=1).int()
        mimicked = torch.where(batch.emotions < 0, guess, batch.emotions)
        weights, m, m_other = self.ops.response_emotion(
            context.c.contiguous(), batch.seeds, batch.request_ids, mimicked, self.prior, batch.stochastic
        )
        fused, share, real = self._fuse(context, m, m_other)
        words = real.clone()
        if not self.config.drop_ctx:
            words[:, :1] = False
        mimic_share = torch.where(words, share, 0.0).sum(dim=1) / words.sum(dim=1)
        return Understood(context.emotion_logits, mimicked, weights, mimic_share, fused, real)

    def read(self, batch: PaddedResponses) -> Read:
        """Eq. 1-4 and 7-28: all positions of the responses at once, without reading anything back."""
        understood, targets = self.understand(batch.contexts), batch.target_ids
        inputs = torch.cat([torch.full_like(targets[:, :1], SOS_ID), targets[:, :-1]], dim=1)
        x = self.decoder.words[inputs] + self.decoder.positions[: inputs.shape[1]]
        future = torch.ones(inputs.shape[1], inputs.shape[1], dtype=torch.bool, device=x.device).triu(1)
        masked = (future | (inputs == PAD_ID)[:, None])[:, None]
        memory, memory_masked = understood.fused.float(), ~understood.real[:, None, None]
        for layer in self.layers.decoder.layers:
            x = layer(x, masked, memory, memory_masked)
        hidden = self.layers.decoder.norm(x).to(self.dtype)
        return Read(understood, F.pad(hidden, (0, self.decoder.columns - hidden.shape[2])))

    def score(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Log-probs of targets int64 [N] after O, [N, C'] (eq. 29): float32 [N]."""
        parts = zip(*(torch.split(x, self.ops.score_rows) for x in (hidden, targets.int())), strict=True)
        return torch.cat([self.ops.vocab_score(h, self.vocab_weight, self.vocab_bias, t) for h, t in parts])

    def memory(self, fused: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Keys and values of the memory [B, S', C] for each layer of the decoder, [B, S', H, D]."""
        shape = *fused.shape[:2], self.config.num_heads, -1
        for key, value in self.memory_matrices:
            yield F.linear(fused, key).view(shape), F.linear(fused, value).view(shape)

    def _fuse(self, context: Context, m: Tensor, m_other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """M_fused [B, S', C], the mimic share of each position [B, S'], and which positions are real."""
        refined = self.layers.refine(context, m, m_other)
        both = (x.to(self.dtype).flatten(0, 1) for x in (refined.mimic, refined.other))
        fused, share = self.ops.gate_fusion(*both, *self.fusion)
        return fused.view(refined.mimic.shape), share.view(refined.real.shape), refined.real


class _Linear(nn.Module):
    """A product in another dtype than that of what goes in and comes out."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = linear.weight.detach().to(dtype)
        self.bias = None if linear.bias is None else linear.bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.to(self.weight.dtype), self.weight, self.bias).to(x.dtype)


class _Convolution(nn.Module):
    """A convolution of width 3 as one product, whose order of sums no choice of algorithm changes."""

    def __init__(self, conv: nn.Conv1d, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = conv.weight.detach().permute(0, 2, 1).flatten(1).to(dtype)  # [out, 3 in]
        assert conv.bias is not None
        self.bias = conv.bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, in, T + 2] -> [B, out, T]."""
        rows = x.transpose(1, 2).to(self.weight.dtype)
        length = rows.shape[1] - 2
        window = torch.cat([rows[:, i : i + length] for i in range(3)], dim=2)
        return F.linear(window, self.weight, self.bias).to(x.dtype).transpose(1, 2)


class _Positions(nn.Module):
    """E_P kept here: what a CUDA graph reads must neither go away nor be made anew while one is captured."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.rows = table

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        return x + self.rows[start : start + x.shape[1]]


def _narrowed(model: Mime, dtype: torch.dtype) -> Mime:
    """The model with its layers' products in `dtype`; tensors that stay as they are are shared."""
    kept = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    narrowed = copy.deepcopy(model, memo=kept)
    stacks: list[nn.Module] = [narrowed.context_encoder, narrowed.response_encoders, narrowed.decoder]
    for parent in [module for stack in stacks for module in stack.modules()]:
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, _Linear(child, dtype))
            elif isinstance(child, nn.Conv1d):
                setattr(parent, name, _Convolution(child, dtype))
            elif isinstance(child, Positions):
                setattr(parent, name, _Positions(child.table(model.fc_decode.weight)))
    return narrowed


@contextmanager
def exact_float32() -> Iterator[None]:
    """No TF32 in products of float32 while the block runs."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
