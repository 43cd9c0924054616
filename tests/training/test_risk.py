"""Minimum risk training: gains by hand, the expectation against a slow way, and what a run makes of it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import mime_fast
from mime_fast.checkpoints.model_folder import load_model_folder
from mime_fast.config.model import MODEL_CONFIGS, ModelConfig
from mime_fast.data.batches import decoder_inputs
from mime_fast.data.empathetic_dialogues import read_pairs
from mime_fast.errors import ConfigError
from mime_fast.evaluation.metrics.bleu import corpus_bleu, count_matches
from mime_fast.reference.decoder import Memory
from mime_fast.reference.mime import Mime
from mime_fast.text.special import EOS_ID, PAD_ID
from mime_fast.training.candidates import CandidateSource
from mime_fast.training.losses import loss_terms
from mime_fast.training.recipe import Stage, check_stages
from mime_fast.training.risk import CandidateBatch, risk, shared_prefixes, word_cost
from mime_fast.training.run import train
from tests.parity import assert_close
from tests.reference.tiny import random_batch, tiny, tiny_model
from tests.training.small_run import metrics_of, stage, state_of

SAID = {"suppress_tokens": [0, 1, 3, 4, 5, 6]}  # as a run's own candidates
ROWS = [0, 0, 0, 1, 2, 2]
WORDS = [[7, 8, 9, EOS_ID], [7, 8, EOS_ID], [7, 9, 9, 9, 9], [10, EOS_ID], [8, 8, EOS_ID], [8, EOS_ID]]


def candidates() -> CandidateBatch:
    ids = torch.full((6, 5), PAD_ID)
    for n, words in enumerate(WORDS):
        ids[n, : len(words)] = torch.tensor(words)
    lengths = torch.tensor([float(sum(word != EOS_ID for word in words)) for words in WORDS])
    sizes = torch.tensor([len(words) for words in WORDS])
    return CandidateBatch(ids, sizes, torch.tensor(ROWS), torch.tensor([1.0, 0.0, 3.0, 2.0, 0.5, 4.0]), lengths)


def memory_of(model: Mime) -> Memory:
    generator = torch.Generator().manual_seed(4)
    fused = torch.randn(3, 5, model.config.hidden_size, dtype=torch.float64, generator=generator)
    return Memory(fused, torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True, False, False, False, False]]))


def slow_risk(model: Mime, memory: Memory, cost: float) -> tuple[Tensor, float]:
    """One candidate at a time, every prefix projected by itself."""
    several = candidates()
    scores = []
    for n, words in enumerate(WORDS):
        row = ROWS[n]
        ids = torch.tensor([words])
        out = model.decode(decoder_inputs(ids), Memory(memory.fused[row : row + 1], memory.real[row : row + 1]))
        scores.append(10 * model.fc_decode(out)[0].log_softmax(1)[torch.arange(len(words)), ids[0]].mean())
    loss, length = torch.zeros((), dtype=torch.float64), 0.0
    for row in range(3):
        mine = [n for n in range(6) if ROWS[n] == row]
        probs = torch.stack([scores[n] for n in mine]).softmax(0)
        for n, prob in zip(mine, probs, strict=True):
            loss = loss - prob * (several.gains[n].double() - cost * several.lengths[n].double())
            length += (prob * several.lengths[n]).item() / 3
    return loss, length


def test_risk_and_its_gradient() -> None:
    model = tiny_model().eval()
    memory = memory_of(model)
    found, length = risk(model, memory, candidates(), 0.07)
    expected, expected_length = slow_risk(model, memory, 0.07)
    assert_close(found, expected)
    assert length == pytest.approx(expected_length, rel=1e-6)
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
    terms = loss_terms(model, batch, noise, candidates=candidates(), word_cost=0.1)
    assert plain.risk == 0
    assert terms.risk != 0
    assert terms.reply_length > 0
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
    found, _ = risk(model, memory, several, 0.1)
    expected = torch.zeros(())
    for row in range(3):
        mine = several.rows == row
        alone = CandidateBatch(
            several.ids[mine],
            several.sizes[mine],
            torch.zeros_like(several.rows[mine]),
            several.gains[mine],
            several.lengths[mine],
        )
        expected = expected + risk(model, memory.select(torch.tensor([row])), alone, 0.1)[0]
    assert_close(found, expected.double())


def test_word_cost_is_the_slope_above_the_wanted_length() -> None:
    assert word_cost(15.0, 12.0) == pytest.approx(1 / 12, rel=1e-4)
    assert word_cost(9.0, 12.0) == pytest.approx(0, abs=1e-5)
    assert word_cost(12.0, 12.0) == pytest.approx(1 / 24)
    assert word_cost(0.0, 1e6) == pytest.approx(0, abs=1e-20)


@pytest.fixture
def start(data: Path, tmp_path: Path) -> Path:
    """The folder of a run whose beams say more than one thing."""
    train([stage(max_steps=12, generation=SAID)], data, tmp_path / "start", show_progress=False)
    return tmp_path / "start"


def test_candidates_and_gains(data: Path, start: Path) -> None:
    pairs = read_pairs(data, "train")
    folder = load_model_folder(start)
    source = CandidateSource(folder.model, folder.tokenizer, pairs, seed=3)
    engine = mime_fast.load(start, device="cpu", threads=1, precision="int8")
    indices = [5, 0, 30]
    found, again = source(indices), source(indices)
    for name in ("ids", "sizes", "rows", "gains", "lengths"):
        assert torch.equal(getattr(found, name), getattr(again, name))
    assert sorted(set(found.rows.tolist())) == [0, 1, 2]
    assert len({(row, *ids) for row, ids in zip(found.rows.tolist(), found.ids.tolist(), strict=True)}) == len(
        found.ids
    )
    replies = engine.generate([pair.context for pair in pairs], seed=3, num_beams=5, max_new_tokens=30)
    references = engine.tokenizer.tokenize_batch([pair.response for pair in pairs])
    mean = np.mean([count_matches(r.tokens, g)[0] for r, g in zip(replies, references, strict=True)], axis=0)
    for row, ids, gain, length in zip(found.rows, found.ids, found.gains, found.lengths, strict=True):
        words = [engine.tokenizer.words[i] for i in ids.tolist() if i not in (PAD_ID, EOS_ID)]
        assert len(words) == length
        correct, _ = count_matches(words, references[indices[row]])
        expected = np.mean(np.array(correct) / np.maximum(mean, 1 / len(pairs)))
        assert gain.item() == pytest.approx(expected, rel=1e-5)
    for i, row in zip(indices, range(3), strict=True):
        best = torch.tensor(replies[i].token_ids)
        same = [ids for ids in found.ids[found.rows == row] if torch.equal(ids[: len(best)], best)]
        assert same, "the beam's best reply is one of the candidates"


def test_the_gain_is_bleu_to_first_order() -> None:
    """Swap one reply of a corpus: BLEU's logarithm changes by the difference of gains, less the cost of words."""
    draw = np.random.default_rng(1)
    words = [list("abcdef"[i] for i in draw.integers(0, 6, size=14)) for _ in range(12_000)]
    replies, references = words[:6000], words[6000:]
    counts = [count_matches(reply, reference) for reply, reference in zip(replies, references, strict=True)]
    mean = np.mean([correct for correct, _ in counts], axis=0)
    before = math.log(corpus_bleu(replies, references))
    for other in (references[0][:12], references[0] + ["a", "b"], ["a"] * 14):
        after = math.log(corpus_bleu([other, *replies[1:]], references))
        gain = np.mean((np.array(count_matches(other, references[0])[0]) - counts[0][0]) / mean)
        longer = len(other) - 14
        cost = np.mean([1 / (14 - n) for n in range(4)]) - (1 / 14 if longer < 0 else 0)  # the brevity penalty
        assert (after - before) * 6000 == pytest.approx(gain - cost * longer, rel=0.02, abs=0.02)


