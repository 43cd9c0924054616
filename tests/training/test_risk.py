"""Minimum risk training: the expectation against a slow way, its gradient, and what descent makes of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mime_fast.config.model import MODEL_CONFIGS, ModelConfig
from mime_fast.data.batches import decoder_inputs
from mime_fast.errors import ConfigError
from mime_fast.reference.decoder import Memory
from mime_fast.reference.mime import Mime
from mime_fast.text.special import EOS_ID, PAD_ID
from mime_fast.training.losses import loss_terms
from mime_fast.training.recipe import Stage, check_stages
from mime_fast.training.risk import CandidateBatch, risk, shared_prefixes
from tests.parity import assert_close
from tests.reference.tiny import random_batch, tiny, tiny_model

ROWS = [0, 0, 0, 1, 2, 2]
WORDS = [[7, 8, 9, EOS_ID], [7, 8, EOS_ID], [7, 9, 9, 9, 9], [10, EOS_ID], [8, 8, EOS_ID], [8, EOS_ID]]


def candidates() -> CandidateBatch:
    ids = torch.full((6, 5), PAD_ID)
    for n, words in enumerate(WORDS):
        ids[n, : len(words)] = torch.tensor(words)
    sizes = torch.tensor([len(words) for words in WORDS])
    return CandidateBatch(ids, sizes, torch.tensor(ROWS), torch.tensor([1.0, 0.0, 3.0, 2.0, 0.5, 4.0]))


def memory_of(model: Mime) -> Memory:
    generator = torch.Generator().manual_seed(4)
    fused = torch.randn(3, 5, model.config.hidden_size, dtype=torch.float64, generator=generator)
    return Memory(fused, torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True, False, False, False, False]]))


def slow_risk(model: Mime, memory: Memory) -> Tensor:
    """One candidate at a time, every prefix projected by itself."""
    several = candidates()
    scores = []
    for n, words in enumerate(WORDS):
        row = ROWS[n]
        ids = torch.tensor([words])
        out = model.decode(decoder_inputs(ids), Memory(memory.fused[row : row + 1], memory.real[row : row + 1]))
        scores.append(10 * model.fc_decode(out)[0].log_softmax(1)[torch.arange(len(words)), ids[0]].mean())
    loss = torch.zeros((), dtype=torch.float64)
    for row in range(3):
        mine = [n for n in range(6) if ROWS[n] == row]
        probs = torch.stack([scores[n] for n in mine]).softmax(0)
        for n, prob in zip(mine, probs, strict=True):
            loss = loss - prob * several.gains[n].double()
    return loss


def test_risk_and_its_gradient() -> None:
    model = tiny_model().eval()
    memory = memory_of(model)
    found, expected = risk(model, memory, candidates()), slow_risk(model, memory)
    assert_close(found, expected)
    weights = [model.fc_decode.weight, model.word_embedding.weight]
    for one, other in zip(torch.autograd.grad(found, weights), torch.autograd.grad(expected, weights), strict=True):
        assert_close(one, other)


def test_shared_prefixes_are_projected_once() -> None:
    """SOS; 7; 7 8; 7 8 9; 7 9; 7 9 9; 7 9 9 9 of the first context, SOS; 10 of the second, SOS; 8; 8 8 of the third."""
    several = candidates()
    (found, at), nodes = shared_prefixes(several)
    assert len(found) == len(at) == 12
    said = [tuple(WORDS[n][:t]) for n, t in zip(found.tolist(), at.tolist(), strict=True)]
    for n, words in enumerate(WORDS):
        for t in range(len(words)):
            node = nodes[n, t]
            assert said[node] == tuple(words[:t])
            assert ROWS[found[node]] == ROWS[n]


def test_loss_terms_have_the_risk_for_the_batch() -> None:
    model, batch = tiny_model(), random_batch([3, 6, 1], [4, 2, 6])
    noise = torch.zeros(3, 2 * model.noise_groups, model.config.hidden_size, dtype=torch.float64)
    plain = loss_terms(model, batch, noise)
    terms = loss_terms(model, batch, noise, candidates=candidates())
    assert plain.risk == 0
    assert terms.risk != 0
    assert torch.equal(terms.response, plain.response)
    assert_close(terms.total(risk=2.0), plain.total() + 2 * terms.risk)


@pytest.mark.parametrize("kind", MODEL_CONFIGS.values())
def test_a_model_of_any_kind_has_a_risk(kind: type[ModelConfig]) -> None:
    """A candidate in the batch has the log-probs that it has beside its own context."""
    model, batch = tiny(kind), random_batch([3, 6, 1], [4, 2, 6])
    memory, _ = model.decoder_memory(
        model.encode(batch.context_ids, batch.state_ids), batch.emotion, torch.zeros(3, 2, model.config.hidden_size)
    )
    several = candidates()
    found = risk(model, memory, several)
    expected = torch.zeros(())
    for row in range(3):
        mine = several.rows == row
        alone = CandidateBatch(
            several.ids[mine],
            several.sizes[mine],
            torch.zeros_like(several.rows[mine]),
            several.gains[mine],
        )
        expected = expected + risk(model, memory.select(torch.tensor([row])), alone)
    assert_close(found, expected.double())


def test_descent_finds_the_best_candidates() -> None:
    """Each context's best gain: 3, 2 and 4."""
    model = tiny_model().eval()
    memory = memory_of(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        loss = risk(model, memory, candidates())
        loss.backward()
        optimizer.step()
    assert loss.item() == pytest.approx(-(3 + 2 + 4), abs=0.1)


def test_where_it_is_allowed() -> None:
    with pytest.raises(ConfigError, match=r"risk_weight=2.0 with extra_epochs"):
        Stage(risk_weight=2.0, sentence_teacher_steps=1, extra_epochs={"situations": 1})
    with pytest.raises(ConfigError, match=r"risk_weight=2.0 with sentence_teacher_steps=0: it must be above 0"):
        Stage(risk_weight=2.0)
    with pytest.raises(ConfigError, match=r"stage 1: risk_weight=2.0 needs a stage before"):
        check_stages([Stage(risk_weight=2.0, sentence_teacher_steps=1)])
