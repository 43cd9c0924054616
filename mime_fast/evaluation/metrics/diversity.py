"""How varied a set of replies is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mime_fast.evaluation.metrics.bleu import ngrams


@dataclass(frozen=True)
class Diversity:
    """Figures of n replies, compared token by token; shares are 0 and the mean is 0 where there is nothing to count."""

    distinct1: float  # different words / all words of all replies (Li et al. 2016)
    distinct2: float  # different pairs of neighbouring words / all pairs of neighbouring words
    distinct_replies: float  # different replies / n
    mean_length: float  # words a reply
    reply_count: int  # different replies
    word_count: int  # different words


def diversity(replies: Sequence[Sequence[str]]) -> Diversity:
    """Figures of tokenised replies."""
    unigrams, bigrams = ([gram for reply in replies for gram in ngrams(reply, n)] for n in (1, 2))
    different = len({tuple(reply) for reply in replies})
    words = len(set(unigrams))
    return Diversity(
        distinct1=_share(words, len(unigrams)),
        distinct2=_share(len(set(bigrams)), len(bigrams)),
        distinct_replies=_share(different, len(replies)),
        mean_length=_share(len(unigrams), len(replies)),
        reply_count=different,
        word_count=words,
    )


def changed_share(replies: Sequence[Sequence[str]], others: Sequence[Sequence[str]]) -> float:
    """Share of places at which the two lists hold different replies.

    Raises:
        ValueError: the lists are not equally long.
    """
    changed = sum(list(a) != list(b) for a, b in zip(replies, others, strict=True))
    return _share(changed, len(replies))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
