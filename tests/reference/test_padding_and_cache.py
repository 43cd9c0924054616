"""Padding changes nothing; one position at a time equals whole prefixes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mime_fast.config.model import MimeConfig, ModelConfig, MoelConfig, MultiTaskConfig
from mime_fast.reference.decoder import DecoderLayer, Memory
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.mime import FusedMemory, Mime
from mime_fast.reference.moel import MoelMemory
from mime_fast.reference.noise import prior_noise, training_noise
from mime_fast.text.special import PAD_ID, SOS_ID
from tests.parity import assert_close
from tests.reference.tiny import SMALL, random_contexts, tiny, tiny_model

LENGTHS = [1, 7, 2, 13, 5]
MODELS = pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (MimeConfig, {"preset": "paper"}),
        (MimeConfig, {"preset": "released"}),
        (MimeConfig, {"preset": "paper", "num_layers": 3}),
        (MultiTaskConfig, {"preset": "paper"}),
        (MultiTaskConfig, {"preset": "released"}),
        (MoelConfig, {"preset": "paper", "num_layers": 2}),
        (MoelConfig, {"preset": "released"}),
    ],
)


def remember(model: DialogueModel, lengths: list[int], keep: slice) -> tuple[Memory, torch.Tensor]:
    """The memory of some contexts, cut to their own longest."""
    ids, states = random_contexts(lengths)
    width = max(lengths[keep]) + 1
    context = model.encode(ids[keep, :width], states[keep, :width])
    requests = list(range(len(lengths)))[keep]
    noise = prior_noise(model, [7] * len(requests), requests)
    memory, _ = model.decoder_memory(context, context.emotion_logits.argmax(1), noise)
    return memory, context.emotion_logits


@MODELS
def test_a_padded_batch_equals_its_singles(kind: type[ModelConfig], changes: dict[str, Any]) -> None:
    model = tiny(kind, **changes)
    batch, logits = remember(model, LENGTHS, slice(None))
    for i, length in enumerate(LENGTHS):
        single, single_logits = remember(model, LENGTHS, slice(i, i + 1))
        rows = length + (0 if isinstance(model, Mime) and model.config.drop_ctx else 1)
        assert single.fused.shape[1] == rows
        assert_close(batch.fused[i, :rows], single.fused[0])
        if isinstance(batch, FusedMemory) and isinstance(single, FusedMemory):
            assert_close(batch.mimic_share[i, :rows], single.mimic_share[0])
        if isinstance(batch, MoelMemory) and isinstance(single, MoelMemory):
            assert_close(batch.weights[i], single.weights[0])
        assert not batch.real[i, rows:].any()
        assert_close(logits[i], single_logits[0])


@MODELS
def test_padding_is_not_in_the_mean_of_a_context(kind: type[ModelConfig], changes: dict[str, Any]) -> None:
    model = tiny(kind, **changes)
    ids, states = random_contexts(LENGTHS)
    vectors = model.encode(ids, states).vectors
    for i, length in enumerate(LENGTHS):
        rows = slice(0, length + 1)
        assert_close(vectors[i], model.encode(ids[i : i + 1, rows], states[i : i + 1, rows]).vectors[0])


@MODELS
def test_padding_changes_no_log_prob(kind: type[ModelConfig], changes: dict[str, Any]) -> None:
    model = tiny(kind, **changes)
    batch, _ = remember(model, LENGTHS, slice(None))
    ids = torch.tensor([[SOS_ID, 8, 9, 10]] * len(LENGTHS))
    out = model.decode(ids, batch)
    for i in range(len(LENGTHS)):
        single, _ = remember(model, LENGTHS, slice(i, i + 1))
        assert_close(out[i], model.decode(ids[:1], single)[0])


def prefixes() -> torch.Tensor:
    """A row for each context; generated PADs are in some, which later positions do not see, nor they themselves."""
    ids = torch.randint(7, 29, (len(LENGTHS), 9), generator=torch.Generator().manual_seed(2))
    ids[:, 0] = SOS_ID
    ids[1, 4] = ids[2, 1] = ids[2, 2] = PAD_ID
    return ids


@MODELS
def test_steps_equal_whole_prefixes(kind: type[ModelConfig], changes: dict[str, Any]) -> None:
    model = tiny(kind, **changes)
    memory, _ = remember(model, LENGTHS, slice(None))
    ids = prefixes()
    whole = model.fc_decode(model.decode(ids, memory)).log_softmax(-1)
    state = model.start_decoding(memory)
    for t in range(ids.shape[1]):
        _, logprobs, state = model.step(ids[:, t], state)
        assert_close(logprobs, whole[:, t])


@MODELS
def test_selected_rows_go_on_as_their_originals(kind: type[ModelConfig], changes: dict[str, Any]) -> None:
    """Rows change places, repeat and drop out, their number too or not; in MoEL, so do some listeners."""
    model = tiny(kind, **changes)
    memory, _ = remember(model, LENGTHS, slice(None))
    ids = prefixes()
    whole = model.fc_decode(model.decode(ids, memory)).log_softmax(-1)
    state, rows = model.start_decoding(memory), torch.arange(5)
    picks = {2: torch.tensor([4, 1, 0, 2, 2, 1]), 4: torch.tensor([5, 3, 0, 1, 2, 4]), 6: torch.tensor([5, 3, 3])}
    for t in range(ids.shape[1]):
        if t in picks:
            state, rows = model.select(state, picks[t]), rows[picks[t]]
        _, logprobs, state = model.step(ids[rows, t], state)
        assert_close(logprobs, whole[rows, t])
    assert rows.tolist() == [2, 1, 1]


def test_a_generated_pad_is_not_seen() -> None:
    model = tiny_model()
    memory, _ = remember(model, [4], slice(None))
    ids = torch.tensor([[SOS_ID, PAD_ID, 9]])
    seen = model.decoder(model.embed_response(ids), torch.tensor([[SOS_ID, 8, 9]]), memory)
    assert (model.decode(ids, memory)[0, 2] - seen[0, 2]).abs().max() > 1e-3


def test_float32_agrees_with_float64() -> None:
    exact = tiny_model()
    single = tiny_model().float()
    ids, states = random_contexts(LENGTHS)
    assert_close(single.encode(ids, states).hidden, exact.encode(ids, states).hidden)


def test_a_fully_masked_row_is_uniform() -> None:
    """The released code replaces scores by a large negative number, so a row with only masked keys averages."""
    model = tiny_model()
    layer = model.decoder.layers[0]
    assert isinstance(layer, DecoderLayer)
    attention = layer.memory_attention
    memory = torch.randn(1, 3, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    keys, values = attention.project(memory)
    masked = torch.ones(1, 1, 1, 3, dtype=torch.bool)
    assert_close(
        attention(memory[:, :1], keys, values, masked), attention.output(attention.value(memory.mean(1, keepdim=True)))
    )


def test_noise_differs_between_groups_requests_seeds_and_epochs() -> None:
    model = Mime(MimeConfig.paper(29, **SMALL))
    first = prior_noise(model, [1, 1, 2], [0, 1, 0])
    rows = [*first.flatten(0, 1), *training_noise(model, 1, [0, 1], 1).flatten(0, 1)]
    assert len({tuple(row.tolist()) for row in rows}) == len(rows) == 14
    assert torch.equal(training_noise(model, 1, [0, 1], 0)[:, :2], first[:2])
    assert torch.equal(prior_noise(model, [1], [1])[0], first[1])
