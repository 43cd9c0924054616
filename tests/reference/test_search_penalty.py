"""repetition_penalty as Hugging Face defines it: on logits in greedy search and sampling, on log-probs in beams."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from mime_fast.config.generation import GenerationConfig
from mime_fast.errors import ConfigError
from mime_fast.reference.candidates import Next, penalise
from mime_fast.reference.search import search
from tests.reference.fake_decoder import EOS, SOS, A, B, C, FakeDecoder, Row, Tokens, logs, random_model, run, table

TABLE = {(): [0.0, 0.6, 0.3, 0.1]} | {
    tokens: [0.04, 0.6, 0.3, 0.06] for tokens in [(A,), (B,), (C,), (A, A), (A, B), (B, A), (B, B), (A, C), (C, A)]
}


class Logits(FakeDecoder):
    """A model that says the same logits every time; its log-probs are their log_softmax."""

    def __init__(self, *logits: float) -> None:
        super().__init__(lambda model, tokens: logits, len(logits))

    def step(self, tokens: Tensor, state: list[Row]) -> Next[list[Row]]:
        logits, _, state = super().step(tokens, state)
        return Next(logits, logits.log_softmax(dim=-1), state)


def test_what_is_divided_and_what_multiplied() -> None:
    values = torch.tensor([[2.0, -2.0, 0.0, -math.inf, 5.0]])
    assert penalise(values, [[0, 1, 2, 3]], 4.0).tolist() == [[0.5, -8.0, 0.0, -math.inf, 5.0]]
    assert values.tolist() == [[2.0, -2.0, 0.0, -math.inf, 5.0]]


def test_greedy_looks_at_logits() -> None:
    """3 / 1.4 is less than 2.5, -1 is more than -0.8 * 1.4: log-probs, negative all, would say otherwise."""
    (found,) = run(Logits(-9.0, 3.0, 2.5), num_beams=1, max_new_tokens=3, repetition_penalty=1.4)[0]
    assert found.token_ids == (A, B, A)
    (found,) = run(Logits(-9.0, -0.8, -1.0), num_beams=1, max_new_tokens=2, repetition_penalty=1.4)[0]
    assert found.token_ids == (A, B)
    model = torch.tensor([-9.0, -0.8, -1.0], dtype=torch.float64).log_softmax(dim=0).tolist()
    assert found.token_logprobs == pytest.approx((model[A], model[B]))  # the model's
    assert found.score == pytest.approx(found.logprob / 2)


def test_a_token_is_penalised_once_however_often_it_came() -> None:
    (found,) = run(Logits(-9.0, 3.0, 1.0), num_beams=1, max_new_tokens=4, repetition_penalty=2.0)[0]
    assert found.token_ids == (A, A, A, A)


def test_beams_rank_by_penalised_log_probs_and_report_the_models() -> None:
    (first, *_) = run(table(TABLE), num_beams=2, max_new_tokens=2, repetition_penalty=3.0, length_penalty=1.0)[0]
    assert first.token_ids == (A, B)  # log 0.6 + log 0.3 > log 0.6 + 3 log 0.6 and the others
    assert first.token_logprobs == pytest.approx(logs(0.6, 0.3))
    options: dict[str, Any] = {"num_beams": 2, "max_new_tokens": 2, "num_return_sequences": 2, "length_penalty": 1.0}
    found = run(table({tokens: [0.0, 0.9, 0.1, 0.0] for tokens in TABLE}), repetition_penalty=1.5, **options)[0]
    repeated = found[0]
    assert repeated.token_ids == (A, A)
    assert repeated.logprob == pytest.approx(2 * math.log(0.9))
    assert repeated.score == pytest.approx((1 + 1.5) * math.log(0.9) / 2)
    assert found[1].score < repeated.score


def test_forced_tokens_are_not_penalised_but_count() -> None:
    (found,) = run(table(TABLE), prefixes=[(A, A)], num_beams=2, max_new_tokens=3, repetition_penalty=2.5)[0]
    assert found.token_ids[:2] == (A, A)
    assert found.token_ids[2] in (B, EOS)
    assert found.score == pytest.approx((2 * math.log(0.6) + found.token_logprobs[2]) / 3)


def test_sampling_filters_what_is_penalised() -> None:
    """The penalty comes before temperature and top_k: with top_k=1 the token that is drawn is greedy's."""
    for decoder in (Logits(-9.0, 3.0, 2.5), Logits(-9.0, -0.8, -1.0)):
        options: dict[str, Any] = {"num_beams": 1, "max_new_tokens": 3, "repetition_penalty": 1.4}
        greedy = run(decoder, **options)
        assert run(decoder, do_sample=True, top_k=1, temperature=0.7, **options) == greedy


def test_bans_hold_whatever_the_penalty() -> None:
    options: dict[str, Any] = {"max_new_tokens": 2, "repetition_penalty": 0.05}
    for beams in (1, 3):
        (found,) = run(table(TABLE), num_beams=beams, suppress_tokens=(A,), no_repeat_ngram_size=1, **options)[0]
        assert sorted(found.token_ids) == [B, C]


class OneRow(FakeDecoder):
    """Does not look at what was fed."""

    def step(self, tokens: Tensor, state: list[Row]) -> Next[list[Row]]:
        values = torch.tensor([self.distribution(0, ())])
        return Next(values, values, state)


def test_the_first_token_of_all_is_one_that_was_said() -> None:
    """Hugging Face's input_ids begin with the start token."""

    def said(penalty: float) -> Tokens:
        decoder = OneRow(lambda model, tokens: logs(0.1, 0.0, 0.2, 0.7), 4)
        options = GenerationConfig(num_beams=2, max_new_tokens=1, repetition_penalty=penalty)
        keys: dict[str, Any] = {"seeds": [0], "request_ids": [0], "eos_token_id": 0, "sos_token_id": 3}
        start: list[Row] = [(0, ())]
        return search(decoder, start, 1, options, **keys)[0][0].token_ids

    assert said(1.0) == (3,)
    assert said(9.0) == (2,)
    assert SOS not in said(9.0)


def plain_beams(seed: int, penalty: float, width: int, length: int) -> list[Tokens]:
    """All sequences that never end, ranked by hand: the beams of a model without EOS are the best prefixes."""
    model = random_model(seed, 6)
    live: list[tuple[float, Tokens]] = [(0.0, ())]
    for _ in range(length):
        every = []
        for total, tokens in live:
            values = list(model.distribution(0, tokens))
            for token in {*tokens}:
                values[token] *= penalty
            every += [(total + value, (*tokens, token)) for token, value in enumerate(values)]
        live = sorted(every, reverse=True)[:width]
    return [tokens for _, tokens in live]


@pytest.mark.parametrize("penalty", [0.5, 1.3, 2.0])
@pytest.mark.parametrize("seed", range(5))
def test_beams_by_hand(seed: int, penalty: float) -> None:
    options: dict[str, Any] = {"num_beams": 3, "num_return_sequences": 3, "max_new_tokens": 4}
    found = run(random_model(seed, 6), eos=None, repetition_penalty=penalty, **options)[0]
    assert [one.token_ids for one in found] == plain_beams(seed, penalty, 3, 4)


def test_the_released_beam_refuses_it() -> None:
    with pytest.raises(ConfigError, match=r"search='mime' is the released beam: .*, not repetition_penalty=1\.2"):
        GenerationConfig(num_beams=2, search="mime", repetition_penalty=1.2)
    for bad in (0.0, -1.0, 0.001, 1000.0, math.nan):
        with pytest.raises(ConfigError, match="repetition_penalty="):
            GenerationConfig(repetition_penalty=bad)
