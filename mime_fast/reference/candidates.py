"""One decoding step: the model's log-probs, the penalty, the bans, and candidates in their exact order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Generic, NamedTuple, Protocol, TypeVar

import mime_fast.needs_torch

import torch
from torch import Tensor

from mime_fast.config.generation import GenerationConfig
from mime_fast.errors import BackendError
from mime_fast.reference.hypothesis import Prefix

State = TypeVar("State")
NOTHING = Prefix()


class Next(NamedTuple, Generic[State]):
    """What a model says after one more token."""

    logits: Tensor  # [N, V]
    log_probs: Tensor  # their log_softmax, [N, V]
    state: State


class Offer(NamedTuple):
    """What a search chooses from, [N, V] each."""

    log_probs: Tensor  # the model's
    values: Tensor  # what tokens are ranked by; -inf: may not come


class StepDecoder(Protocol[State]):
    """A model that goes one token further; its state has one row per hypothesis and is opaque to the search."""

    @property
    def vocab_size(self) -> int: ...

    def step(self, tokens: Tensor, state: State) -> Next[State]:
        """Feed the last token of each row, int64 [N]."""

    def select(self, state: State, rows: Tensor) -> State:
        """The state of the given rows, int64 [M]; a row may repeat, drop out or change its place."""


@dataclass(frozen=True)
class Beam:
    """A live hypothesis and the state row that it goes on from."""

    dialogue: int
    row: int
    prefix: Prefix = NOTHING


@dataclass
class Frontier(Generic[State]):
    """The live hypotheses of all dialogues, one state row each.

    `forced` has the tokens that each dialogue's response begins with, `numbers` what errors call the dialogues.
    """

    decoder: StepDecoder[State]
    state: State
    beams: list[Beam]
    options: GenerationConfig
    eos_token_id: int | None
    sos_token_id: int
    device: torch.device
    forced: Sequence[Sequence[int]]
    numbers: Sequence[int]

    def step(self) -> Offer:
        """Every beam's log-probs of its next token, and its values: penalised, banned, or only the forced one's.

        Raises:
            BackendError: the model produced NaN.
        """
        last = [beam.prefix.token_ids[-1] if beam.prefix.token_ids else self.sos_token_id for beam in self.beams]
        logits, log_probs, self.state = self.decoder.step(torch.tensor(last, device=self.device), self.state)
        expected = (len(self.beams), self.decoder.vocab_size)
        assert log_probs.shape == expected, f"the decoder gave {tuple(log_probs.shape)}, not {expected}"
        broken = log_probs.isnan().any(dim=-1).tolist()  # [N]
        if any(broken):
            found = {self.numbers[beam.dialogue] for beam, bad in zip(self.beams, broken, strict=True) if bad}
            step = len(self.beams[0].prefix.token_ids)
            raise BackendError(
                f"the model produced NaN at step {step} for dialogues {sorted(found)} of this batch; "
                "log-probs must not be NaN"
            ).about(found)
        values, prefixes = log_probs, [beam.prefix for beam in self.beams]
        if self.options.repetition_penalty != 1.0:
            base = log_probs if self.options.num_beams > 1 else logits
            values = penalise(base, [self._seen(prefix) for prefix in prefixes], self.options.repetition_penalty)
        values = _ban(values, prefixes, self.options, self.eos_token_id)
        for row, beam in enumerate(self.beams):
            coming = self.forced[beam.dialogue][len(beam.prefix.token_ids) :]
            if coming:
                values[row] = -inf
                values[row, coming[0]] = log_probs[row, coming[0]]
        return Offer(log_probs, values)

    def _seen(self, prefix: Prefix) -> list[int]:
        """The tokens that have been fed, SOS among them, once each."""
        fed = {self.sos_token_id, *prefix.token_ids}
        return [token for token in fed if token < self.decoder.vocab_size]

    def go_on(self, beams: list[Beam]) -> None:
        """Make `beams` the live ones; their `row` says which state each takes over."""
        rows = [beam.row for beam in beams]
        if beams and rows != list(range(len(self.beams))):
            self.state = self.decoder.select(self.state, torch.tensor(rows, device=self.device))
        self.beams = beams


def exact_topk(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The min(k, V) largest of each row of [N, V], largest first; equal ones by lowest index, at the cut too.

    Returns:
        Values and indices, each [N, min(k, V)].
    """
    size = values.shape[-1]
    k = min(k, size)
    best, ids = values.topk(min(k + 1, size), dim=-1)
    if k < size:
        tied = best[:, k - 1] == best[:, k]  # topk leaves open which of the equal ones it takes
        ids = ids[:, :k]
        if bool(tied.any()):
            ids[tied] = values[tied].sort(dim=-1, descending=True, stable=True).indices[:, :k]
    ids = ids.sort(dim=-1).values
    best, order = values.gather(-1, ids).sort(dim=-1, descending=True, stable=True)
    return best, ids.gather(-1, order)


