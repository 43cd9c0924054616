"""Votes on A/B comparisons, verdicts by majority, and where one more annotator is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mime_fast.evaluation.human.answers import Answers
from mime_fast.evaluation.human.criteria import Outcome
from mime_fast.evaluation.human.study import Compared, Study

Verdict = Outcome | Literal["disputed", "split", "incomplete"]  # the last three are none yet
EQUAL: Outcome = "tie"  # what equal replies are


@dataclass(frozen=True)
class Judged:
    """A comparison, its verdict, and the votes of the first round by annotator.

    "disputed" waits for one more annotator, "split" is not settled by one either, "incomplete" lacks votes.
    """

    item: int | None  # in `Study.comparisons`; None: equal replies, a tie that nobody was asked about
    compared: Compared
    verdict: Verdict
    votes: Mapping[int, Outcome]
    agreed: bool = True  # without one more annotator


def judge(study: Study, answers: Answers) -> list[Judged]:
    """All comparisons of a study.

    A verdict is final when no vote that is still out can change it. Where all votes are in and no answer has more than
    every other one (three annotators, three answers), the vote of one more annotator is added.
    """
    judged = [Judged(None, item, EQUAL, {}) for item in study.same]
    first_round = range(1, study.annotators + 1)
    for place, compared in enumerate(study.comparisons):
        votes = {who: answers.choices[who, place] for who in first_round if (who, place) in answers.choices}
        extra = answers.choices.get((study.annotators + 1, place))
        given, out = list(votes.values()), study.annotators - len(votes)
        agreed = _leader(given, out) is not None
        judged.append(Judged(place, compared, _verdict(given, out, extra), votes, agreed))
    return judged


def ballots(judged: Sequence[Judged], pair: tuple[str, str]) -> dict[int, dict[int, Outcome]]:
    """All votes on a pair of models, by annotator of the first round and by instance, with or without a majority.

    Two equal replies are a tie of every annotator who has voted on anything.
    """
    came = sorted({who for one in judged for who in one.votes})
    cast: dict[int, dict[int, Outcome]] = {who: {} for who in came}
    for one in judged:
        if (one.compared.first, one.compared.second) == pair:
            votes = dict.fromkeys(came, EQUAL) if one.item is None else one.votes
            for who, vote in votes.items():
                cast[who][one.compared.instance] = vote
    return cast


def has_fourth(study: Study, answers: Answers) -> bool:
    """Whether anything came of the annotator whom `disputed` comparisons ask for."""
    return any(annotator > study.annotators for annotator, _ in answers.choices)


def disputed(judged: Sequence[Judged]) -> list[int]:
    """Places of the comparisons that wait for one more annotator."""
    return [one.item for one in judged if one.verdict == "disputed" and one.item is not None]


def _verdict(votes: Sequence[Outcome], out: int, extra: Outcome | None) -> Verdict:
    leader = _leader(votes, out)
    if leader is not None:
        return leader
    if out:
        return "incomplete"
    if extra is None:
        return "disputed"
    return _leader([*votes, extra], 0) or "split"


def _leader(votes: Sequence[Outcome], out: int) -> Outcome | None:
    """The answer that has more votes than any other one even if that one gets the `out` votes that have not come."""
    ranked = Counter(votes).most_common()
    if not ranked:
        return None
    second = ranked[1][1] if len(ranked) > 1 else 0
    return ranked[0][0] if ranked[0][1] > second + out else None
