"""Columns of hypotheses: the lists that they stand for, made when they are looked at."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from mime_fast.backends import hypotheses
from mime_fast.backends.hypotheses import Hypotheses
from mime_fast.reference.hypothesis import Hypothesis

LISTS = [
    [Hypothesis((7, 9), (-0.5, -0.25, -1.0), -1.75, -0.5, "eos"), Hypothesis((), (-2.0,), -2.0, -2.0, "eos")],
    [],
    [Hypothesis((8, 2, 11), (-0.5, -1.5, -0.125), -2.125, -0.75, "length")],
    [Hypothesis((2,), (-0.5, -0.5), -1.0, -0.5, "eos"), Hypothesis((5,), (-3.0,), -3.0, -3.0, "length")],
]


def columns() -> Hypotheses:
    """Those of LISTS; 2 is EOS."""
    each = [one for found in LISTS for one in found]
    ids = [token for one in each for token in (*one.token_ids, *[2] * (one.finish_reason == "eos"))]
    return Hypotheses(
        np.array([len(found) for found in LISTS]),
        np.array([one.count for one in each]),
        np.array(ids, np.int32),
        np.array([value for one in each for value in one.token_logprobs], np.float32),
        np.array([one.logprob for one in each], np.float32),
        np.array([one.score for one in each]),
        np.array([one.finish_reason == "eos" for one in each]),
    )


def test_they_are_the_lists() -> None:
    found = columns()
    assert list(found) == LISTS and list(found) == LISTS  # twice
    assert len(found) == 4 and [found[i] for i in range(-4, 4)] == [*LISTS, *LISTS]
    assert found[1:3] == LISTS[1:3] and found[::-2] == LISTS[::-2]
    assert list(reversed(found)) == LISTS[::-1] and LISTS[2] in found
    assert [type(each) for each in found[0][0].token_ids + found[0][0].token_logprobs] == [int] * 2 + [float] * 3
    for place in (4, -5):
        with pytest.raises(IndexError):
            found[place]


def test_they_are_equal_and_shown_as_lists() -> None:
    lists = list(LISTS)
    assert columns() == lists and lists == columns() and columns() == columns()
    assert columns() != lists[:3] and lists[::-1] != columns() and columns() != 4
    assert repr(columns()) == str(columns()) == repr(LISTS)
    assert pickle.loads(pickle.dumps(columns())) == LISTS
    with pytest.raises(TypeError, match="unhashable"):
        hash(columns())


def test_of_no_dialogues() -> None:
    nothing = Hypotheses(*(np.zeros(0, kind) for kind in ("i8", "i8", "i4", "f4", "f4", "f8", "?")))
    assert nothing == [] and not nothing and list(nothing) == [] and nothing[:3] == []


def test_no_object_is_made_before_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Hypothesis] = []

    def noting(*fields: object) -> Hypothesis:
        made.append(Hypothesis(*fields))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(hypotheses, "Hypothesis", noting)
    found = columns()
    assert len(found) == 4 and made == []
    assert found[2] == LISTS[2] == made
    rows = iter(found)
    assert next(rows) == LISTS[0] and made == LISTS[2] + LISTS[0]