def penalise(values: Tensor, seen: Sequence[Sequence[int]], penalty: float) -> Tensor:
    """`values` [N, V], those of the row's `seen` tokens divided by `penalty` where positive, else multiplied by it."""
    values = values.clone()
    divisor = values.new_tensor(penalty)
    for row, tokens in enumerate(seen):
        found = values[row, list(tokens)]
        values[row, list(tokens)] = torch.where(found < 0, found * divisor, found / divisor)
    return values


def rank(offer: Offer, beams: Sequence[Beam], k: int) -> dict[int, list[Beam]]:
    """For each dialogue the k best one-token extensions of its beams (fewer where fewer are above -inf), best first.

    Equal sums come beam by beam, in a beam by token id. The sums are in the dtype of the offer.
    """
    best, ids = exact_topk(_after(offer.values, [beam.prefix.total for beam in beams]), k)
    token_logprobs = offer.log_probs.gather(-1, ids)
    logprobs = _after(token_logprobs, [beam.prefix.logprob for beam in beams])
    columns = zip(*(column.tolist() for column in (best, ids, token_logprobs, logprobs)), strict=True)
    entries: dict[int, list[tuple[float, int, int, float, float]]] = {beam.dialogue: [] for beam in beams}
    for row, (beam, column) in enumerate(zip(beams, columns, strict=True)):
        for total, *rest in zip(*column, strict=True):
            if total > -inf:
                entries[beam.dialogue].append((-total, row, *rest))
    return {
        dialogue: [
            Beam(dialogue, row, beams[row].prefix.extend(token, token_logprob, logprob, -negated))
            for negated, row, token, token_logprob, logprob in sorted(found)[:k]
        ]
        for dialogue, found in entries.items()
    }


def _after(values: Tensor, before: Sequence[float]) -> Tensor:
    """Sums with `values` [N, n] added to those before them, one per row."""
    return values + values.new_tensor(before)[:, None]


def _ban(values: Tensor, prefixes: Sequence[Prefix], options: GenerationConfig, eos_token_id: int | None) -> Tensor:
    """`values` [N, V] with the tokens that may not come next at -inf; nothing is renormalised."""
    values = values.clone()
    if options.suppress_tokens:
        values[:, list(options.suppress_tokens)] = -inf
    if eos_token_id is not None and len(prefixes[0].token_ids) < options.min_new_tokens:
        values[:, eos_token_id] = -inf
    if options.no_repeat_ngram_size:
        for row, prefix in enumerate(prefixes):
            values[row, _repeating(prefix.token_ids, options.no_repeat_ngram_size)] = -inf
    return values


def _repeating(token_ids: tuple[int, ...], n: int) -> list[int]:
    """The tokens that would complete an n-gram that `token_ids` already contain."""
    tail = token_ids[len(token_ids) - n + 1 :]
    return [token_ids[end] for end in range(n - 1, len(token_ids)) if token_ids[end - n + 1 : end] == tail]
