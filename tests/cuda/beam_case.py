"""The beam step alone, on models that are a function: by the compiled code and by its plain twin, in step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mime_fast import _native_dev
from mime_fast.config.generation import GenerationConfig
from mime_fast.kernels.beam_state import BeamSizes, BeamState, addresses
from mime_fast.kernels.beam_step_plain import beam_step
from mime_fast.reference.candidates import exact_topk, penalise
from mime_fast.reference.hypothesis import Hypothesis
from mime_fast.text.special import SOS_ID
from tests.reference.fake_decoder import Distribution, Tokens

Advance = Callable[[int, Tensor, Tensor, Tensor], None]


def compiled(state: BeamState, threads: int) -> Advance:
    """What runs on a GPU, by `threads` threads of the CPU."""
    sizes, pointers, room = addresses(state)
    step = _native_dev.BeamStep(sizes, pointers)

    def advance(slots: int, log_probs: Tensor, ids: Tensor, values: Tensor, _: Any = room) -> None:
        step.run(slots, log_probs.data_ptr(), ids.data_ptr(), values.data_ptr(), threads)

    return advance


def plain(state: BeamState) -> Advance:
    return lambda slots, log_probs, ids, values: beam_step(state, slots, log_probs, ids, values)


def searched(
    distribution: Distribution,
    vocab_size: int,
    options: GenerationConfig,
    count: int,
    prefixes: Sequence[Tokens] | None,
    kinds: Sequence[Callable[[BeamState], Advance]],
) -> list[list[Hypothesis]]:
    """What the step finds for so many dialogues; all kinds of it are in the same state after every step."""
    sizes = BeamSizes.of(options, vocab_size)
    states = [
        BeamState.empty(sizes, count, options.length_penalty, "cpu", prefixes=prefixes is not None) for _ in kinds
    ]
    begun = None if prefixes is None else _padded(prefixes, sizes.positions)
    for state in states:
        state.start(torch.arange(count), begun)
    steps = [kind(state) for kind, state in zip(kinds, states, strict=True)]
    offer = offered(states[0], distribution, vocab_size, options)
    while int(states[0].live_count) > 0:
        offer = offered(states[0], distribution, vocab_size, options)
        for step in steps:
            step(count, *(x.clone() for x in offer))
        for state in states[1:]:
            assert seen(state) == seen(states[0])
    for state, step in zip(states, steps, strict=True):
        assert_over(state, step, offer)
    found = [hypotheses(states[0], slot)[: options.num_return_sequences] for slot in range(count)]
    return [[_summed(one) for one in each] for each in found]


def assert_over(state: BeamState, step: Advance, offer: tuple[Tensor, ...]) -> None:
    """Steps after the end of all searches change nothing, whatever they are offered."""
    before = all_of(state)
    for given in (offer, [torch.full_like(x, torch.nan) if x.is_floating_point() else x for x in offer]):
        step(len(state.active), *(x.clone() for x in given))
        assert all_of(state) == before


def all_of(state: BeamState) -> dict[str, bytes]:
    """Every array, bit for bit."""
    values = {field.name: getattr(state, field.name) for field in fields(state)}
    return {name: x.cpu().numpy().tobytes() for name, x in values.items() if isinstance(x, Tensor)}


def offered(
    state: BeamState, distribution: Distribution, vocab_size: int, options: GenerationConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Each row's best tokens, penalty, bans and forced tokens heeded; rows that are not live offer NaN."""
    sizes = state.sizes
    log_probs = torch.full((len(state.positions), sizes.candidates), torch.nan)
    ids, values = torch.zeros_like(log_probs, dtype=torch.int32), log_probs.clone()
    for row in range(len(log_probs)):
        slot, beam = divmod(row, sizes.beams)
        if not state.active[slot] or beam >= state.live[slot]:
            continue
        words = state.words[row, 1 : state.positions[row] + 1].tolist()
        given = torch.tensor([distribution(slot, tuple(words))], dtype=torch.float32)
        allowed = penalise(given, [[SOS_ID, *words]], options.repetition_penalty)
        allowed[:, list(options.suppress_tokens)] = -torch.inf
        allowed[:, [token for token in state.banned[row].tolist() if token >= 0]] = -torch.inf
        forced = int(state.forced[row])
        if forced >= 0:
            allowed[:] = -torch.inf
            allowed[:, forced] = given[:, forced]
        best, tokens = exact_topk(allowed, sizes.candidates)
        ids[row] = tokens[0].int()
        log_probs[row] = given[0, tokens[0]].masked_fill(best[0] == -torch.inf, -torch.inf)
        values[row] = best[0] if options.num_beams > 1 else log_probs[row]
    assert log_probs.shape[1] <= vocab_size
    return log_probs, ids, values


def _summed(found: Hypothesis) -> Hypothesis:
    """With the sum of its log-probs, which the step does not keep where there is a penalty."""
    total = np.cumsum(np.array(found.token_logprobs, np.float32), dtype=np.float32)[-1]
    return replace(found, logprob=float(total))


def hypotheses(state: BeamState, slot: int) -> list[Hypothesis]:
    """All in the slot's pool."""
    found = []
    for i in range(int(state.pool_sizes[slot])):
        count = int(state.pool_counts[slot, i])
        tokens = state.pool_words[slot, i, :count].tolist()
        ended = tokens[-1] == state.sizes.eos
        found.append(
            Hypothesis(
                tuple(tokens[: count - ended]),
                tuple(state.pool_log_probs[slot, i, :count].tolist()),
                float(state.pool_sums[slot, i]),
                float(state.pool_scores[slot, i]),
                "eos" if ended else "length",
            )
        )
    return found


def seen(state: BeamState) -> list[Any]:
    """All of a state that anything reads."""
    facts: list[Any] = [state.live_count.tolist(), state.active.tolist(), state.broken_at.tolist()]
    for slot in range(len(state.active)):
        facts.append(hypotheses(state, slot))
        for beam in range(int(state.live[slot]) if state.active[slot] else 0):
            row = slot * state.sizes.beams + beam
            known = int(state.positions[row]) + 1
            facts += [known, state.sums[row].item(), state.forced[row].item(), sorted(state.banned[row].tolist())]
            facts += [x[row, :known].tolist() for x in (state.words, state.ancestry)]
            facts.append(state.word_log_probs[row, 1:known].tolist())
    return facts


def _padded(prefixes: Sequence[Tokens], length: int) -> Tensor:
    rows = [[*prefix, *[-1] * (length - len(prefix))] for prefix in prefixes]
    return torch.tensor(rows, dtype=torch.int32)
