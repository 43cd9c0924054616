"""How varied a set of replies is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mime_fast.evaluation.metrics.bleu import ngrams

ENDS = frozenset(".!?")
COMMONEST = 10  # sentences
REPEATED = 3  # neighbouring words


@dataclass(frozen=True)
class Diversity:
    """Figures of n replies, compared token by token; shares are 0 and the mean is 0 where there is nothing to count."""

    distinct1: float  # different words / all words of all replies (Li et al. 2016)
    distinct2: float  # different pairs of neighbouring words / all pairs of neighbouring words
    distinct_replies: float  # different replies / n
    mean_length: float  # words per reply
    frequent: float  # sentences that are one of the ten commonest ones / all sentences
    repeats: float  # replies in which three neighbouring words come twice / n
    reply_count: int  # different replies
    word_types: int  # different words


def diversity(replies: Sequence[Sequence[str]]) -> Diversity:
    """Figures of tokenised replies."""
    unigrams, bigrams = ([gram for reply in replies for gram in ngrams(reply, n)] for n in (1, 2))
    different = len({tuple(reply) for reply in replies})
    words = len(set(unigrams))
    said = Counter(sentence for reply in replies for sentence in sentences(reply))
    return Diversity(
        distinct1=_share(words, len(unigrams)),
        distinct2=_share(len(set(bigrams)), len(bigrams)),
        distinct_replies=_share(different, len(replies)),
        mean_length=_share(len(unigrams), len(replies)),
        frequent=_share(sum(times for _, times in said.most_common(COMMONEST)), said.total()),
        repeats=_share(sum(map(_repeats, replies)), len(replies)),
        reply_count=different,
        word_types=words,
    )


def sentences(reply: Sequence[str]) -> list[tuple[str, ...]]:
    """A reply cut after each run of ".", "!" and "?"; what follows the last of them is a sentence, too."""
    found: list[list[str]] = []
    for place, token in enumerate(reply):
        begins = place == 0 or (reply[place - 1] in ENDS and token not in ENDS)
        if begins:
            found.append([])
        found[-1].append(token)
    return [tuple(sentence) for sentence in found]


def changed_share(replies: Sequence[Sequence[str]], others: Sequence[Sequence[str]]) -> float:
    """Share of places at which the two lists have different replies.

    Raises:
        ValueError: the lists are not equally long.
    """
    changed = sum(list(a) != list(b) for a, b in zip(replies, others, strict=True))
    return _share(changed, len(replies))


def _repeats(reply: Sequence[str]) -> bool:
    grams = ngrams(reply, REPEATED)
    return len(set(grams)) < len(grams)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
