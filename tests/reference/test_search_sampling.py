"""Sampling: kept sets, frequencies, and who shares a draw with whom."""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import Any

import pytest
import torch

from mime_fast.config.generation import GenerationConfig
from mime_fast.errors import ConfigError
from mime_fast.reference.philox import gumbel
from mime_fast.reference.search import filter_logits
from mime_fast.reference.search_checks import check_options
from tests.reference.fake_decoder import A, B, C, D, FakeDecoder, Tokens, logs, random_model, run

LIMITS = {1: 10.83, 2: 13.82, 3: 16.27}  # 0.999 quantiles of chi-square by degrees of freedom
SAMPLE: dict[str, Any] = {"num_beams": 1, "do_sample": True}


def kept(probabilities: list[float], **options: Any) -> set[int]:
    config = GenerationConfig(num_beams=1, do_sample=True, **options)
    (row,) = filter_logits(torch.tensor([logs(*probabilities)]), config).tolist()
    return {token for token, value in enumerate(row) if value > -inf}


def test_no_more_steps_than_have_random_numbers_of_their_own() -> None:
    most = GenerationConfig(num_beams=1, do_sample=True, max_new_tokens=2**14)
    check_options(most, 10)
    check_options(most.replace(max_new_tokens=2**14 + 1, do_sample=False), 10)
    with pytest.raises(ConfigError, match="max_new_tokens=16385: must be at most 16384 with do_sample=True"):
        check_options(most.replace(max_new_tokens=2**14 + 1), 10)


@pytest.mark.parametrize(
    ("probabilities", "options", "expected"),
    [
        ([0.1, 0.4, 0.2, 0.3], {}, {0, 1, 2, 3}),
        ([0.1, 0.4, 0.2, 0.3], {"top_k": 2}, {1, 3}),
        ([0.1, 0.3, 0.3, 0.3], {"top_k": 2}, {1, 2, 3}),  # ties at the k-th place are all kept
        ([0.1, 0.4, 0.2, 0.3], {"top_k": 9}, {0, 1, 2, 3}),
        ([0.5, 0.5, 0.0, 0.0], {"top_k": 3}, {0, 1}),
        ([0.125, 0.5, 0.125, 0.25], {"top_p": 0.5}, {1}),  # reached exactly
        ([0.125, 0.5, 0.125, 0.25], {"top_p": 0.51}, {1, 3}),
        ([0.125, 0.5, 0.125, 0.25], {"top_p": 0.76}, {0, 1, 3}),  # of equal ones the lowest id
        ([0.125, 0.5, 0.125, 0.25], {"top_p": 1e-9}, {1}),
        ([0.25, 0.25, 0.25, 0.25], {"top_p": 0.3}, {0, 1}),
        ([0.2, 0.4, 0.2, 0.2], {"top_k": 1, "top_p": 0.9}, {1}),
        ([0.1, 0.4, 0.2, 0.3], {"top_k": 2, "top_p": 0.55}, {1}),  # 0.4 / 0.7 is enough after top_k
        ([0.1, 0.4, 0.2, 0.3], {"top_p": 0.55}, {1, 3}),
        ([0.1, 0.4, 0.2, 0.3], {"top_p": 0.55, "temperature": 0.4}, {1}),  # temperature comes first
        ([0.0, 0.5, 0.5, 0.0], {"top_p": 0.999999}, {1, 2}),
    ],
)
def test_kept_tokens(probabilities: list[float], options: dict[str, Any], expected: set[int]) -> None:
    assert kept(probabilities, **options) == expected


def test_top_p_takes_the_lowest_of_many_equal_tokens() -> None:
    assert kept([1 / 4096] * 4096, top_p=0.25) == set(range(1024))


def test_filters_work_in_float64() -> None:
    config = GenerationConfig(num_beams=1, do_sample=True, temperature=3.0)
    log_probs = torch.tensor([[-1.0, -2.5]], dtype=torch.float32)
    logits = filter_logits(log_probs, config)
    assert logits.dtype == torch.float64
    assert logits.tolist() == [[-1.0 / 3.0, -2.5 / 3.0]]


def frequencies(decoder: FakeDecoder, draws: int, **options: Any) -> Counter[Tokens]:
    (found,) = run(decoder, **SAMPLE, num_return_sequences=draws, **options)
    assert len(found) == draws
    return Counter(hypothesis.token_ids for hypothesis in found)


