"""Distinct-n and its companions, counted by hand."""

from __future__ import annotations

import pytest

from mime_fast.evaluation.metrics.diversity import Diversity, changed_share, diversity


def test_by_hand() -> None:
    replies = [["i", "am", "so", "so", "sorry"], ["i", "am"], [], ["i", "am"]]
    # 9 words: i, am, so, sorry; bigrams "i am" x3, "am so", "so so", "so sorry"; none crosses two replies
    assert diversity(replies) == Diversity(4 / 9, 4 / 6, 3 / 4, 9 / 4, reply_count=3, word_count=4)


def test_replies_are_compared_token_by_token() -> None:
    assert diversity([["can", "not"], ["can not"]]).distinct_replies == 1.0
    assert changed_share([["can", "not"]], [["can not"]]) == 1.0


def test_nothing_to_count() -> None:
    assert diversity([]) == Diversity(0.0, 0.0, 0.0, 0.0, 0, 0)
    assert diversity([["oh"]]).distinct2 == 0.0


def test_changed_share() -> None:
    assert changed_share([["a"], ["b", "c"], [], ["d"]], [["a"], ["b"], [], ["e"]]) == 0.5
    with pytest.raises(ValueError, match="zip"):
        changed_share([["a"]], [])
