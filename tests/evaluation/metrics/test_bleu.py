"""BLEU against figures worked out by hand and against sacrebleu."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sacrebleu

from mime_fast.evaluation.metrics.bleu import corpus_bleu

WORDS = ["i", "am", "so", "Sorry", "sorry", "that", "is", "great", ".", "!", "why", "?"]


def oracle(hypotheses: list[list[str]], references: list[list[str]]) -> float:
    """What sacrebleu says of the same tokens."""
    said, wanted = ([" ".join(tokens) for tokens in side] for side in (hypotheses, references))
    result = sacrebleu.corpus_bleu(said, [wanted], tokenize="none", lowercase=True, smooth_method="none", force=True)
    return result.score


def test_by_hand() -> None:
    hypotheses = [["the", "cat", "sat", "on", "the", "mat", "now"], ["so", "it", "is"]]
    references = [["the", "cat", "sat", "on", "a", "mat", "now", "and", "then"], ["so", "it", "was"]]
    # 1-grams: 6 of 7 (the second "the" is one too many) + 2 of 3; 2-grams: 4 of 6 + 1 of 2; 3-grams: 2 of 5 + 0 of 1;
    # 4-grams: 1 of 4
    precision = (8 / 10 * 5 / 8 * 2 / 6 * 1 / 4) ** 0.25
    expected = 100 * precision * math.exp(1 - 12 / 10)
    assert corpus_bleu(hypotheses, references) == pytest.approx(expected, rel=1e-12)


def test_no_bonus_for_long_hypotheses() -> None:
    reference = ["a", "b", "c", "d", "e"]
    longer = [*reference, "f"]
    assert corpus_bleu([longer], [reference]) == pytest.approx(100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25, rel=1e-12)
    assert corpus_bleu([reference], [longer]) == pytest.approx(100 * math.exp(1 - 6 / 5), rel=1e-12)


def test_case_is_ignored() -> None:
    bleu = corpus_bleu([["Oh", "NO", ",", "why", "?"]], [["oh", "no", ",", "why", "?"]])
    assert bleu == pytest.approx(100, rel=1e-12)


@pytest.mark.parametrize(
    ("hypotheses", "references"),
    [
        ([], []),
        ([[]], [["a", "b", "c", "d"]]),
        ([["a", "b", "c", "d"]], [[]]),
        ([["a", "b", "c"]], [["a", "b", "c"]]),  # no 4-gram to count
        ([["a", "b", "c", "x", "d"]], [["a", "b", "c", "d", "x"]]),  # no 4-gram right
    ],
)
def test_zero_precision_is_zero(hypotheses: list[list[str]], references: list[list[str]]) -> None:
    assert corpus_bleu(hypotheses, references) == 0.0


def test_unequal_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        corpus_bleu([["a"]], [["a"], ["b"]])


@pytest.mark.parametrize("seed", range(20))
def test_equals_sacrebleu(seed: int) -> None:
    """References are noisy copies, some hypotheses are empty, and small corpora often have a zero precision."""
    generator = np.random.default_rng(seed)
    size = int(generator.integers(1, 30))
    hypotheses = [generator.choice(WORDS, int(generator.integers(0, 15))).tolist() for _ in range(size)]
    references = []
    for said in hypotheses:
        noisy = [word if generator.random() < 0.8 else str(generator.choice(WORDS)) for word in said]
        extra = generator.choice(WORDS, int(generator.integers(0, 4))).tolist()
        references.append([*noisy, *extra][int(generator.integers(0, 4)) :])
    assert corpus_bleu(hypotheses, references) == pytest.approx(oracle(hypotheses, references), rel=1e-9, abs=1e-9)
