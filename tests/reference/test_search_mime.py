"""The released beam search (search="mime")."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mime_fast.reference.hypothesis import Hypothesis
from tests.reference.fake_decoder import EOS, SOS, A, B, FakeDecoder, Tokens, ids, logs, random_model, run, table

MODEL = {
    (): [0.3, 0.6, 0.1],
    (EOS,): [0.1, 0.0, 0.9],
    (A,): [0.35, 0.4, 0.25],
    (EOS, B): [0.9, 0.05, 0.05],
    (A, A): [0.4, 0.3, 0.3],
}


def test_an_entry_after_the_best_runs_through_its_eos_and_wins() -> None:
    # Step 1: A 0.6, EOS 0.3. Step 2: EOS B 0.27, A A 0.24 (A EOS 0.21). Step 3: EOS B EOS 0.243 ends.
    decoder = table(MODEL)
    found = run(decoder, search="mime", num_beams=2, num_return_sequences=2)[0]
    assert ids(found) == [(EOS, B), (A, A)]
    assert [hypothesis.finish_reason for hypothesis in found] == ["eos", "eos"]
    assert found[0].token_logprobs == pytest.approx(logs(0.3, 0.9, 0.9))
    assert found[0].score == found[0].logprob == pytest.approx(logs(0.243)[0])
    assert [[fed[1:] for _, fed in rows] for rows in decoder.steps] == [[()], [(A,), (EOS,)], [(EOS, B), (A, A)]]


def test_it_stops_at_max_new_tokens() -> None:
    found = run(table(MODEL), search="mime", num_beams=2, num_return_sequences=2, max_new_tokens=2)[0]
    assert ids(found) == [(EOS, B), (A, A)]
    assert [hypothesis.finish_reason for hypothesis in found] == ["length", "length"]


def test_entries_after_an_ended_best_are_returned_as_they_are() -> None:
    found = run(table({(): [0.5, 0.3, 0.2]}), search="mime", num_beams=3, num_return_sequences=3)[0]
    assert [(h.token_ids, h.count, h.finish_reason) for h in found] == [
        ((), 1, "eos"),
        ((A,), 1, "length"),
        ((B,), 1, "length"),
    ]


def test_min_new_tokens_bans_the_eos() -> None:
    found = run(table(MODEL), search="mime", num_beams=1, min_new_tokens=2, max_new_tokens=3)[0]
    assert ids(found) == [(A, A)]
    assert found[0].token_logprobs == pytest.approx(logs(0.6, 0.4, 0.4))


def test_without_an_eos_id_nothing_ends() -> None:
    decoder = FakeDecoder(lambda _, tokens: logs(0.7, 0.3), 2)
    assert ids(run(decoder, eos=None, search="mime", num_beams=2, max_new_tokens=4)[0]) == [(0, 0, 0, 0)]


def test_vocabulary_smaller_than_the_beam() -> None:
    decoder = table({(): [0.4, 0.6], (A,): [0.5, 0.5], (EOS,): [0.0, 1.0]})
    found = run(decoder, search="mime", num_beams=5, num_return_sequences=5, max_new_tokens=2)[0]
    assert ids(found) == [(EOS, A), (A,), (A, A)]  # three extensions exist, EOS EOS is impossible
    assert [h.finish_reason for h in found] == ["length", "eos", "length"]


def test_ties_go_to_the_lower_beam_then_the_lower_token() -> None:
    decoder = FakeDecoder(lambda _, tokens: [-9.0, -1.0, -1.0, -1.0], 4)
    found = run(decoder, search="mime", num_beams=5, num_return_sequences=5, max_new_tokens=3)[0]
    assert ids(found) == [(1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 2, 1), (1, 2, 2)]


def test_finished_dialogues_leave_the_batch() -> None:
    decoder = table({(): [0.9, 0.06, 0.04]}, MODEL)
    run(decoder, models=[0, 1], search="mime", num_beams=2)
    assert [len(rows) for rows in decoder.steps] == [2, 2, 2]


def released_beam(decoder: FakeDecoder, beams: int, steps: int) -> list[tuple[Tokens, float]]:
    """The released search to the letter: K x step matrices of ids, back-pointers, PAD beams at the first step."""
    pad = 98
    scores = np.zeros(beams, dtype=np.float32)
    chosen: list[npt.NDArray[np.int64]] = [np.array([SOS] + [pad] * (beams - 1))]
    pointers: list[npt.NDArray[np.int64]] = []

    def walk(entry: int) -> list[int]:
        backwards = []
        for step in range(len(pointers) - 1, -1, -1):
            backwards.append(int(chosen[step + 1][entry]))
            entry = int(pointers[step][entry])
        return backwards[::-1]

    for step in range(1, steps + 1):
        if step == 1:
            prefixes = chosen[0][:, None]
        else:
            prefixes = np.array([[SOS, *walk(entry)] for entry in np.argsort(-scores, kind="stable")])
        assert prefixes.shape == (beams, step)
        rows = [decoder.distribution(0, tuple(row[1:].tolist())) for row in prefixes]
        log_probs = np.array(rows, dtype=np.float32)  # [K, V]
        flat = log_probs[0] if step == 1 else (log_probs + scores[:, None]).reshape(-1)
        best = np.argsort(-flat, kind="stable")[:beams]
        scores = flat[best]
        pointers.append(best // decoder.vocab_size)
        chosen.append(best % decoder.vocab_size)
        if chosen[-1][0] == EOS:
            break
    return [(tuple(walk(entry)), float(scores[entry])) for entry in range(beams)]


def with_eos(hypothesis: Hypothesis) -> Tokens:
    return (*hypothesis.token_ids, EOS) if hypothesis.finish_reason == "eos" else hypothesis.token_ids


@given(
    seed=st.integers(0, 10**6),
    beams=st.integers(1, 5),
    steps=st.integers(1, 8),
    levels=st.sampled_from([0, 0, 2]),
)
@settings(max_examples=120, deadline=None)
def test_equals_the_released_search_to_the_letter(seed: int, beams: int, steps: int, levels: int) -> None:
    decoder = random_model(seed, 6, levels=levels, dtype=torch.float32)
    found = run(decoder, search="mime", num_beams=beams, num_return_sequences=beams, max_new_tokens=steps)[0]
    assert [(with_eos(h), h.score) for h in found] == released_beam(decoder, beams, steps)
