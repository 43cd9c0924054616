"""Greedy search, bans, batches and refusals."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mime_fast.errors import BackendError, ConfigError, InputError
from mime_fast.reference.candidates import exact_topk
from mime_fast.reference.hypothesis import Hypothesis
from tests.reference.fake_decoder import EOS, SOS, A, B, C, FakeDecoder, Tokens, ids, logs, random_model, run, table

STORY = {
    (): [0.1, 0.5, 0.4],
    (A,): [0.2, 0.3, 0.5],
    (A, B): [0.6, 0.3, 0.1],
    (A, B, A): [0.9, 0.05, 0.05],
}


def test_greedy_takes_the_most_probable_token_until_eos() -> None:
    ((found,),) = run(table(STORY), num_beams=1, length_penalty=2.0)
    assert found.token_ids == (A, B)
    assert found.finish_reason == "eos"
    assert found.token_logprobs == pytest.approx(logs(0.5, 0.5, 0.6))
    assert found.count == 3
    assert found.logprob == pytest.approx(math.log(0.15))
    assert found.score == pytest.approx(math.log(0.15) / 9)


def test_greedy_ends_by_length() -> None:
    ((found,),) = run(table(STORY), num_beams=1, max_new_tokens=2)
    assert (found.token_ids, found.count, found.finish_reason) == ((A, B), 2, "length")


def test_eos_as_last_allowed_token_ends_by_eos() -> None:
    ((found,),) = run(table(STORY), num_beams=1, max_new_tokens=3)
    assert (found.token_ids, found.count, found.finish_reason) == ((A, B), 3, "eos")


def test_without_an_eos_id_greedy_never_stops() -> None:
    decoder = FakeDecoder(lambda _, tokens: logs(0.6, 0.4) if len(tokens) % 2 else logs(0.4, 0.6), 2)
    ((found,),) = run(decoder, eos=None, num_beams=1, max_new_tokens=51)
    assert found.token_ids == (A, EOS) * 25 + (A,)
    assert found.finish_reason == "length"


def test_empty_response() -> None:
    ((found,),) = run(table({(): [0.6, 0.4]}), num_beams=1)
    assert found == Hypothesis((), (math.log(0.6),), math.log(0.6), math.log(0.6), "eos")


def test_argmax_tie_goes_to_the_lowest_id() -> None:
    ((found,),) = run(table({(): [0.1, 0.3, 0.3, 0.3], (A,): [1.0, 0.0, 0.0, 0.0]}), num_beams=1)
    assert found.token_ids == (A,)


def test_sum_is_accumulated_in_the_dtype_of_the_log_probs() -> None:
    decoder = random_model(3, 5, dtype=torch.float32)
    ((found,),) = run(decoder, eos=None, num_beams=1, max_new_tokens=30)
    total = torch.zeros((), dtype=torch.float32)
    for value in found.token_logprobs:
        total = total + torch.tensor(value, dtype=torch.float32)
    assert found.logprob == total.item()
    assert found.logprob != math.fsum(found.token_logprobs)


@pytest.mark.parametrize("beams", [1, 2])
def test_eos_is_banned_until_min_new_tokens(beams: int) -> None:
    decoder = FakeDecoder(lambda _, tokens: logs(0.9, 0.1), 2)
    ((found, *_),) = run(decoder, num_beams=beams, min_new_tokens=3)
    assert found.token_ids == (A, A, A)
    assert found.token_logprobs == pytest.approx(logs(0.1, 0.1, 0.1, 0.9))  # not renormalised
    assert found.finish_reason == "eos"


@pytest.mark.parametrize("beams", [1, 3])
def test_suppressed_tokens_never_come(beams: int) -> None:
    decoder = random_model(7, 6)
    for hypothesis in run(decoder, num_beams=beams, num_return_sequences=beams, suppress_tokens=(A, C))[0]:
        assert not {A, C} & set(hypothesis.token_ids)


@pytest.mark.parametrize(
    ("n", "expected"),
    [(1, (A, B, C)), (2, (A, A, B, A, C)), (3, (A, A, A, B, A))],
)
def test_no_ngram_repeats(n: int, expected: tuple[int, ...]) -> None:
    decoder = FakeDecoder(lambda _, tokens: logs(0.0, 0.5, 0.3, 0.2), 4)
    ((found,),) = run(decoder, eos=None, num_beams=1, max_new_tokens=len(expected), no_repeat_ngram_size=n)
    assert found.token_ids == expected


def test_sos_is_no_part_of_an_ngram() -> None:
    options: dict[str, Any] = {"suppress_tokens": tuple(range(SOS)), "no_repeat_ngram_size": 1, "max_new_tokens": 1}
    ((found,),) = run(random_model(1, SOS + 1), eos=None, num_beams=1, **options)
    assert found.token_ids == (SOS,)


def test_finished_dialogues_leave_the_batch() -> None:
    short: dict[Tokens, list[float]] = {(): [0.9, 0.1]}
    long: dict[Tokens, list[float]] = {(): [0.1, 0.9], (A,): [0.1, 0.9], (A, A): [0.9, 0.1]}
    decoder = table(short, long)
    assert [ids(found) for found in run(decoder, models=[0, 1, 0], num_beams=1)] == [[()], [(A, A)], [()]]
    assert [len(rows) for rows in decoder.steps] == [3, 1, 1]


@pytest.mark.parametrize(
    "options",
    [{"num_beams": 1}, {"num_beams": 3}, {"search": "mime"}, {"num_beams": 1, "do_sample": True}],
    ids=["greedy", "standard", "mime", "sampling"],
)
class TestEverySearch:
    def test_no_dialogues(self, options: dict[str, Any]) -> None:
        assert run(random_model(0, 4), models=[], **options) == []

    def test_nan_is_refused(self, options: dict[str, Any]) -> None:
        def distribution(model: int, tokens: tuple[int, ...]) -> list[float]:
            return [math.nan if model == 5 and len(tokens) == 2 else -2.0, -1.0, -1.0]

        with pytest.raises(BackendError, match=r"NaN at step 2 for dialogues \[1\]"):
            run(FakeDecoder(distribution, 3), models=[4, 5], eos=None, **options)

    def test_one_seed_a_dialogue(self, options: dict[str, Any]) -> None:
        with pytest.raises(InputError, match="1 seeds for 2 dialogues"):
            run(random_model(0, 4), models=[0, 1], seeds=[0], **options)
        with pytest.raises(InputError, match="3 request_ids for 2 dialogues"):
            run(random_model(0, 4), models=[0, 1], request_ids=[0, 1, 2], **options)

    def test_nothing_can_be_generated(self, options: dict[str, Any]) -> None:
        decoder = FakeDecoder(lambda model, _: logs(1.0, 0.0) if model == 1 else logs(0.5, 0.5), 2)
        with pytest.raises(ConfigError, match=r"no response can be generated for dialogues \[1\]"):
            run(decoder, models=[0, 1], min_new_tokens=1, **options)

    def test_eos_outside_the_vocabulary(self, options: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match="eos_token_id=4: must be an id from 0 to 3"):
            run(random_model(0, 4), eos=4, **options)

    def test_batch_equals_singles(self, options: dict[str, Any]) -> None:
        @given(st.integers(0, 10**6), st.sampled_from([0, 2]), st.lists(st.integers(0, 9), max_size=6))
        @settings(max_examples=25, deadline=None)
        def check(seed: int, levels: int, models: list[int]) -> None:
            decoder = random_model(seed, 5, levels=levels, dtype=torch.float32)
            batch = run(decoder, models=models, max_new_tokens=6, **options)
            assert batch == [run(decoder, models=[model], max_new_tokens=6, **options)[0] for model in models]

        check()


def test_options_that_do_not_fit_come_in_one_message() -> None:
    with pytest.raises(ConfigError, match=r"suppress_tokens contains 9.*temperature=1e-301.*length_penalty=400"):
        run(random_model(0, 4), num_beams=1, suppress_tokens=(9,), temperature=1e-301, length_penalty=400)


@pytest.mark.parametrize("penalty", [-300.0, 400.0])
def test_length_penalty_out_of_range(penalty: float) -> None:
    with pytest.raises(ConfigError, match="length_penalty"):
        run(random_model(0, 4), length_penalty=penalty)


ROW = st.lists(st.sampled_from([-3.0, -2.0, -1.0, -math.inf]), min_size=9, max_size=9)


@settings(deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=4), k=st.integers(1, 11))
def test_topk_breaks_ties_by_lowest_index(rows: list[list[float]], k: int) -> None:
    values, indices = exact_topk(torch.tensor(rows), k)
    for row, found, where in zip(rows, values.tolist(), indices.tolist(), strict=True):
        expected = sorted(range(9), key=lambda index: (-row[index], index))[:k]
        assert where == expected
        assert found == [row[index] for index in expected]