def assert_drawn_from(expected: dict[Tokens, float], counts: Counter[Tokens]) -> None:
    draws = counts.total()
    assert set(counts) <= set(expected)
    chi_square = sum((counts[tokens] - draws * p) ** 2 / (draws * p) for tokens, p in expected.items())
    assert chi_square < LIMITS[len(expected) - 1]


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({}, [0.4, 0.3, 0.2, 0.1]),
        ({"temperature": 0.5}, [0.16, 0.09, 0.04, 0.01]),
        ({"temperature": 2.0}, [0.4**0.5, 0.3**0.5, 0.2**0.5, 0.1**0.5]),
        ({"top_k": 3}, [0.4, 0.3, 0.2, 0.0]),
        ({"top_p": 0.6}, [0.4, 0.3, 0.0, 0.0]),
        ({"suppress_tokens": (A,)}, [0.0, 0.3, 0.2, 0.1]),  # the rest is renormalised by the draw
    ],
)
def test_frequencies_are_those_of_the_kept_distribution(options: dict[str, Any], weights: list[float]) -> None:
    decoder = FakeDecoder(lambda _, tokens: logs(0.0, 0.4, 0.3, 0.2, 0.1), 5)
    expected: dict[Tokens, float] = {
        (token,): w / sum(weights) for token, w in zip((A, B, C, D), weights, strict=True) if w
    }
    counts = frequencies(decoder, 3000, eos=None, max_new_tokens=1, **options)
    assert_drawn_from(expected, counts)


def test_steps_are_independent() -> None:
    decoder = FakeDecoder(lambda _, tokens: logs(0.0, 0.5, 0.5), 3)
    counts = frequencies(decoder, 2000, eos=None, max_new_tokens=2)
    assert_drawn_from({(x, y): 0.25 for x in (A, B) for y in (A, B)}, counts)


def test_requests_and_seeds_are_independent() -> None:
    decoder = FakeDecoder(lambda _, tokens: logs(0.0, 0.5, 0.5), 3)
    requests = list(range(2000))
    for request_ids, seeds in ((requests, [5] * 2000), ([5] * 2000, requests)):
        keys: dict[str, Any] = {"request_ids": request_ids, "seeds": seeds}
        found = run(decoder, models=[0] * 2000, eos=None, max_new_tokens=1, **SAMPLE, **keys)
        counts = Counter(hypothesis.token_ids for (hypothesis,) in found)
        assert_drawn_from({(A,): 0.5, (B,): 0.5}, counts)


def test_draw_is_the_argmax_of_logit_plus_gumbel() -> None:
    decoder = random_model(2, 6)
    options = SAMPLE | {"max_new_tokens": 4, "temperature": 0.7, "num_return_sequences": 3}
    found = run(decoder, eos=None, seeds=[2**64 - 1], request_ids=[2**63], **options)[0]
    for sequence, hypothesis in enumerate(found):
        for step, token in enumerate(hypothesis.token_ids):
            noise = gumbel([2**64 - 1], [2**63], [step], [sequence], torch.arange(6).numpy()[None])[0]
            log_probs = decoder.distribution(0, hypothesis.token_ids[:step])
            totals = [value / 0.7 + float(g) for value, g in zip(log_probs, noise, strict=True)]
            assert token == totals.index(max(totals))
            assert hypothesis.token_logprobs[step] == log_probs[token]  # the model's, not the filtered one


def test_a_sequence_does_not_depend_on_how_many_there_are() -> None:
    decoder = random_model(4, 6)
    many = run(decoder, num_return_sequences=5, max_new_tokens=8, **SAMPLE)[0]
    few = run(decoder, num_return_sequences=2, max_new_tokens=8, **SAMPLE)[0]
    assert many[:2] == few
    assert len({hypothesis.token_ids for hypothesis in many}) > 1


def test_seed_and_request_decide_alone() -> None:
    decoder = random_model(4, 6)

    def sample(seed: int, request: int) -> object:
        return run(decoder, seeds=[seed], request_ids=[request], max_new_tokens=12, **SAMPLE)

    assert sample(1, 2) == sample(1, 2)
    assert sample(1, 2) != sample(2, 1)
    assert sample(1, 2) != sample(1, 3)


def test_sampled_score_and_order() -> None:
    decoder = random_model(9, 4)
    found = run(decoder, num_return_sequences=6, max_new_tokens=5, length_penalty=0.5, **SAMPLE)[0]
    for hypothesis in found:
        assert hypothesis.score == hypothesis.logprob / hypothesis.count**0.5
    scores = [hypothesis.score for hypothesis in found]
    assert scores != sorted(scores, reverse=True)  # in the order of the sequence numbers


def test_bans_come_before_the_filters() -> None:
    decoder = FakeDecoder(lambda _, tokens: logs(0.6, 0.3, 0.1), 3)
    ((found,),) = run(decoder, top_k=1, min_new_tokens=1, max_new_tokens=2, **SAMPLE)
    assert found.token_ids == (A,)


def test_a_sequence_without_a_token_left_is_dropped() -> None:
    # After B everything is impossible; both starts are equally likely.
    model = {(): logs(0.0, 0.5, 0.5), (A,): logs(1.0, 0.0, 0.0), (B,): [-inf] * 3}
    found = run(FakeDecoder(lambda _, tokens: model[tokens], 3), num_return_sequences=20, **SAMPLE)[0]
    assert {hypothesis.token_ids for hypothesis in found} == {(A,)}
    assert 0 < len(found) < 20
