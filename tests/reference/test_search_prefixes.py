"""Responses that begin with given tokens, in every search."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mime_fast.errors import BackendError, ConfigError, InputError
from tests.reference.fake_decoder import EOS, A, B, C, FakeDecoder, Tokens, ids, logs, random_model, run, table

MODEL = {
    (): [0.5, 0.4, 0.1],
    (B,): [0.3, 0.6, 0.1],
    (B, A): [0.2, 0.3, 0.5],
    (B, A, A): [0.9, 0.05, 0.05],
    (B, A, B): [0.8, 0.1, 0.1],
}
WAYS: list[dict[str, Any]] = [
    {"num_beams": 1},
    {"num_beams": 1, "do_sample": True, "num_return_sequences": 3, "top_k": 3, "top_p": 0.9, "temperature": 1.5},
    {"num_beams": 3, "num_return_sequences": 3},
    {"num_beams": 2, "num_return_sequences": 2, "length_penalty": 0.0, "no_repeat_ngram_size": 2},
    {"num_beams": 3, "num_return_sequences": 3, "search": "mime"},
]


def test_greedy_goes_on_from_the_prefix() -> None:
    decoder = table(MODEL)
    (found,) = run(decoder, prefixes=[(B, A)], num_beams=1)[0]
    assert found.token_ids == (B, A, B)
    assert found.token_logprobs == pytest.approx(logs(0.1, 0.6, 0.5, 0.8))
    assert found.logprob == pytest.approx(math.fsum(found.token_logprobs))
    assert found.score == pytest.approx(found.logprob / 4)
    assert found.count == 4


def test_beams_are_one_row_until_the_prefix_ends() -> None:
    decoder = table(MODEL)
    found = run(decoder, prefixes=[(B, A)], num_beams=2, num_return_sequences=2, length_penalty=0.0)[0]
    assert [len(rows) for rows in decoder.steps] == [1, 1, 1, 2]
    assert ids(found) == [(B, A, B), (B, A, A)]
    assert [one.logprob for one in found] == pytest.approx(logs(0.06 * 0.5 * 0.8, 0.06 * 0.3 * 0.9))


def test_the_released_beam_takes_prefixes_too() -> None:
    found = run(table(MODEL), prefixes=[(B, A)], search="mime", num_beams=2, num_return_sequences=2)[0]
    assert ids(found)[0] == (B, A, B)
    assert found[0].score == pytest.approx(logs(0.06 * 0.5 * 0.8)[0])


def test_bans_do_not_touch_the_prefix_but_see_it() -> None:
    flat = FakeDecoder(lambda _, tokens: logs(0.1, 0.3, 0.35, 0.25), 4)
    (found,) = run(flat, prefixes=[(B, B)], num_beams=1, suppress_tokens=[B], max_new_tokens=3)[0]
    assert found.token_ids == (B, B, A)
    (found,) = run(flat, prefixes=[(B, A, B)], num_beams=1, no_repeat_ngram_size=2, max_new_tokens=4)[0]
    assert found.token_ids == (B, A, B, B)  # B A is there already
    (found,) = run(flat, prefixes=[(A, B, A, B)], num_beams=1, no_repeat_ngram_size=2, max_new_tokens=5)[0]
    assert found.token_ids == (A, B, A, B, B)  # the prefix itself repeats


def test_forced_tokens_count_as_new_ones() -> None:
    ending = FakeDecoder(lambda _, tokens: logs(0.9, 0.06, 0.04), 3)
    (found,) = run(ending, prefixes=[(B, B)], num_beams=1, min_new_tokens=2)[0]
    assert found.token_ids == (B, B)
    (found,) = run(ending, prefixes=[(B, B)], num_beams=1, min_new_tokens=3)[0]
    assert found.token_ids == (B, B, A)
    (found,) = run(ending, prefixes=[(B, B)], eos=None, num_beams=1, max_new_tokens=3)[0]
    assert found.token_ids == (B, B, EOS)


@pytest.mark.parametrize("way", WAYS)
def test_a_forced_token_that_cannot_be_is_no_response(way: dict[str, Any]) -> None:
    model = table({(): [0.5, 0.5, 0.0], (A,): [1.0, 0.0, 0.0]})
    with pytest.raises(ConfigError, match=r"no response can be generated for dialogues \[7\]"):
        run(model, prefixes=[(B,)], numbers=[7], **way)


@pytest.mark.parametrize("way", WAYS)
def test_nan_under_a_prefix_is_an_error(way: dict[str, Any]) -> None:
    broken = FakeDecoder(lambda model, tokens: [math.nan if tokens and model == 1 else -1.0] * 3, 3)
    with pytest.raises(BackendError, match=r"NaN at step 1 for dialogues \[9\]"):
        run(broken, models=[0, 1], prefixes=[(), (B, B)], numbers=[8, 9], **way)


@given(
    seed=st.integers(0, 10**6),
    prefixes=st.lists(st.lists(st.integers(1, 3), max_size=4).map(tuple), min_size=1, max_size=4),
    way=st.sampled_from(WAYS),
    minimum=st.integers(0, 4),
)
@settings(max_examples=80, deadline=None)
def test_it_equals_a_model_that_can_say_nothing_else(
    seed: int, prefixes: list[Tokens], way: dict[str, Any], minimum: int
) -> None:
    """The others' probability is 0 there; each dialogue has a prefix of its own length."""
    plain = random_model(seed, 4)

    def forced(model: int, tokens: Tokens) -> list[float]:
        values = list(plain.distribution(model, tokens))
        coming = prefixes[model][len(tokens) : len(tokens) + 1]
        return [value if not coming or token in coming else -math.inf for token, value in enumerate(values)]

    way = {name: value for name, value in way.items() if name != "no_repeat_ngram_size"}  # would ban forced tokens
    way |= {"max_new_tokens": 6, "min_new_tokens": minimum}
    models = range(len(prefixes))
    found = run(plain, models=models, prefixes=prefixes, **way)
    assert found == run(FakeDecoder(forced, 4), models=models, **way)
    assert all(
        one.token_ids[: len(prefix)] == prefix for prefix, each in zip(prefixes, found, strict=True) for one in each
    )
    for model in models:
        assert run(plain, models=[model], prefixes=[prefixes[model]], **way)[0] == found[model]


@pytest.mark.parametrize(
    ("prefixes", "message"),
    [
        ([(A,), ()], "2 prefixes for 1 dialogues"),
        ([(A, A, A)], "the prefix of dialogue 0 has 3 tokens; must have fewer than max_new_tokens=3"),
        ([(A, EOS)], "the prefix of dialogue 0 contains 0: must be ids from 0 to 3 without eos_token_id=0"),
        ([(A, 4)], "contains 4: must be ids from 0 to 3"),
        ([(-1,)], "contains -1"),
    ],
)
def test_prefixes_are_checked(prefixes: list[Tokens], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(random_model(0, 4), prefixes=prefixes, max_new_tokens=3)


def test_one_number_a_dialogue() -> None:
    with pytest.raises(InputError, match="1 numbers for 2 dialogues"):
        run(random_model(0, 4), models=[0, 1], numbers=[C])
