"""Figures of made-up replies and likelihoods, worked out by hand: by group and over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from mime_fast.emotions import INDEX
from mime_fast.evaluation.comparison import spread
from mime_fast.evaluation.measured import Measured, MeasuredPart, Tokens, Where
from mime_fast.evaluation.metrics.likelihood import PairFigures
from mime_fast.evaluation.metrics.metric import BY_KEY, KEYS, OF_SEVERAL, Figures, compute
from mime_fast.evaluation.searches import Search

REFERENCES = ["a b c d", "a b c d f", "x y z w"]
SAID = ["a b c d", "a b c d e", "x y z w"]  # wrong in one word of the second
LABELS = np.array([INDEX["joyful"], INDEX["sad"], INDEX["lonely"]])
PART = 100 * (8 / 9 * 6 / 7 * 4 / 5 * 2 / 3) ** 0.25  # of the second and third: precisions of 1- to 4-grams
WHOLE = 100 * (12 / 13 * 9 / 10 * 6 / 7 * 3 / 4) ** 0.25


def words(texts: list[str]) -> list[list[str]]:
    return [text.split() for text in texts]


def scored(*ppls: float, free: float = 1.0) -> PairFigures:
    """Pairs of these perplexities; the labels are the classifier's first, second and sixth choice."""
    nll = np.log(np.array(ppls))
    predicted = np.array([INDEX["joyful"], INDEX["proud"], INDEX["sad"]])
    return PairFigures(nll * free, nll, np.array([0, 1, 5]), predicted, LABELS)


class MadeUp(Measured):
    """What a model would have made of three pairs with the seeds 0, 1, 2."""

    def __init__(self, likelihood: Sequence[PairFigures] = (), beam: Sequence[Tokens] = ()) -> None:
        self.references = words(REFERENCES)
        positive = np.array([True, False, False])
        self.groups: dict[str, Where] = {"all": np.ones_like(positive), "positive": positive, "negative": ~positive}
        self.likelihood = likelihood or [scored(2, 8, 2, free=0.5), scored(4, 4, 4), scored(6, 6, 6)]
        self.beam = beam or [words(SAID), words(REFERENCES), words(SAID)]
        self.asked: set[tuple[str, int]] = set()

    def replies(self, search: Search, seed: int) -> Tokens:
        self.asked.add((search, seed))
        return self.beam[seed] if search == "beam" else words(["a b c d", "q", "q"])

    def scores(self, seed: int) -> PairFigures:
        self.asked.add(("likelihood", seed))
        return self.likelihood[seed]


def figures(made: MadeUp, group: str = "all") -> Figures:
    return compute(made.part(0, group, "beam"), OF_SEVERAL)


def test_figures_of_all_pairs_are_the_first_seed_s() -> None:
    found = figures(MadeUp())
    assert list(found) == ["n", *KEYS]
    assert found["n"] == 3
    assert found["ppl"] == pytest.approx(2 ** (5 / 3))  # of log 2, log 8, log 2
    assert found["ppl_unk_free"] == pytest.approx(2 ** (5 / 6))
    assert (found["top1"], found["top2"], found["top5"]) == pytest.approx((1 / 3, 2 / 3, 2 / 3))
    assert found["polarity_accuracy"] == pytest.approx(2 / 3)
    assert found["bleu_beam"] == pytest.approx(WHOLE)
    brevity = math.exp(1 - 13 / 6)  # 6 words said for 13; precisions 4/6, 3/3, 2/2, 1/1
    assert found["bleu_greedy"] == pytest.approx(100 * brevity * (4 / 6) ** 0.25)
    assert (found["greedy_dist1"], found["greedy_dist2"]) == pytest.approx((5 / 6, 3 / 3))
    assert found["distinct1"] == pytest.approx(9 / 13)
    assert found["distinct2"] == pytest.approx(7 / 10)
    assert (found["distinct_replies"], found["mean_length"], found["word_types"]) == pytest.approx((1, 13 / 3, 9))
    assert (found["frequent"], found["repeats"], found["seed_effect"]) == (1, 0, None)


def test_figures_by_the_user_s_emotion() -> None:
    positive, negative = figures(MadeUp(), "positive"), figures(MadeUp(), "negative")
    assert (positive["n"], negative["n"]) == (1, 2)
    assert (positive["ppl"], negative["ppl"]) == pytest.approx((2, 4))
    assert (positive["top1"], negative["top1"]) == (1, 0)
    assert negative["top2"] == 0.5
    assert positive["bleu_beam"] == pytest.approx(100)
    assert negative["bleu_beam"] == pytest.approx(PART)
    assert negative["distinct1"] == 1
    assert negative["bleu_greedy"] == 0


def test_distinct_replies_of_a_group() -> None:
    same = MadeUp(beam=[words(["x y", "x y", "x y"])])
    found = [figures(same, group)["distinct_replies"] for group in ("all", "positive", "negative")]
    assert found == [1 / 3, 1, 1 / 2]


def test_spread_over_seeds() -> None:
    ppl, bleu = (spread(MadeUp(), key, [0, 1, 2]) for key in ("ppl", "bleu_beam"))
    assert ppl is not None
    assert ppl.values == pytest.approx([2 ** (5 / 3), 4, 6])
    assert bleu is not None
    assert bleu.values == pytest.approx([WHOLE, 100, WHOLE])
    assert bleu.mean == pytest.approx((100 + 2 * WHOLE) / 3)
    assert bleu.deviation == pytest.approx((100 - WHOLE) / math.sqrt(3))  # over n - 1


def test_the_deviation_is_the_sample_s() -> None:
    found = spread(MadeUp([scored(ppl, ppl, ppl) for ppl in (2, 4, 6)]), "ppl", [0, 1, 2])
    assert found is not None
    assert (found.mean, found.deviation) == pytest.approx((4, 2))
    assert found.values == pytest.approx([2, 4, 6])


def test_one_value_has_no_deviation() -> None:
    made = MadeUp([scored(2, 2, 2)], [words(REFERENCES)])
    found = spread(made, "ppl", [0])
    assert found is not None and found.deviation is None
    assert [found.mean, *found.values] == pytest.approx([2, 2])


def test_a_figure_that_is_not_finite_for_a_seed_has_no_spread() -> None:
    made = MadeUp([scored(2, 2, 2), scored(math.inf, 2, 2)])
    assert spread(made, "ppl", [0, 1]) is None
    assert spread(made, "ppl", [0]) is not None


@pytest.mark.parametrize(
    ("group", "asked"),
    [
        ("likelihood", "likelihood"),
        ("bleu_greedy", "greedy"),
        ("bleu_beam", "beam"),
        ("bleu_long", "long"),
        ("greedy_dist", "greedy"),
        ("diversity", "beam"),
    ],
)
def test_what_is_not_asked_for_is_not_made(group: str, asked: str) -> None:
    made = MadeUp()
    found = compute(made.part(0, "all", "beam"), [group])
    assert {key for key in KEYS if found[key] is not None} == {key for key in KEYS if BY_KEY[key].group == group}
    assert made.asked == {(asked, 0)}


def test_a_group_without_pairs_has_no_figures() -> None:
    made = MadeUp()
    part = MeasuredPart(made, np.zeros(3, dtype=bool), 0, "beam")
    assert compute(part, OF_SEVERAL) == {"n": 0} | dict.fromkeys(KEYS)
    assert made.asked == set()
