"""Distinct-n and its companions, counted by hand."""

from __future__ import annotations

import pytest

from mime_fast.evaluation.metrics.diversity import Diversity, changed_share, diversity, sentences


def test_by_hand() -> None:
    replies = [["i", "am", "so", "so", "sorry"], ["i", "am"], [], ["i", "am"]]
    # 9 words: i, am, so, sorry; bigrams "i am" x3, "am so", "so so", "so sorry"; none crosses two replies
    # three sentences, all among the ten commonest; no three neighbouring words twice
    assert diversity(replies) == Diversity(4 / 9, 4 / 6, 3 / 4, 9 / 4, 1.0, 0.0, reply_count=3, word_types=4)
    assert diversity([["I", "i"]]).word_types == 2


def test_replies_are_compared_token_by_token() -> None:
    assert diversity([["can", "not"], ["can not"]]).distinct_replies == 1.0
    assert changed_share([["can", "not"]], [["can not"]]) == 1.0


def test_nothing_to_count() -> None:
    assert diversity([]) == Diversity(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)
    assert diversity([["oh"]]).distinct2 == 0.0


def test_sentences() -> None:
    assert sentences(["oh", "no", "!", "!", "how", "old", "was", "he", "?", "i", "hope"]) == [
        ("oh", "no", "!", "!"),
        ("how", "old", "was", "he", "?"),
        ("i", "hope"),
    ]
    assert sentences([]) == []
    assert sentences([".", "oh"]) == [(".",), ("oh",)]


def test_the_share_of_the_commonest_sentences() -> None:
    """Of 12 sentences said 1, 2, ... 12 times the first two are not among the ten commonest."""
    replies = [["word", str(n), "."] for n in range(1, 13) for _ in range(n)]
    assert diversity(replies).frequent == 1 - 3 / 78


def test_replies_that_repeat_three_words() -> None:
    replies = ["a b c a b c", "a b a b", "a b c d a b c", "a a a a", "a a a"]
    assert diversity([text.split() for text in replies]).repeats == 3 / 5


def test_changed_share() -> None:
    assert changed_share([["a"], ["b", "c"], [], ["d"]], [["a"], ["b"], [], ["e"]]) == 0.5
    with pytest.raises(ValueError, match="zip"):
        changed_share([["a"]], [])
