"""The risk's candidates and gains: by hand, with the encoder of the right fold, and what a run makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import mime_fast
from mime_fast.checkpoints.model_folder import load_model_folder
from mime_fast.data.empathetic_dialogues import Pair, read_pairs
from mime_fast.engine.results import Candidate
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.text.special import EOS_ID
from mime_fast.training.candidates import SEARCHES, CandidateSource, quick_engine
from mime_fast.training.gains import LIKELIHOOD, AnswerGain
from mime_fast.training.run import train
from mime_fast.training.sentence_encoder import SentenceEncoder, Subworder, given_replies, wanted_replies
from mime_fast.training.trainer import Trainer
from tests.training.small_run import metrics_of, stage, state_of

SAID = {"suppress_tokens": [0, 1, 3, 4, 5, 6]}


@pytest.fixture
def start(data: Path, tmp_path: Path) -> Path:
    train([stage(max_steps=12, generation=SAID)], data, tmp_path / "start", show_progress=False)
    return tmp_path / "start"


def answers_of(encoder: Path, pairs: list[Pair], start: Path) -> AnswerGain:
    """Two different encoders, which take turns."""
    torch.manual_seed(3)
    encoders = [SentenceEncoder(encoder).eval() for _ in range(2)]
    with torch.no_grad():
        encoders[1].wanted.weight.copy_(torch.randn(encoders[1].size, encoders[1].size))
    folder = load_model_folder(start)
    engine = quick_engine(folder.model, folder.tokenizer)
    return AnswerGain(encoders, Subworder(encoder), [pair.context for pair in pairs], np.arange(len(pairs)) % 2, engine)


def test_gains_by_hand(data: Path, start: Path, encoder: Path) -> None:
    pairs = read_pairs(data, "train")
    answers = answers_of(encoder, pairs, start)
    folder = load_model_folder(start)
    source = CandidateSource(folder.model, folder.tokenizer, pairs, 3, answers)
    indices = [5, 0, 30]
    found, again = source(indices), source(indices)
    for name in ("ids", "sizes", "rows", "gains"):
        assert torch.equal(getattr(found, name), getattr(again, name))
    replies = [[each for search in SEARCHES for each in source._search([i], search)[0]] for i in indices]
    assert len(found.rows) == sum(len({(*each.token_ids, each.finish_reason) for each in some}) for some in replies)
    assert len({each.text for some in replies for each in some}) > 6  # draws differ
    for row, several in enumerate(replies):
        said = {(*each.token_ids, *[EOS_ID] * (each.finish_reason == "eos")) for each in several}
        mine = found.rows == row
        sizes = found.sizes[mine].tolist()
        assert {tuple(ids[:size]) for ids, size in zip(found.ids[mine].tolist(), sizes, strict=True)} == said
    for row, i in enumerate(indices):
        tuned = answers.encoders[i % 2]
        (wanted,) = wanted_replies(tuned, answers.subworder, [pairs[i].context])
        expected = set()
        for each in replies[row]:
            if each.tokens:
                (given,) = given_replies(tuned, answers.subworder, [each.text])
                (score,) = answers.engine.score([pairs[i].context], [each.tokens], request_ids=[i])
                expected.add(float(given @ wanted) + LIKELIHOOD * score.logprob)
            else:
                expected.add(LIKELIHOOD * each.logprob - 1)
        gains = found.gains[found.rows == row].tolist()
        assert all(min(abs(gain - other) for other in expected) < 3e-3 for gain in gains)
        assert all(min(abs(gain - other) for other in gains) < 3e-3 for gain in expected)


def test_replies_that_are_known_are_not_read_again(
    data: Path, start: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = read_pairs(data, "train")
    answers = answers_of(encoder, pairs, start)
    engine = answers.engine
    candidates = [reply.candidates[0] for reply in engine.generate([pair.context for pair in pairs[:6]])]
    before = answers([0, 1, 2, 3, 4, 5], candidates)
    monkeypatch.setattr("mime_fast.training.gains.given_replies", lambda *_: np.zeros((0, 16), dtype=np.float32))
    assert answers([0, 1, 2, 3, 4, 5], candidates) == before


def test_where_a_run_may_go_on_no_reply_is_known(data: Path, start: Path, encoder: Path) -> None:
    """A state is saved only where the candidates follow new weights; a process that goes on from it knows none."""
    pairs, folder = read_pairs(data, "train"), load_model_folder(start)
    answers = answers_of(encoder, pairs, start)
    source = CandidateSource(folder.model, folder.tokenizer, pairs, 3, answers)
    source([0, 1])
    assert all(answers.given)
    source.follow(folder.model)
    assert not any(answers.given)


def test_candidates_follow_the_weights(data: Path, start: Path, encoder: Path, tmp_path: Path) -> None:
    pairs = read_pairs(data, "train")
    train([stage(max_steps=30, seed=5)], data, tmp_path / "other", show_progress=False)
    first, other = (load_model_folder(folder) for folder in (start, tmp_path / "other"))
    answers = answers_of(encoder, pairs, start)
    source = CandidateSource(first.model, first.tokenizer, pairs, 3, answers)
    before = source([0, 1, 2]).ids
    source.follow(other.model)
    after = source([0, 1, 2]).ids
    assert not torch.equal(before, after)
    assert torch.equal(after, CandidateSource(other.model, first.tokenizer, pairs, 3, answers)([0, 1, 2]).ids)


def test_a_run_looks_at_its_weights_every_ten_steps(
    data: Path, tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    follow = CandidateSource.follow

    def noting(self: CandidateSource, model: DialogueModel) -> None:
        seen.append(model.fc_decode.weight.detach().clone())
        follow(self, model)

    monkeypatch.setattr(CandidateSource, "follow", noting)
    plan = [stage(max_steps=12, generation=SAID), stage(max_steps=21, risk_weight=1.0, sentence_teacher_steps=1)]
    train(plan, data, tmp_path / "out", sentence_encoder=encoder, show_progress=False)
    started, *during = seen
    assert len(during) == 3  # before steps 1, 11 and 21
    assert torch.equal(during[0], started)
    assert not torch.equal(during[1], during[2])
    assert metrics_of(tmp_path / "out")[-1]["risk"] != 0


def test_a_run_learns_what_is_worth_saying(
    data: Path, tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where long replies are worth more, they become longer; the weights of the stage's beginning stay at hand."""
    seen: list[AnswerGain] = []

    def longer(self: AnswerGain, pairs: Sequence[int], candidates: Sequence[Candidate]) -> list[float]:
        seen.append(self)
        assert len(pairs) == len(candidates)
        return [len(each.tokens) / 10 for each in candidates]

    monkeypatch.setattr(AnswerGain, "__call__", longer)
    first = stage(max_steps=12, generation=SAID)
    second = stage(max_steps=30, risk_weight=40.0, sentence_teacher_steps=2, gamma=0.0, alpha=0.0)
    train([first, second], data, tmp_path / "out", sentence_encoder=encoder, show_progress=False)
    contexts = [pair.context for pair in read_pairs(data, "train")]
    begun, ended = (mime_fast.load(tmp_path / "out" / name, threads=1) for name in ("stage-1", ""))
    before, after = (mean_length(engine, contexts) for engine in (begun, ended))
    assert after > before + 1
    (answers,) = {id(each): each for each in seen}.values()
    assert len(answers.folds) == len(contexts)
    assert set(answers.folds.tolist()) == {0, 1}
    said = ["the dog again"] * len(contexts)
    kept, at_first, at_last = (
        np.array([score.logprob for score in engine.score(contexts, said)]) for engine in (answers.engine, begun, ended)
    )
    assert np.abs(kept - at_first).max() < 0.3  # int8 and float32
    assert np.abs(kept - at_last).min() > 0.3


def mean_length(engine: mime_fast.Engine, contexts: list[list[str]]) -> float:
    replies = engine.generate(contexts, do_sample=True, temperature=0.8, top_p=0.9, max_new_tokens=30)
    return float(np.mean([len(reply.tokens) for reply in replies]))


def test_a_killed_run_goes_on_bit_for_bit(
    data: Path, tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    risky = stage(max_steps=24, eval_every_steps=10, risk_weight=40.0, sentence_teacher_steps=2)
    plan = [stage(max_steps=12, generation=SAID), risky]
    train(plan, data, tmp_path / "unbroken", sentence_encoder=encoder, show_progress=False)
    step = Trainer._step

    def dying(self: Trainer, indices: Sequence[int]) -> dict[str, float]:
        if self.candidates and self.progress.step == 15:
            raise KeyboardInterrupt
        return step(self, indices)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_step", dying)
        train(plan, data, tmp_path / "broken", sentence_encoder=encoder, show_progress=False)
    train(plan, data, tmp_path / "broken", sentence_encoder=encoder, show_progress=False)
    states = [state_of(tmp_path / name)["model"] for name in ("unbroken", "broken")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
