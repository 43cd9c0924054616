"""Corpus BLEU-4 as Moses' multi-bleu.perl -lc defines it (Papineni et al. 2002), with one reference a sentence."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

MAX_ORDER = 4


def corpus_bleu(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> float:
    """BLEU from 0 to 100 of tokenised sentences; tokens are lower-cased first.

    The geometric mean of the corpus' clipped n-gram precisions (n = 1 to 4), times exp(1 - r / h) where the hypotheses'
    length h is below the references' length r. 0 where any precision is 0 or has no n-gram to count.

    Raises:
        ValueError: not as many hypotheses as references.
    """
    correct, total = [0] * MAX_ORDER, [0] * MAX_ORDER
    length = reference_length = 0
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        length += len(hypothesis)
        reference_length += len(reference)
        for n, (matches, count) in enumerate(zip(*count_matches(hypothesis, reference), strict=True)):
            correct[n] += matches
            total[n] += count
    if not all(correct):
        return 0.0
    mean_log = sum(math.log(c / t) for c, t in zip(correct, total, strict=True)) / MAX_ORDER
    brevity = min(0.0, 1 - reference_length / length)
    return 100 * math.exp(brevity + mean_log)


def count_matches(hypothesis: Sequence[str], reference: Sequence[str]) -> tuple[list[int], list[int]]:
    """For n = 1 to 4: how many n-grams of the hypothesis the reference has, too (clipped), and how many there are."""
    said, wanted = _lower(hypothesis), _lower(reference)
    correct, total = [], []
    for n in range(1, MAX_ORDER + 1):
        found = Counter(ngrams(said, n))
        correct.append((found & Counter(ngrams(wanted, n))).total())
        total.append(found.total())
    return correct, total


def ngrams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All n-grams of one sentence, repeated ones too."""
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def _lower(tokens: Sequence[str]) -> list[str]:
    return [token.lower() for token in tokens]
