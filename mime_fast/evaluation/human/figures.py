"""The figures of a study: ratings as in the paper's Tables 2 and 4, A/B verdicts as in Table 3, agreement."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations

import numpy as np

from mime_fast.config.checks import check_int
from mime_fast.emotions import INDEX, polarity
from mime_fast.evaluation.human.about import describe
from mime_fast.evaluation.human.agreement import (
    Counts,
    Estimate,
    Floats,
    estimate,
    fleiss_kappa,
    kappas,
    quotient,
    ratio,
    resamples,
)
from mime_fast.evaluation.human.answers import Answers
from mime_fast.evaluation.human.criteria import CRITERIA, OUTCOMES, RATINGS, Outcome
from mime_fast.evaluation.human.figure_types import (
    Interval,
    Kappa,
    Mean,
    PairFigures,
    StudyFigures,
    VoteShares,
)
from mime_fast.evaluation.human.study import Study
from mime_fast.evaluation.human.voters import Voter
from mime_fast.evaluation.human.votes import Judged, Verdict, ballots, judge

GROUPS = ("all", "positive", "negative")
VERDICTS: tuple[Verdict, ...] = (*OUTCOMES, "disputed", "split", "incomplete")
RESAMPLES = 2000


def study_figures(
    study: Study,
    answers: Answers,
    *,
    voters: Sequence[Voter] | None = None,
    number: int = RESAMPLES,
    seed: int = 0,
) -> StudyFigures:
    """Everything that the answers say, JSON-ready; null where nothing defines a figure.

    A mean is over all ratings of a model that came (the paper: 128 replies times three annotators). Intervals are 95 %
    percentile intervals of `number` resamples of the dialogues, drawn by `seed`.

    Args:
        voters: one for each annotator of the first round, then one for the fourth if it voted; None where nobody said
            who they are. Those of whom no answer came are left out.

    Returns:
        `study` (what was judged, by how many), `ratings` [model][group][criterion] with `value`, `low`, `high` and
        `ratings`; `best` [criterion], `differences`, `ab` a pair, `agreement`, `open` (verdicts that are none yet),
        `faults`, `notes`.

    Raises:
        ConfigError: `number` or `seed` is out of range.
    """
    check_int("bootstrap", number, 100, 100_000)
    check_int("seed", seed, 0)
    weights = resamples(len(study.instances), number, seed)
    judged = judge(study, answers)
    tables = {model: _table(study, answers, model) for model in study.rated_models}
    ratings = {model: _means(study, table, weights) for model, table in tables.items()}
    return {
        "study": describe(study, answers, judged, voters, number, seed),
        "ratings": ratings,
        "best": {criterion: _best(ratings, criterion) for criterion in CRITERIA} if ratings else {},
        "differences": [
            {"first": first, "second": second} | _difference(tables[first], tables[second], weights)
            for first, second in combinations(tables, 2)
        ],
        "ab": [_pair(study, judged, pair, weights) for pair in study.pairs],
        "agreement": _agreement(study, answers, judged, weights),
        "open": dict(Counter(one.verdict for one in judged if one.verdict not in OUTCOMES)),
        "faults": [asdict(fault) for fault in answers.faults],
        "notes": [*answers.notes, *_notes(study, answers, judged)],
    }


def _table(study: Study, answers: Answers, model: str) -> dict[str, tuple[Floats, Floats]]:
    """By criterion: sum and number of a model's ratings in each instance, both [n]."""
    size = len(study.instances)
    table = {criterion: (np.zeros(size), np.zeros(size)) for criterion in CRITERIA}
    for (_, place), given in answers.ratings.items():
        item = study.ratings[place]
        if model in item.models:
            for criterion, rating in given.items():
                table[criterion][0][item.instance] += rating
                table[criterion][1][item.instance] += 1
    return table


def _means(study: Study, table: Mapping[str, tuple[Floats, Floats]], weights: Floats) -> dict[str, dict[str, Mean]]:
    """Means by group of the user's labelled emotion and by criterion."""
    groups = np.array([polarity(INDEX[instance.emotion]) for instance in study.instances])
    masks = {group: np.ones(len(groups)) if group == "all" else (groups == group).astype(float) for group in GROUPS}
    return {
        group: {
            criterion: {**_json(ratio(sums * mask, counts * mask, weights)), "ratings": int((counts * mask).sum())}
            for criterion, (sums, counts) in table.items()
        }
        for group, mask in masks.items()
    }


def _best(ratings: Mapping[str, dict[str, dict[str, Mean]]], criterion: str) -> list[str]:
    """The models with the greatest mean; several where they are equal, none where nobody rated."""
    means = {model: figures["all"][criterion]["value"] for model, figures in ratings.items()}
    known = [mean for mean in means.values() if mean is not None]
    return [model for model, mean in means.items() if known and mean == max(known)]


