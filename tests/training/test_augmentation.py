"""Which pairs the first epochs add, and which words a context loses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mime_fast.data.batches import Batch
from mime_fast.data.empathetic_dialogues import Pair, read_pairs
from mime_fast.text.special import CLS_ID, PAD_ID, UNK_ID
from mime_fast.training.augmentation import drop_words, extra_pairs
from mime_fast.training.recipe import ExtraPairs
from tests.reference.tiny import random_batch

ROWS = [
    "conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags",
    "a,1,proud,My leek won.,0,I won,,",
    "a,2,proud,My leek won.,1,With what,,",
    "a,3,proud,My leek won.,0,A leek,,",
    "a,4,proud,My leek won.,1,Ha,,",
    "a,5,proud,My leek won.,0,Yes,,",
    "b,1,sad,It rains.,0,Rain,,",
    "b,2,sad,It rains.,1,Again,,",
    "c,1,sad,Nobody comes.,0,Alone,,",
]
SPEAKER = [
    Pair(["I won", "With what"], "A leek", "proud", "My leek won.", "a"),
    Pair(["I won", "With what", "A leek", "Ha"], "Yes", "proud", "My leek won.", "a"),
]
SITUATIONS = [
    Pair(["My leek won."], "With what", "proud", "My leek won.", "a"),
    Pair(["It rains."], "Again", "sad", "It rains.", "b"),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "train.csv").write_text("\n".join(ROWS) + "\n", encoding="utf-8")
    (tmp_path / "valid.csv").write_text("not to be read", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("kind", "expected"), [("speaker_turns", SPEAKER), ("situations", SITUATIONS)])
def test_extra_pairs(data: Path, kind: ExtraPairs, expected: list[Pair]) -> None:
    assert extra_pairs(kind, data, read_pairs(data, "train"), "true") == expected


def contexts() -> Batch:
    return random_batch([40, 3, 17], [2, 5, 3])


def test_drop_words_spares_ctx_and_padding() -> None:
    torch.manual_seed(0)
    batch = contexts()
    word = (batch.context_ids != PAD_ID) & (batch.context_ids != CLS_ID)
    dropped = drop_words(batch, 0.999)
    assert torch.equal(dropped.context_ids[~word], batch.context_ids[~word])
    assert (dropped.context_ids[word] == UNK_ID).float().mean() > 0.9
    for name in ("state_ids", "target_ids", "emotion", "index"):
        assert torch.equal(getattr(dropped, name), getattr(batch, name))


def test_drop_words_drops_the_given_share() -> None:
    torch.manual_seed(0)
    batch = random_batch([400] * 20, [2] * 20)
    before = batch.context_ids.clone()
    gone = (drop_words(batch, 0.3).context_ids != before)[:, 1:]
    assert gone.float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert torch.equal(batch.context_ids, before)


def test_no_dropping_draws_nothing() -> None:
    """Recipes without word dropout keep their random numbers."""
    torch.manual_seed(0)
    state, batch = torch.get_rng_state(), contexts()
    assert drop_words(batch, 0.0) is batch
    assert torch.equal(torch.get_rng_state(), state)
