"""Padding changes nothing; one position at a time equals whole prefixes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mime_fast.config import MimeConfig
from mime_fast.reference.mime import FusedMemory, Mime
from mime_fast.reference.noise import prior_noise, training_noise
from mime_fast.text.special import PAD_ID, SOS_ID
from tests.parity import assert_close
from tests.reference.tiny import SMALL, random_contexts, tiny_model

LENGTHS = [1, 7, 2, 13, 5]
PRESETS: list[dict[str, Any]] = [{"preset": "paper"}, {"preset": "released"}, {"preset": "paper", "num_layers": 3}]


def remember(model: Mime, lengths: list[int], keep: slice) -> tuple[FusedMemory, torch.Tensor]:
    """The memory of some contexts, cut to their own longest."""
    ids, states = random_contexts(lengths)
    width = max(lengths[keep]) + 1
    context = model.encode(ids[keep, :width], states[keep, :width])
    requests = list(range(len(lengths)))[keep]
    mixture = model.sample(context.c, prior_noise(model, [7] * len(requests), requests))
    return model.remember(context, mixture, context.emotion_logits.argmax(1)), context.emotion_logits


@pytest.mark.parametrize("changes", PRESETS)
def test_a_padded_batch_equals_its_singles(changes: dict[str, Any]) -> None:
    model = tiny_model(**changes)
    batch, logits = remember(model, LENGTHS, slice(None))
    for i, length in enumerate(LENGTHS):
        single, single_logits = remember(model, LENGTHS, slice(i, i + 1))
        rows = length + (0 if model.config.drop_ctx else 1)
        assert single.fused.shape[1] == rows
        assert_close(batch.fused[i, :rows], single.fused[0])
        assert_close(batch.mimic_share[i, :rows], single.mimic_share[0])
        assert not batch.real[i, rows:].any()
        assert_close(logits[i], single_logits[0])


@pytest.mark.parametrize("changes", PRESETS)
def test_padding_changes_no_log_prob(changes: dict[str, Any]) -> None:
    model = tiny_model(**changes)
    batch, _ = remember(model, LENGTHS, slice(None))
    ids = torch.tensor([[SOS_ID, 8, 9, 10]] * len(LENGTHS))
    out = model.decode(ids, batch)
    for i in range(len(LENGTHS)):
        single, _ = remember(model, LENGTHS, slice(i, i + 1))
        assert_close(out[i], model.decode(ids[:1], single)[0])


@pytest.mark.parametrize("changes", PRESETS)
def test_steps_equal_whole_prefixes(changes: dict[str, Any]) -> None:
    """A generated PAD included, which later positions do not see, nor it itself."""
    model = tiny_model(**changes)
    memory, _ = remember(model, LENGTHS, slice(None))
    ids = torch.randint(7, 29, (len(LENGTHS), 9), generator=torch.Generator().manual_seed(2))
    ids[:, 0] = SOS_ID
    ids[1, 4] = ids[2, 1] = ids[2, 2] = PAD_ID
    whole = model.fc_decode(model.decode(ids, memory)).log_softmax(-1)
    state = model.start_decoding(memory)
    for t in range(ids.shape[1]):
        logprobs, state = model.step(ids[:, t], state)
        assert_close(logprobs, whole[:, t])


def test_a_generated_pad_is_not_seen() -> None:
    model = tiny_model()
    memory, _ = remember(model, [4], slice(None))
    ids = torch.tensor([[SOS_ID, PAD_ID, 9]])
    seen = model.decoder(model.embed_response(ids), torch.tensor([[SOS_ID, 8, 9]]), memory)
    assert (model.decode(ids, memory)[0, 2] - seen[0, 2]).abs().max() > 1e-3


def test_selected_rows_go_on_as_their_originals() -> None:
    model = tiny_model(num_layers=2)
    memory, _ = remember(model, LENGTHS, slice(None))
    state = model.start_decoding(memory)
    _, state = model.step(torch.full((5,), SOS_ID), state)
    _, state = model.step(torch.arange(7, 12), state)
    rows = torch.tensor([4, 0, 0, 2])
    expected, _ = model.step(torch.arange(10, 15), state)
    picked, _ = model.step(torch.arange(10, 15)[rows], model.select(state, rows))
    assert_close(picked, expected[rows])


def test_float32_agrees_with_float64() -> None:
    exact = tiny_model()
    single = tiny_model().float()
    ids, states = random_contexts(LENGTHS)
    assert_close(single.encode(ids, states).hidden, exact.encode(ids, states).hidden)


def test_a_fully_masked_row_is_uniform() -> None:
    """The released code replaces scores by a large negative number, so a row with only masked keys averages."""
    model = tiny_model()
    attention = model.decoder.layers[0].memory_attention
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
