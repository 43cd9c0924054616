"""Which dialogues are drawn."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from mime_fast.data.empathetic_dialogues import read_pairs
from mime_fast.emotions import LABELS
from mime_fast.errors import DataError
from mime_fast.evaluation.human.sampling import DRAWS, FIXED_PER_EMOTION, draw, draw_fixed, shuffled
from tests.evaluation.human.conftest import make_pairs


def test_as_many_of_each_emotion_and_no_conversation_twice() -> None:
    drawn = draw(make_pairs(), 3, 0)
    assert Counter(one.emotion for one in drawn) == dict.fromkeys(LABELS, 3)
    assert len({one.id.rpartition("/")[0] for one in drawn}) == 96
    assert len({len(one.context) for one in drawn}) == 2  # first and later responses


def test_an_instance_is_the_pair_it_names() -> None:
    by_id = {f"{pair.conv_id}/{len(pair.context) + 1}": pair for pair in make_pairs()}
    for one in draw(make_pairs(), 2, 5):
        pair = by_id[one.id]
        assert (one.emotion, one.context, one.gold) == (pair.emotion, pair.context, pair.response)


def test_the_seed_alone_decides() -> None:
    drawn = [one.id for one in draw(make_pairs(9), 4, 1)]
    assert drawn == [one.id for one in draw(make_pairs(9), 4, 1)]
    assert drawn != [one.id for one in draw(make_pairs(9), 4, 2)]


def test_every_pair_can_be_drawn() -> None:
    """All 6 pairs of an emotion come first about equally often."""
    first = Counter(draw(make_pairs(), 1, seed)[0].id for seed in range(300))
    assert len(first) == 6 and max(first.values()) < 90


def test_too_few_are_named() -> None:
    pairs = [pair for pair in make_pairs(2) if pair.conv_id not in ("sad:0", "proud:0", "proud:1")]
    with pytest.raises(DataError, match=r"per_emotion=2 conversations of some emotions: proud 0, sad 1$"):
        draw(pairs, 2, 0)


def test_shuffled_is_a_permutation_known_for_good() -> None:
    assert sorted(shuffled(range(50), 3, "x")) == list(range(50))
    assert shuffled(range(8), 0, "draw") == [5, 3, 1, 7, 4, 0, 6, 2]  # a study can be drawn again by any later version


def test_what_is_passed_over_is_what_the_seed_draws_first() -> None:
    pairs = make_pairs(9)
    whole, first, rest = draw(pairs, 5, 1), draw(pairs, 2, 1), draw(pairs, 3, 1, skip=2)
    assert {one.id for one in whole} == {one.id for one in first} | {one.id for one in rest}
    with pytest.raises(DataError, match="per_emotion=3 after the first 7 conversations of some emotions: surprised 9,"):
        draw(pairs, 3, 1, skip=7)


def test_the_fixed_draws_share_no_conversation() -> None:
    several = {name: draw_fixed(make_pairs(40), name) for name in DRAWS}
    conversations = {one.id.partition("/")[0] for drawn in several.values() for one in drawn}
    assert len(conversations) == len(DRAWS) * FIXED_PER_EMOTION * len(LABELS)
    for drawn in several.values():
        assert Counter(one.emotion for one in drawn) == dict.fromkeys(LABELS, FIXED_PER_EMOTION)


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("develop", "f8839420ef31f526"),
        ("confirm", "d2ca1bfb283079da"),
        ("confirm-2", "3aa2c06ac0da50ae"),
        ("confirm-3", "d22385c5e0f32e89"),
    ],
)
def test_the_fixed_draws_never_move(data_dir: Path, name: str, digest: str) -> None:
    pairs = read_pairs(data_dir / "empatheticdialogues.tar.gz", "valid")
    ids = "\n".join(one.id for one in draw_fixed(pairs, name))
    assert hashlib.sha256(ids.encode()).hexdigest().startswith(digest)
