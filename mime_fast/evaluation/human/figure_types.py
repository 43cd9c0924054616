"""The figures of a study, JSON-ready; a number is None where nothing defines it."""

from __future__ import annotations

from typing import Any, TypedDict


class Interval(TypedDict):
    """A figure with its 95 % interval."""

    value: float | None
    low: float | None
    high: float | None


class Mean(Interval):
    ratings: int  # how many it is of


class VoteShares(TypedDict):
    """Shares of all votes of the first round."""

    cast: int
    win: Interval
    lose: Interval
    tie: Interval


class PairFigures(TypedDict):
    """Two models compared; wins, losses and ties are the first one's, of the verdicts that are final."""

    first: str
    second: str
    comparisons: int
    same: int  # of these, equal replies
    verdicts: dict[str, int]
    win: Interval
    lose: Interval
    tie: Interval
    votes: VoteShares


class Kappa(Interval):
    what: str
    annotators: int
    items: int


class Fourth(TypedDict):
    """The one more annotator, of whom verdicts without a majority are asked."""

    annotator: int
    votes: int  # on verdicts that it was asked of
    voter: dict[str, Any] | None


class About(TypedDict):
    """What was judged, by whom, and how intervals were made."""

    tag: str
    split: str
    draw: str | None
    seed: int
    annotators: int
    voters: list[dict[str, Any]] | None  # of the first round
    fourth: Fourth | None  # None where no answer of one came
    instances: int
    systems: dict[str, dict[str, Any]]
    resamples: int
    bootstrap_seed: int
    level: float


class StudyFigures(TypedDict):
    """Everything that the answers of a study say."""

    study: About
    ratings: dict[str, dict[str, dict[str, Mean]]]  # by model, group of the user's emotion, criterion
    best: dict[str, list[str]]  # by criterion: the models with the greatest mean
    differences: list[dict[str, Any]]  # first, second, and an Interval by criterion
    ab: list[PairFigures]
    agreement: list[Kappa]
    open: dict[str, int]  # verdicts that are none yet
    faults: list[dict[str, Any]]
    notes: list[str]
