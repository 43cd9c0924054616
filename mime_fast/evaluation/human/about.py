"""What a study was, who voted, and how its intervals were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from mime_fast.evaluation.human.agreement import LEVEL
from mime_fast.evaluation.human.answers import Answers
from mime_fast.evaluation.human.figure_types import About, Fourth
from mime_fast.evaluation.human.study import Study
from mime_fast.evaluation.human.voters import Voter
from mime_fast.evaluation.human.votes import Judged, has_fourth


def describe(
    study: Study,
    answers: Answers,
    judged: Sequence[Judged],
    voters: Sequence[Voter] | None,
    number: int,
    seed: int,
) -> About:
    """The head of the figures; the rest as in `study_figures`."""
    answered = {annotator for annotator, _ in (*answers.ratings, *answers.choices)} & {*range(1, study.annotators + 1)}
    return {
        "tag": study.tag,
        "split": study.split,
        "draw": study.draw,
        "seed": study.seed,
        "annotators": study.annotators,
        "voters": None
        if voters is None
        else [asdict(voters[annotator - 1]) for annotator in sorted(answered) if annotator <= len(voters)],
        "fourth": _fourth(study, answers, judged, voters),
        "instances": len(study.instances),
        "systems": study.systems,
        "resamples": number,
        "bootstrap_seed": seed,
        "level": LEVEL,
    }


def _fourth(study: Study, answers: Answers, judged: Sequence[Judged], voters: Sequence[Voter] | None) -> Fourth | None:
    extra = study.annotators + 1
    if not has_fourth(study, answers):
        return None
    asked = [one.item for one in judged if not one.agreed and one.verdict != "incomplete"]
    return {
        "annotator": extra,
        "votes": sum((extra, item) in answers.choices for item in asked),
        "voter": asdict(voters[extra - 1]) if voters is not None and len(voters) >= extra else None,
    }
