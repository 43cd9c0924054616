"""Figures of made-up outputs, worked out by hand: BLEU, PPL and accuracies by group, spread over seeds, diversity."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mime_fast.emotions import INDEX
from mime_fast.evaluation.metrics.likelihood import PairFigures
from mime_fast.evaluation.outputs import FIGURES, Outputs, figures, over_seeds

METRICS = ("likelihood", "bleu_greedy", "bleu_beam", "diversity")
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


def outputs() -> Outputs:
    beam = [words(SAID), words(REFERENCES), words(SAID)]
    likelihood = [scored(2, 8, 2, free=0.5), scored(4, 4, 4), scored(6, 6, 6)]
    return Outputs(words(REFERENCES), LABELS, likelihood, words(["a b c d", "q", "q"]), beam)


def test_figures_of_all_pairs_are_the_first_seed_s() -> None:
    made = outputs()
    found = figures(made, made.groups()["all"], METRICS)
    assert list(found) == ["n", *FIGURES]
    assert found["n"] == 3
    assert found["ppl"] == pytest.approx(2 ** (5 / 3))  # of log 2, log 8, log 2
    assert found["ppl_unk_free"] == pytest.approx(2 ** (5 / 6))
    assert (found["top1"], found["top2"], found["top5"]) == pytest.approx((1 / 3, 2 / 3, 2 / 3))
    assert found["polarity_accuracy"] == pytest.approx(2 / 3)
    assert found["bleu_beam"] == pytest.approx(WHOLE)
    brevity = math.exp(1 - 13 / 6)  # 6 words said for 13; precisions 4/6, 3/3, 2/2, 1/1
    assert found["bleu_greedy"] == pytest.approx(100 * brevity * (4 / 6) ** 0.25)
    assert found["distinct1"] == pytest.approx(9 / 13)
    assert found["distinct2"] == pytest.approx(7 / 10)
    assert (found["distinct_replies"], found["mean_length"]) == pytest.approx((1, 13 / 3))


def test_figures_by_the_user_s_emotion() -> None:
    made = outputs()
    found = {name: figures(made, where, METRICS) for name, where in made.groups().items()}
    assert [found[name]["n"] for name in ("positive", "negative")] == [1, 2]
    assert (found["positive"]["ppl"], found["negative"]["ppl"]) == pytest.approx((2, 4))
    assert (found["positive"]["top1"], found["negative"]["top1"]) == (1, 0)
    assert found["negative"]["top2"] == 0.5
    assert found["positive"]["bleu_beam"] == pytest.approx(100)
    assert found["negative"]["bleu_beam"] == pytest.approx(PART)
    assert found["negative"]["distinct1"] == 1
    assert found["negative"]["bleu_greedy"] == 0


def test_distinct_replies_of_a_group() -> None:
    made = outputs()
    same = replace(made, beam=[words(["x y", "x y", "x y"])])
    found = {name: figures(same, where, METRICS) for name, where in made.groups().items()}
    assert [found[name]["distinct_replies"] for name in ("all", "positive", "negative")] == [1 / 3, 1, 1 / 2]


def test_spread_over_seeds() -> None:
    found = over_seeds(outputs(), METRICS)
    assert found["ppl"]["values"] == pytest.approx([2 ** (5 / 3), 4, 6])
    bleu = found["bleu_beam"]
    assert bleu["values"] == pytest.approx([WHOLE, 100, WHOLE])
    assert bleu["mean"] == pytest.approx((100 + 2 * WHOLE) / 3)
    assert bleu["deviation"] == pytest.approx((100 - WHOLE) / math.sqrt(3))  # over n - 1


def test_the_deviation_is_the_sample_s() -> None:
    made = replace(outputs(), likelihood=[scored(ppl, ppl, ppl) for ppl in (2, 4, 6)])
    found = over_seeds(made, METRICS)["ppl"]
    assert (found["mean"], found["deviation"]) == pytest.approx((4, 2))
    assert found["values"] == pytest.approx([2, 4, 6])


def test_one_value_has_no_deviation() -> None:
    made = replace(outputs(), likelihood=[scored(2, 2, 2)], beam=[words(REFERENCES)])
    found = over_seeds(made, METRICS)
    assert found["ppl"] == {"mean": pytest.approx(2), "deviation": None, "values": [pytest.approx(2)]}
    assert found["bleu_beam"]["deviation"] is None


@pytest.mark.parametrize(
    ("metric", "keys"),
    [
        ("likelihood", {"ppl", "ppl_unk_free", "top1", "top2", "top5", "polarity_accuracy"}),
        ("bleu_greedy", {"bleu_greedy"}),
        ("bleu_beam", {"bleu_beam"}),
        ("diversity", {"distinct1", "distinct2", "distinct_replies", "mean_length"}),
    ],
)
def test_what_is_not_asked_for_is_null(metric: str, keys: set[str]) -> None:
    made = outputs()
    if metric != "likelihood":
        made = replace(made, likelihood=[])
    found = figures(made, made.groups()["all"], (metric,))
    assert {key for key in FIGURES if found[key] is not None} == keys
    spread = over_seeds(made, (metric,))
    assert {key for key, value in spread.items() if value is not None} == keys & {"ppl", "bleu_beam"}


def test_a_group_without_pairs_has_no_figures() -> None:
    made = outputs()
    found = figures(made, np.zeros(3, dtype=bool), METRICS)
    assert found == {"n": 0} | dict.fromkeys(FIGURES)