def test_descent_finds_the_best_candidates() -> None:
    """Each context's best gain less the cost of its words: 3 - 5 cost, 2 - cost, 4 - cost."""
    model = tiny_model().eval()
    memory = memory_of(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        loss, length = risk(model, memory, candidates(), 0.1)
        loss.backward()
        optimizer.step()
    assert loss.item() == pytest.approx(-(2.5 + 1.9 + 3.9), abs=0.1)
    assert length == pytest.approx((5 + 1 + 1) / 3, abs=0.1)


def test_a_run_looks_at_its_weights_every_ten_steps(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    follow = CandidateSource.follow

    def noting(self: CandidateSource, model: Mime) -> None:
        seen.append(model.fc_decode.weight.detach().clone())
        follow(self, model)

    monkeypatch.setattr(CandidateSource, "follow", noting)
    plan = [stage(max_steps=12, generation=SAID), stage(max_steps=21, risk_weight=1.0)]
    train(plan, data, tmp_path / "out", show_progress=False)
    started, *during = seen
    assert len(during) == 3  # before steps 1, 11 and 21
    assert torch.equal(during[0], started)
    assert not torch.equal(during[1], during[2])
    assert metrics_of(tmp_path / "out")[-1]["risk"] != 0
    assert state_of(tmp_path / "out")["progress"]["reply_length"] > 0


def test_candidates_follow_the_weights(data: Path, start: Path, tmp_path: Path) -> None:
    pairs = read_pairs(data, "train")
    train([stage(max_steps=30, seed=5)], data, tmp_path / "other", show_progress=False)
    first, other = (load_model_folder(folder) for folder in (start, tmp_path / "other"))
    source = CandidateSource(first.model, first.tokenizer, pairs, seed=3)
    before = source([0, 1, 2]).ids
    source.follow(other.model)
    after = source([0, 1, 2]).ids
    assert not torch.equal(before, after)
    assert torch.equal(after, CandidateSource(other.model, first.tokenizer, pairs, seed=3)([0, 1, 2]).ids)


def test_where_it_is_allowed() -> None:
    with pytest.raises(ConfigError, match=r"risk_weight=2.0 with extra_epochs"):
        Stage(risk_weight=2.0, extra_epochs={"situations": 1})
    with pytest.raises(ConfigError, match=r"stage 1: risk_weight=2.0 needs a stage before"):
        check_stages([Stage(risk_weight=2.0)])
