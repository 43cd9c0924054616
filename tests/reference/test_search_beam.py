"""Beam search with a pool of finished hypotheses (search="standard")."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.fake_decoder import EOS, A, B, C, FakeDecoder, Tokens, ids, logs, random_model, run, table

# Greedy goes A (0.6) and ends at 0.6 * 0.4; B is the better start.
GARDEN_PATH = {
    (): [0.0, 0.6, 0.4],
    (A,): [0.4, 0.3, 0.3],
    (B,): [0.9, 0.05, 0.05],
    (A, A): [0.5, 0.25, 0.25],
    (A, B): [0.5, 0.25, 0.25],
}


def test_beams_find_what_greedy_misses() -> None:
    assert ids(run(table(GARDEN_PATH), num_beams=1)[0]) == [(A,)]
    found = run(table(GARDEN_PATH), num_beams=2, num_return_sequences=2, length_penalty=0.0)[0]
    assert ids(found) == [(B,), (A,)]
    assert [hypothesis.logprob for hypothesis in found] == pytest.approx(logs(0.36, 0.24))
    assert [hypothesis.score for hypothesis in found] == pytest.approx(logs(0.36, 0.24))
    assert [hypothesis.finish_reason for hypothesis in found] == ["eos", "eos"]


def test_done_as_soon_as_no_live_beam_is_better() -> None:
    decoder = table(GARDEN_PATH)
    run(decoder, num_beams=2, length_penalty=0.0)
    assert [len(rows) for rows in decoder.steps] == [1, 2]


LENGTHS = {
    (): [0.3, 0.7],
    (A,): [0.2, 0.8],
    (A, A): [0.3, 0.7],
    (A, A, A): [1.0, 0.0],
}


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [(0.0, (A, A, A)), (1.0, (A, A, A)), (-2.0, ())],
)
def test_length_penalty_decides_between_lengths(penalty: float, expected: Tokens) -> None:
    # "" 0.3, "A" 0.14, "A A" 0.168, "A A A" 0.392
    found = run(table(LENGTHS), num_beams=3, num_return_sequences=3, length_penalty=penalty, max_new_tokens=4)[0]
    assert found[0].token_ids == expected
    for hypothesis in found:
        assert hypothesis.count == len(hypothesis.token_ids) + 1
        assert hypothesis.score == hypothesis.logprob / float(hypothesis.count) ** penalty


def test_eos_after_the_first_k_is_dropped() -> None:
    # At the first step EOS has rank 2 of 2 beams: it may not finish, though "" would score best of all.
    model = {(): [0.28, 0.4, 0.32], (A,): [0.01, 0.5, 0.49], (B,): [0.01, 0.2, 0.79]}
    found = run(table(model), num_beams=2, num_return_sequences=2, max_new_tokens=2, length_penalty=0.0)[0]
    assert ids(found) == [(B, B), (A, A)]
    assert [hypothesis.finish_reason for hypothesis in found] == ["length", "length"]


def test_no_more_than_k_beams_live() -> None:
    decoder = random_model(5, 9)
    run(decoder, eos=None, num_beams=3, max_new_tokens=4)
    assert [len(rows) for rows in decoder.steps] == [1, 3, 3, 3]


def test_eos_inside_the_first_k_finishes_and_the_next_token_lives() -> None:
    model = {(): [0.3, 0.5, 0.2], (A,): [0.1, 0.45, 0.45], (B,): [0.1, 0.1, 0.8]}
    decoder = table(model)
    found = run(decoder, num_beams=2, num_return_sequences=2, max_new_tokens=2, length_penalty=0.0)[0]
    assert [fed[1:] for _, fed in decoder.steps[1]] == [(A,), (B,)]
    assert ids(found) == [(), (A, A)]
    assert [hypothesis.finish_reason for hypothesis in found] == ["eos", "length"]


def test_pool_keeps_the_k_best_and_ties_keep_the_earlier() -> None:
    # "" enters with -2; "A" ties after it; "A A" ties too and stays out; unfinished "A A A" puts "A" out.
    exact: dict[Tokens, list[float]] = {(): [-2.0, -0.5], (A,): [-1.5, -0.5], (A, A): [-1.0, -0.75]}
    decoder = FakeDecoder(lambda _, tokens: exact[tokens], 2)
    found = run(decoder, num_beams=2, num_return_sequences=2, max_new_tokens=3, length_penalty=0.0)[0]
    assert [(hypothesis.token_ids, hypothesis.score) for hypothesis in found] == [((A, A, A), -1.75), ((), -2.0)]


def test_search_goes_on_while_a_live_beam_could_displace_the_worst() -> None:
    # After step 2 the pool is full: "" -1 and "A" (-0.5 - 3) / 2 = -1.75; the live "A A" is at -1 / 2.
    exact: dict[Tokens, list[float]] = {(): [-1.0, -0.5], (A,): [-3.0, -0.5], (A, A): [-0.5, -9.0]}
    decoder = FakeDecoder(lambda _, tokens: exact[tokens], 2)
    found = run(decoder, num_beams=2, num_return_sequences=2, max_new_tokens=3)[0]
    assert ids(found) == [(A, A), ()]
    assert [hypothesis.score for hypothesis in found] == [-1.5 / 3, -1.0]


@pytest.mark.parametrize(
    ("penalty", "second", "expected"),
    [
        # After step 2 the live "A A" has -1.5, between the pool's "" -1 and "A" -3.5: it may still put "A" out.
        (0.0, -1.0, [((), -1.0), ((A, A), -2.0)]),
        # Its total of -2 is below "A"'s (-0.5 - 3) / 2; what counts is -2 / 2.
        (1.0, -1.5, [((A, A), -2.5 / 3), ((), -1.0)]),
    ],
)
def test_the_worst_of_the_pool_and_the_penalised_score_decide(
    penalty: float, second: float, expected: list[tuple[Tokens, float]]
) -> None:
    exact: dict[Tokens, list[float]] = {(): [-1.0, -0.5], (A,): [-3.0, second], (A, A): [-0.5, -9.0]}
    decoder = FakeDecoder(lambda _, tokens: exact[tokens], 2)
    options: dict[str, Any] = {"num_beams": 2, "num_return_sequences": 2, "max_new_tokens": 3}
    found = run(decoder, length_penalty=penalty, **options)[0]
    assert [(hypothesis.token_ids, hypothesis.score) for hypothesis in found] == expected


def test_worst_of_the_pool_equal_to_the_best_live_beam_is_done() -> None:
    exact: dict[Tokens, list[float]] = {(): [-1.0, -0.5], (A,): [-1.5, -1.5]}
    decoder = FakeDecoder(lambda _, tokens: exact[tokens], 2)
    found = run(decoder, num_beams=2, num_return_sequences=2, length_penalty=0.0)[0]
    assert ids(found) == [(), (A,)]
    assert len(decoder.steps) == 2


def test_ties_between_beams_go_to_the_lower_beam_then_the_lower_token() -> None:
    decoder = FakeDecoder(lambda _, tokens: [-9.0, -1.0, -1.0, -1.0], 4)
    found = run(decoder, num_beams=4, num_return_sequences=4, max_new_tokens=2)[0]
    assert ids(found) == [(A, A), (A, B), (A, C), (B, A)]


def test_no_live_beam_left() -> None:
    found = run(table({(): [0.5, 0.5], (A,): [1.0, 0.0]}), num_beams=4, num_return_sequences=4, length_penalty=0.0)[0]
    assert ids(found) == [(), (A,)]


def test_fewer_hypotheses_than_asked_for_are_not_invented() -> None:
    found = run(table({(): [0.6, 0.4]}), num_beams=5, num_return_sequences=5, max_new_tokens=1)[0]
    assert ids(found) == [(), (A,)]
    assert [hypothesis.finish_reason for hypothesis in found] == ["eos", "length"]


def test_no_ngram_repeats_within_each_beam() -> None:
    options: dict[str, Any] = {
        "num_beams": 4,
        "num_return_sequences": 4,
        "max_new_tokens": 9,
        "no_repeat_ngram_size": 2,
    }
    for hypothesis in run(random_model(11, 4), eos=None, **options)[0]:
        pairs = list(itertools.pairwise(hypothesis.token_ids))
        assert len(pairs) == len(set(pairs)) == 8


def test_dialogues_with_different_numbers_of_beams_share_a_batch() -> None:
    narrow = {(): [0.5, 0.5, 0.0], (A,): [0.5, 0.5, 0.0], (A, A): [0.5, 0.5, 0.0]}
    wide = {(): [0.0, 0.5, 0.5], (A,): [0.6, 0.2, 0.2], (B,): [0.5, 0.3, 0.2]}
    wide |= {(first, second): [0.9, 0.05, 0.05] for first in (A, B) for second in (A, B)}
    decoder = table(narrow, wide)
    options: dict[str, Any] = {"num_beams": 2, "num_return_sequences": 2, "max_new_tokens": 3}
    batch = run(decoder, models=[0, 1], **options)
    assert [len(rows) for rows in decoder.steps][:2] == [2, 3]
    assert batch == [run(decoder, models=[model], **options)[0] for model in (0, 1)]


def every_response(decoder: FakeDecoder, length: int) -> dict[Tokens, float]:
    """Log-probs of all responses of at most `length` tokens, EOS included."""
    found: dict[Tokens, float] = {}
    live: dict[Tokens, float] = {(): 0.0}
    for step in range(1, length + 1):
        longer: dict[Tokens, float] = {}
        for prefix, total in live.items():
            for token, value in enumerate(decoder.distribution(0, prefix)):
                into = found if token == EOS or step == length else longer
                into[(*prefix, token)] = total + value
        live = longer
    return found


@given(
    seed=st.integers(0, 10**6),
    vocab_size=st.integers(2, 3),
    length=st.integers(1, 4),
    penalty=st.sampled_from([-1.0, 0.0, 0.7, 1.0, 2.0]),
)
@settings(max_examples=60, deadline=None)
def test_beam_as_wide_as_the_tree_equals_exhaustive_search(
    seed: int, vocab_size: int, length: int, penalty: float
) -> None:
    decoder = random_model(seed, vocab_size)
    totals = every_response(decoder, length)
    scores = {tokens: total / float(len(tokens)) ** penalty for tokens, total in totals.items()}
    expected = sorted(scores, key=lambda tokens: -scores[tokens])
    found = run(decoder, num_beams=100, num_return_sequences=100, max_new_tokens=length, length_penalty=penalty)[0]
    produced = [(*h.token_ids, EOS) if h.finish_reason == "eos" else h.token_ids for h in found]
    assert produced == expected
    assert [h.score for h in found] == [scores[tokens] for tokens in expected]


@given(seed=st.integers(0, 10**6), beams=st.integers(2, 5), penalty=st.sampled_from([0.0, 1.0, 2.0]))
@settings(max_examples=40, deadline=None)
def test_hypotheses_are_consistent_distinct_and_ordered(seed: int, beams: int, penalty: float) -> None:
    decoder = random_model(seed, 4)
    found = run(decoder, num_beams=beams, num_return_sequences=beams, max_new_tokens=6, length_penalty=penalty)[0]
    assert len({(h.token_ids, h.finish_reason) for h in found}) == len(found) == beams
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    for h in found:
        tokens = (*h.token_ids, EOS) if h.finish_reason == "eos" else h.token_ids
        assert EOS not in h.token_ids
        assert len(tokens) == h.count <= 6
        assert h.token_logprobs == tuple(decoder.distribution(0, tokens[:at])[token] for at, token in enumerate(tokens))
        assert h.logprob == pytest.approx(math.fsum(h.token_logprobs))
