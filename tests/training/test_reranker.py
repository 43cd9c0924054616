"""The reranker's training: it learns what its teacher tells apart, of the right fold, once a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mime_fast
from mime_fast.checkpoints.reranker import RERANKER
from mime_fast.data.empathetic_dialogues import read_pairs
from mime_fast.engine.choice import _Replies
from mime_fast.errors import ConfigError
from mime_fast.reference.hypothesis import Hypothesis
from mime_fast.training import reranker as training
from mime_fast.training import run, towers
from mime_fast.training.reranker import ONLY_ASKS, Lists, _divergence, _Learner, only_asks
from mime_fast.training.run import train
from mime_fast.training.towers import context_vectors
from tests.training.small_run import stage
from tests.training.tiny_encoder import write_encoder

DRAWN = {"do_sample": True, "num_beams": 1, "max_new_tokens": 6, "suppress_tokens": [0, 1, 3, 4, 5, 6]}


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "encoder")


def made_up(count: int, seed: int) -> Lists:
    """Contexts that want a direction which their vectors show, and replies that give one which theirs show."""
    random = torch.Generator().manual_seed(seed)
    turn, other = (torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(s)))[0] for s in (1, 2))
    contexts, replies = torch.randn(count, 8, generator=random), torch.randn(5 * count, 8, generator=random)
    unit = torch.nn.functional.normalize
    places = [torch.arange(5 * row, 5 * row + 5) for row in range(count)]
    wanted, given = unit(contexts @ turn, dim=1), unit(replies @ other, dim=1)
    return Lists(3 * contexts + 1, replies / 2, places, wanted, given, torch.zeros(len(replies)))


def test_it_learns_what_the_teacher_tells_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(towers, "HIDDEN", 64)
    monkeypatch.setattr(towers, "WIDTH", 16)
    learner = _Learner([made_up(600, 3), made_up(400, 4)], seed=1)
    before = learner.correlation()
    learner.wanted.train()
    learner.given.train()
    learner.run(show_progress=False)
    after = learner.correlation()
    assert before is not None and after is not None
    assert abs(before) < 0.3 and after > 0.8
    lists = learner.lists[0]
    learnt = learner.reranker()
    with torch.no_grad():
        seen = learner.cosines(lists.contexts[:7], lists.replies[:9]).numpy()
    wanted, given = learnt.wanted(lists.contexts[:7].numpy()), learnt.given(lists.replies[:9].numpy())
    np.testing.assert_allclose(wanted @ given.T, seen, atol=1e-5)


def test_the_divergence_by_hand() -> None:
    told, seen = torch.tensor([[1.0, 0.0, 5.0], [0.0, 2.0, 0.0]]), torch.tensor([[0.0, 0.0, 9.0], [0.0, 2.0, 1.0]])
    counts = torch.tensor([[True, True, False], [True, True, True]])
    first = torch.tensor([1.0, 0.0]).softmax(0)
    second, model = told[1].softmax(0), seen[1].softmax(0)
    expected = ((first * (first.log() - np.log(0.5))).sum() + (second * (second.log() - model.log())).sum()) / 2
    assert _divergence(told, seen, counts).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("what happened?", True),
        ("why is that ? what did you do ? ", True),
        ("oh no! what happened?", False),
        ("oh no, what happened?", False),
        ("what happened? i am sorry.", False),
        ("that is great", False),
        ("", False),
    ],
)
def test_what_only_asks(text: str, asks: bool) -> None:
    assert only_asks(text) is asks
    lists = made_up(1, 0)
    lists.asks[0] = float(asks)
    plain = lists.wanted @ lists.given.T
    expected = plain[0, 0].item() - ONLY_ASKS * asks
    assert lists.teach(torch.tensor([0]), torch.tensor([0]))[0, 0].item() == pytest.approx(expected, abs=1e-6)


def test_a_run_makes_one(
    data: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """From the last stage's weights, by the encoder of the other fold, once; a run that goes on does not repeat it."""
    seen: list[Any] = []
    lists_of = training._lists

    def noting(*asked: Any) -> Lists:
        seen.append((asked[3].folds, asked[2], asked[4], lists_of(*asked)))
        return seen[-1][-1]  # type: ignore[no-any-return]

    monkeypatch.setattr(training, "_lists", noting)
    last = stage(max_steps=8, generation=DRAWN, sentence_teacher_steps=2, reranker_contexts=45)
    stages = [stage(max_steps=8, generation=DRAWN), last]
    train(stages, data, tmp_path / "out", sentence_encoder=encoder, show_progress=True)
    assert "reranker: correlation with its teacher" in capfd.readouterr().err
    pairs = read_pairs(data, "train")
    assert sum(len(numbers) for _, numbers, _, _ in seen) == 45
    for folds, numbers, fold, lists in seen:
        assert all(folds[number] == fold for number in numbers)
        assert all(1 <= len(places) <= training.DRAWS + 1 for places in lists.places)
        assert lists.contexts.shape[0] == len(numbers) == len(lists.places)
        responses = {pairs[number].response for number in numbers}
        assert len(lists.replies) >= len(responses)
    out = tmp_path / "out" / RERANKER
    assert not (tmp_path / "out" / "stage-1" / RERANKER).exists()
    engine = mime_fast.load(tmp_path / "out", threads=1)
    assert engine.reranker is not None and engine.reranker.weight == training.WEIGHT
    contexts = [pair.context for pair in pairs[:6]]
    best, plain = (engine.generate(contexts, best_of=n) for n in (8, 1))
    assert [reply.text for reply in best] != [reply.text for reply in plain]
    made = out.read_bytes()
    monkeypatch.setattr(run, "train_reranker", lambda *_: pytest.fail("made again"))
    train(stages, data, tmp_path / "out", sentence_encoder=encoder, show_progress=False)
    assert out.read_bytes() == made
    monkeypatch.undo()
    out.unlink()
    train(stages, data, tmp_path / "out", sentence_encoder=encoder, show_progress=False)
    assert out.read_bytes() == made  # a function of the run


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reranker_contexts": -1}, r"reranker_contexts=-1"),
        ({"reranker_contexts": 5, "generation": DRAWN}, r"reranker_contexts=5 with sentence_teacher_steps=0"),
        ({"reranker_contexts": 5, "sentence_teacher_steps": 2}, r"reranker_contexts=5 without do_sample=true"),
    ],
)
def test_where_it_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        stage(**changes)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_trial_run_has_hardly_any_contexts(
    data: Path, encoder: Path, tmp_path: Path, count: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """Then a fold may have none, and nothing is held out."""
    only = stage(max_steps=count, generation=DRAWN, sentence_teacher_steps=1, reranker_contexts=count)
    train([only], data, tmp_path / "out", sentence_encoder=encoder, show_progress=True)
    assert "correlation" not in capfd.readouterr().err
    assert mime_fast.load(tmp_path / "out", threads=1).reranker is not None


def test_replies_are_read_as_the_search_reads_them(data: Path, tmp_path: Path) -> None:
    train([stage(max_steps=2, generation=DRAWN)], data, tmp_path / "out", show_progress=False)
    engine = mime_fast.load(tmp_path / "out", threads=1, device="cpu")
    drawn = engine.generate([["my dog is rain today"]], num_return_sequences=4)[0].candidates
    said = [one for one in drawn if one.tokens]
    replies = _Replies([[Hypothesis(tuple(one.token_ids), (), 0.0, 0.0, "eos") for one in said]], 99)
    expected = engine.backend.context_vectors(replies.read)
    found = context_vectors(engine, [[one.text] for one in said]).numpy()
    np.testing.assert_array_equal(found, expected[replies.places])


def test_few_steps_mean_few_contexts() -> None:
    whole = stage(generation=DRAWN, sentence_teacher_steps=9, reranker_contexts=500)
    assert whole.replace(max_steps=3).reranker_contexts == 3
    assert whole.replace(seed=3).reranker_contexts == 500