def _difference(
    first: Mapping[str, tuple[Floats, Floats]], second: Mapping[str, tuple[Floats, Floats]], weights: Floats
) -> dict[str, Interval]:
    """Mean of the first minus mean of the second, over the same resamples."""
    found = {}
    for criterion in CRITERIA:
        one, other = (
            [quotient(*table[criterion], w) for w in (np.ones((1, weights.shape[1])), weights)]
            for table in (first, second)
        )
        found[criterion] = _json(estimate(float(one[0][0] - other[0][0]), one[1] - other[1]))
    return found


def _pair(study: Study, judged: Sequence[Judged], pair: tuple[str, str], weights: Floats) -> PairFigures:
    """Shares of wins, losses and ties of the first model: of the verdicts that are final, and of all votes."""
    mine = [one for one in judged if (one.compared.first, one.compared.second) == pair]
    verdicts = Counter(one.verdict for one in mine)
    decided = np.zeros(len(study.instances))
    won = {outcome: np.zeros(len(study.instances)) for outcome in OUTCOMES}
    for one in mine:
        for outcome in OUTCOMES:
            won[outcome][one.compared.instance] += one.verdict == outcome
        decided[one.compared.instance] += one.verdict in OUTCOMES
    return {
        "first": pair[0],
        "second": pair[1],
        "comparisons": len(mine),
        "same": sum(one.item is None for one in mine),
        "verdicts": {verdict: verdicts[verdict] for verdict in VERDICTS},
        "win": _json(ratio(won["win"], decided, weights)),
        "lose": _json(ratio(won["lose"], decided, weights)),
        "tie": _json(ratio(won["tie"], decided, weights)),
        "votes": _votes(len(study.instances), ballots(judged, pair), weights),
    }


def _votes(size: int, cast: Mapping[int, Mapping[int, Outcome]], weights: Floats) -> VoteShares:
    """How many votes there are, and each outcome's share of them; a resample keeps a dialogue's votes together."""
    counts = {outcome: np.zeros(size) for outcome in OUTCOMES}
    for votes in cast.values():
        for instance, vote in votes.items():
            counts[vote][instance] += 1
    total = sum(counts.values(), np.zeros(size))
    win, lose, tie = (_json(ratio(counts[outcome], total, weights)) for outcome in OUTCOMES)
    return {"cast": int(total.sum()), "win": win, "lose": lose, "tie": tie}


def _agreement(study: Study, answers: Answers, judged: Sequence[Judged], weights: Floats) -> list[Kappa]:
    """Fleiss' kappa of each criterion and of each pair of models, over what all annotators who came have answered."""
    rows: list[Kappa] = []
    for criterion in CRITERIA if study.ratings else ():
        cells = {key: given[criterion] for key, given in answers.ratings.items() if criterion in given}
        places = [item.instance for item in study.ratings]
        rows.append(_kappa(criterion, cells, places, RATINGS, weights))
    asked = [item.instance for item in study.comparisons]
    for pair in study.pairs:
        votes = {
            (who, one.item): vote
            for one in judged
            if one.item is not None and (one.compared.first, one.compared.second) == pair
            for who, vote in one.votes.items()
        }
        rows.append(_kappa(" : ".join(pair), votes, asked, OUTCOMES, weights))
    return rows


def _kappa(
    what: str,
    cells: Mapping[tuple[int, int], object],
    instance_of: Sequence[int],
    categories: Sequence[object],
    weights: Floats,
) -> Kappa:
    """Kappa of answers by (annotator, item), with its interval, the annotators and the items that it is of."""
    raters = sorted({who for who, _ in cells})
    items = [item for item in sorted({item for _, item in cells}) if all((who, item) in cells for who in raters)]
    counts: Counts = np.array(
        [[sum(cells[who, item] == category for who in raters) for category in categories] for item in items],
        dtype=np.int64,
    ).reshape(len(items), len(categories))
    found = Estimate(math.nan, math.nan, math.nan)
    if len(raters) > 1 and items:
        drawn = weights[:, [instance_of[item] for item in items]]
        found = estimate(fleiss_kappa(counts), kappas(counts, drawn))
    return {"what": what, **_json(found), "annotators": len(raters), "items": len(items)}


def _notes(study: Study, answers: Answers, judged: Sequence[Judged]) -> list[str]:
    """What a reader must know to read the figures right."""
    extra = study.annotators + 1
    idle = sum((extra, one.item) in answers.choices for one in judged if one.agreed and one.item is not None)
    notes = []
    if idle:
        notes.append(f"answers of annotator {extra} to comparisons on which the others agree, not counted: {idle}")
    shared = sum(len(item.models) > 1 for item in study.ratings)
    if shared:
        notes.append(f"replies that several models said, rated once and counted for each of them: {shared}")
    if study.same:
        notes.append(f"comparisons of equal replies, ties that nobody was asked about: {len(study.same)}")
    return notes


def _json(found: Estimate) -> Interval:
    value, low, high = (None if math.isnan(each) else each for each in (found.value, found.low, found.high))
    return {"value": value, "low": low, "high": high}
