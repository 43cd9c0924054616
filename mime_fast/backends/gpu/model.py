"""A model as the device back end runs it: weights packed once; products and activations in the precision.

Embeddings, norms, sums, the residual, the emotion classifier and the sampling are float32 in every precision. B
dialogues, N positions of their contexts with CTX, T of a response, C hidden, V words.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mime_fast.config.model import MimeConfig
from mime_fast.kernels.encoder_weights import EncoderWeights
from mime_fast.kernels.plain_encoder import Sequences
from mime_fast.kernels.select import Ops
from mime_fast.kernels.weights import DecoderWeights, PriorWeights, Tensors, pack_vocab
from mime_fast.reference.decoder import Decoder, Memory, unseen
from mime_fast.reference.mime import Mime
from mime_fast.text.special import CLS_ID, PAD_ID, SOS_ID, USR_ID

STATES = CLS_ID + 1  # ids of who says a word
PARTS = ("key", "value")


@dataclass(frozen=True)
class FlatContexts:
    """Encoded dialogues on the device, one after the other; then rows and dialogues that only fill the shape."""

    context_ids: Tensor  # int32 [N], then PAD
    state_ids: Tensor  # int32 [N]
    starts: Tensor  # int32 [B], each dialogue's CTX; of those that fill the shape, the row after the last real one
    ends: Tensor  # int32 [B], the row after its last
    longest: int  # no dialogue has more rows

    def sequences(self) -> Sequences:
        """All rows of each dialogue."""
        return Sequences(self.starts, self.ends, (self.context_ids != PAD_ID).to(torch.uint8), self.longest)


@dataclass(frozen=True)
class Dialogues:
    """Contexts, and what their response emotions are drawn from."""

    contexts: FlatContexts
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
    fused: Tensor  # [N, C], the memories' rows and others
    memories: Sequences  # without CTX where that is dropped


EMOTION_COLUMNS = 66  # of `emotion_rows`


def emotion_rows(of: Understood) -> Tensor:
    """Logits, the mimicked emotion, weights and share next to each other: float32 [B, 66]."""
    return torch.cat([of.emotion_logits, of.mimicked[:, None].float(), of.weights, of.mimic_share[:, None]], dim=1)


@dataclass(frozen=True)
class PaddedResponses:
    """Dialogues, and a response to each."""

    dialogues: Dialogues
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
        self.depth = model.config.attention_depth // model.config.num_heads
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
        layers = range(len(self.decoder.layers))
        matrices = [tensors[f"decoder.layers.{i}.memory_attention.{part}.weight"] for i in layers for part in PARTS]
        self.memory_matrix = torch.cat(matrices).to(dtype)  # keys and values of each layer, [2 L * H * D, C]
        self._prepare_encoders(model, columns)
        self.layers = _narrowed(model.decoder, dtype)

    def _prepare_encoders(self, model: Mime, columns: int) -> None:
        """Tables that eq. 1 and the projections make of words and speakers; the projections of eq. 20-21 in two."""
        config, tensors, size = self.config, model.state_dict(), self.config.hidden_size
        encoders = [f"response_encoders.{i}" for i in range(len(model.response_encoders))]
        to_hidden, to_emotion = torch.stack([tensors[f"{each}.projection.weight"] for each in encoders]).split(size, -1)
        self.emotion_matrices = to_emotion.transpose(1, 2).contiguous()  # of m and m~, [E, C, C]
        given = config, self.dtype, self.device, columns
        self.context_encoder = _encoder(tensors, ["context_encoder"], config.num_context_layers, given, to_hidden)
        self.response_encoders = _encoder(tensors, encoders, config.num_layers, given, None)
        speakers = tensors["word_embedding.weight"][:STATES]
        if config.speaker_table:
            speakers = tensors["speaker_embedding.weight"][torch.arange(STATES).clamp(min=USR_ID) - USR_ID]
        projection = tensors["context_encoder.projection.weight"].T * size**0.5
        self.words, self.speakers = (x @ projection for x in (tensors["word_embedding.weight"], speakers))  # [., C]
        self.emotion_logits = model.emotion_logits

    def classify(self, contexts: FlatContexts) -> Tensor:
        """Emotion logits, float32 [B, 32]."""
        return self.emotion_logits(self._encode(contexts, self.context_encoder)[1])

    def context_vectors(self, contexts: FlatContexts) -> Tensor:
        """c (eq. 3), then the mean of H (eq. 2, in the precision) over the rows that are seen: float32 [B, 2 C]."""
        hidden, c = self._encode(contexts, replace(self.context_encoder, onward=None))
        return torch.cat([c, means(hidden, contexts.sequences())], dim=1)

    def understand(self, batch: Dialogues) -> Understood:
        """Eq. 1-4 and 7-27, without reading anything back."""
        contexts = batch.contexts
        projected, c = self._encode(contexts, self.context_encoder)
        logits = self.emotion_logits(c)
        mimicked = torch.where(batch.emotions < 0, logits.argmax(dim=1).int(), batch.emotions)
        weights, *emotions = self.ops.response_emotion(
            c, batch.seeds, batch.request_ids, mimicked, self.prior, batch.stochastic
        )
        sequences = memories = contexts.sequences()
        if self.config.drop_ctx:
            memories = replace(sequences, starts=torch.minimum(sequences.starts + 1, sequences.ends))
        refined = self._refine(projected, torch.stack(emotions), memories)
        fused, share = self.ops.gate_fusion(*refined, *self.fusion)
        rows, there = memories.places()
        words = there & (memories.seen[rows] != 0) & (rows > sequences.starts[:, None])
        mimic_share = torch.where(words, share[rows], 0.0).sum(dim=1) / words.sum(dim=1)
        return Understood(logits, mimicked, weights, mimic_share, fused, memories)

    def read(self, batch: PaddedResponses) -> Read:
        """Eq. 1-4 and 7-28: all positions of the responses at once, without reading anything back."""
        understood, targets = self.understand(batch.dialogues), batch.target_ids
        inputs = torch.cat([torch.full_like(targets[:, :1], SOS_ID), targets[:, :-1]], dim=1)
        x = self.decoder.words[inputs] + self.decoder.positions[: inputs.shape[1]]
        rows, there = understood.memories.places()
        seen = there & (understood.memories.seen[rows] != 0)
        memory = torch.where(there[..., None], understood.fused[rows], 0).float()
        hidden = self.layers.refine(x, unseen(inputs), Memory(memory, seen)).to(self.dtype)
        return Read(understood, F.pad(hidden, (0, self.decoder.columns - hidden.shape[2])))

    def score(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Log-probs of targets int64 [N] after O, [N, C'] (eq. 29): float32 [N]."""
        parts = zip(*(torch.split(x, self.ops.score_rows) for x in (hidden, targets.int())), strict=True)
        return torch.cat([self.ops.vocab_score(h, self.vocab_weight, self.vocab_bias, t) for h, t in parts])

    def memory(self, fused: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Keys and values of the memories' rows [N, C] for each layer of the decoder, [N, H, D]."""
        products = F.linear(fused, self.memory_matrix).view(
            len(fused), -1, len(PARTS), self.config.num_heads, self.depth
        )
        for layer in products.unbind(dim=1):
            key, value = layer.unbind(dim=1)
            yield key, value

    def _encode(self, contexts: FlatContexts, weights: EncoderWeights) -> tuple[Tensor, Tensor]:
        """H (eq. 2), [N, C], or as the response encoders take it, [N, E * C]; and c (eq. 3), float32 [B, C]."""
        ids, states = contexts.context_ids[None], contexts.state_ids[None]
        found, c = self.ops.encoder(self.words, ids, self.speakers, states, contexts.sequences(), weights)
        return found[0], c[0]

    def _refine(self, projected: Tensor, emotions: Tensor, memories: Sequences) -> Tensor:
        """M and M~ (eq. 20-23) for m and m~, float32 [2, B, C]: [2, N, C]."""
        streams, dialogues, size = emotions.shape
        encoders = len(self.emotion_matrices)
        stream = torch.arange(streams, device=self.device)[:, None]
        own = emotions @ self.emotion_matrices
        rows = torch.arange(len(projected), device=self.device) * encoders + stream % encoders
        owners = memories.owners()[0] + stream * dialogues
        refined, _ = self.ops.encoder(
            projected.view(-1, size), rows.int(), own.view(-1, size), owners.int(), memories, self.response_encoders
        )
        return refined


def means(x: Tensor, sequences: Sequences) -> Tensor:
    """Of the rows of x [N, C] that are seen, float32 [B, C]; `longest` is a power of two.

    Halves are added to each other: the order of a sequence's sum depends on its own rows only, and in what is longer
    zeros are added to them first.
    """
    rows, there = sequences.places()
    seen = there & (sequences.seen[rows] != 0)
    totals = torch.where(seen[..., None], x[rows].float(), 0.0)
    while totals.shape[1] > 1:
        first, second = totals.chunk(2, dim=1)
        totals = first + second
    return totals[:, 0] / seen.sum(dim=1, keepdim=True)


def _encoder(
    tensors: Tensors,
    names: list[str],
    num_layers: int,
    given: tuple[MimeConfig, torch.dtype, torch.device, int],
    onward: Tensor | None,
) -> EncoderWeights:
    """Weights of encoders of these names; `onward` is [E, C, C]."""
    config, dtype, device, columns = given
    matrix = None if onward is None else onward.flatten(0, 1)
    return EncoderWeights.pack(tensors, config, names, num_layers, dtype, device, columns, matrix)


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


def _narrowed(decoder: Decoder, dtype: torch.dtype) -> Decoder:
    """The decoder with its layers' products in `dtype`; tensors that stay as they are are shared."""
    kept = {id(tensor): tensor for tensor in (*decoder.parameters(), *decoder.buffers())}
    narrowed = copy.deepcopy(decoder, memo=kept)
    for parent in list(narrowed.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, _Linear(child, dtype))
            elif isinstance(child, nn.Conv1d):
                setattr(parent, name, _Convolution(child, dtype))
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
