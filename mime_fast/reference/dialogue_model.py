"""What MIME and its baselines share: words and speakers in, the context encoder, a decoder, words out.

Dimensions: B batch, S context length with CTX, T response length, C hidden size, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mime_fast.needs_torch

import torch
from torch import Tensor, nn

from mime_fast.config.model import ModelConfig
from mime_fast.reference.candidates import Next
from mime_fast.reference.decoder import Decoder, DecoderState, Memory
from mime_fast.reference.layers import Encoder
from mime_fast.reference.response_emotion import Mixture
from mime_fast.text.special import PAD_ID, USR_ID


@dataclass(frozen=True)
class Context:
    """An encoded context (eq. 2-4)."""

    hidden: Tensor  # H, [B, S, C]
    real: Tensor  # bool [B, S], false at padding
    emotion_logits: Tensor  # s, [B, 32]

    @property
    def c(self) -> Tensor:
        """Eq. 3, [B, C]."""
        return self.hidden[:, 0]

    @property
    def vectors(self) -> Tensor:
        """c, then the mean of H over all positions but padding, [B, 2 C]."""
        totals = self.hidden.masked_fill(~self.real[..., None], 0).sum(dim=1)
        return torch.cat([self.c, totals / self.real.sum(dim=1, keepdim=True)], dim=1)


class DialogueModel(nn.Module):
    """A model that recognises an emotion in a context and answers it.

    A kind of model makes its own parts between `__init__` and `add_output`, and says what they do in `emotion_logits`
    and `decoder_memory`. It is made in float32 with PyTorch's default values; `to(torch.float64)` and `to(device)` work
    as usual.
    """

    decoder: Decoder
    fc_decode: nn.Linear

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.noise_groups = config.noise_groups  # G, the number of noise vectors that `decoder_memory` takes
        self.word_embedding = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=PAD_ID)
        if config.speaker_table:
            self.speaker_embedding = nn.Embedding(3, config.hidden_size)  # user, agent, CTX
        self.context_encoder = Encoder(config, config.hidden_size, config.num_context_layers)

    def add_output(self, decoder: Decoder) -> None:
        """The decoder and eq. 29's FC_decode."""
        self.decoder = decoder
        self.fc_decode = nn.Linear(self.config.hidden_size, self.config.vocab_size)
        if self.config.tie_word_embeddings:
            self.fc_decode.weight = self.word_embedding.weight

    def emotion_logits(self, c: Tensor) -> Tensor:
        """s [B, 32] of eq. 4, or what takes its place, for the context vector c [B, C]."""
        raise NotImplementedError

    def decoder_memory(self, context: Context, emotion: Tensor, noise: Tensor | None) -> tuple[Memory, Mixture | None]:
        """What the decoder reads, and its response emotion where the model has one.

        Args:
            emotion: the user's, [B] (indices); a model without mimicry does not look at it.
            noise: standard normals, [B, G, C]; None: z = mu.
        """
        raise NotImplementedError

    def encode(self, context_ids: Tensor, state_ids: Tensor) -> Context:
        """Eq. 1-4.

        Args:
            context_ids: CTX and the words, padded with PAD on the right, [B, S].
            state_ids: who says each of them (CTX, USR or SYS), [B, S].
        """
        real = context_ids != PAD_ID
        words = self.word_embedding(context_ids)
        if self.config.speaker_table:
            speakers = self.speaker_embedding(state_ids.clamp(min=USR_ID) - USR_ID)
        else:
            speakers = self.word_embedding(state_ids)
        hidden = self.context_encoder((words + speakers) * math.sqrt(self.config.hidden_size), real)
        return Context(hidden, real, self.emotion_logits(hidden[:, 0]))

    def embed_response(self, ids: Tensor) -> Tensor:
        """E_W of response words, scaled; any shape of ids, one axis C more."""
        scaled: Tensor = self.word_embedding(ids) * math.sqrt(self.config.hidden_size)
        return scaled

    def decode(self, ids: Tensor, memory: Memory) -> Tensor:
        """O (eq. 28) [B, T, C] for prefixes that begin with SOS, [B, T]."""
        out: Tensor = self.decoder(self.embed_response(ids), ids, memory)
        return out

    def start_decoding(self, memory: Memory) -> DecoderState:
        """The cache before SOS, a row a dialogue."""
        return self.decoder.start(memory)

    def step(self, tokens: Tensor, state: DecoderState) -> Next[DecoderState]:
        """Logits and log P of eq. 29 after one more word per row, tokens [N]."""
        out, state = self.decoder.step(self.embed_response(tokens), tokens, state)
        logits = self.fc_decode(out)
        return Next(logits, logits.log_softmax(dim=-1), state)

    def select(self, state: DecoderState, rows: Tensor) -> DecoderState:
        """The state with the given rows; they may repeat, drop out or change places."""
        return state.select(rows)

    @property
    def vocab_size(self) -> int:
        """V."""
        return self.config.vocab_size

    def num_parameters(self) -> int:
        """Parameters, shared ones counted once."""
        return sum(parameter.numel() for parameter in self.parameters())
