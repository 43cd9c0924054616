"""Majorities, and when one more annotator is needed."""

from __future__ import annotations

import pytest

from mime_fast.evaluation.human.answers import Answers
from mime_fast.evaluation.human.criteria import Outcome
from mime_fast.evaluation.human.votes import disputed, judge
from tests.evaluation.human.conftest import small_study

NAMES: dict[str, Outcome] = {"w": "win", "l": "lose", "t": "tie"}


@pytest.mark.parametrize(
    ("annotators", "votes", "verdict"),
    [
        (3, "www", "win"),
        (3, "wlw", "win"),
        (3, "llt", "lose"),
        (3, "twt", "tie"),
        (3, "wlt", "disputed"),
        (3, "wltl", "lose"),
        (3, "wltt", "tie"),
        (3, "ll.", "lose"),  # the vote that has not come changes nothing
        (3, "lw.", "incomplete"),
        (3, "l..", "incomplete"),
        (3, "...", "incomplete"),
        (3, "lw.w", "incomplete"),  # the fourth is only for three different answers
        (3, "wwl" + "l", "win"),
        (1, "t", "tie"),
        (2, "wl", "disputed"),
        (2, "wll", "lose"),
        (2, "wlt", "split"),
        (4, "wwll", "disputed"),
        (4, "wwllt", "split"),
        (4, "www.", "win"),
        (4, "ww..", "incomplete"),
    ],
)
def test_the_verdict(annotators: int, votes: str, verdict: str) -> None:
    study = small_study(annotators=annotators)
    answers = Answers()
    for annotator, vote in enumerate(votes, start=1):
        if vote != ".":
            answers.choices[annotator, 2] = NAMES[vote]
    judged = judge(study, answers)
    assert next(one for one in judged if one.item == 2).verdict == verdict
    assert disputed(judged) == ([2] if verdict == "disputed" else [])
    assert [one.verdict for one in judged if one.item is None] == ["tie"]
