"""Beam search in its two semantics, many dialogues at once. docs/search.md states both in words."""

from __future__ import annotations

from typing import Protocol

from mime_fast.config.generation import GenerationConfig
from mime_fast.reference.candidates import Beam, Frontier, State, rank
from mime_fast.reference.hypothesis import Hypothesis


def beam_search(frontier: Frontier[State], num_dialogues: int) -> list[list[Hypothesis]]:
    """Per dialogue its hypotheses, best first: num_return_sequences, or fewer where no more exist."""
    options = frontier.options
    kind = MimeBeams if options.search == "mime" else StandardBeams
    searches: list[_Beams] = [kind(options, frontier.eos_token_id) for _ in range(num_dialogues)]
    while frontier.beams:
        ranked = rank(frontier.step(), frontier.beams, kind.candidates_per_beam * options.num_beams)
        frontier.go_on([beam for dialogue, found in ranked.items() for beam in searches[dialogue].advance(found)])
    return [search.results() for search in searches]


class _Beams(Protocol):
    """The search of one dialogue."""

    def advance(self, ranked: list[Beam]) -> list[Beam]:
        """Take a step's candidates, best first; return those to go on from, none when the dialogue is done."""

    def results(self) -> list[Hypothesis]:
        """The hypotheses, best first."""


class MimeBeams:
    """The released beam search: no pool, no length penalty; an entry after the best runs through its EOS.

    The K best candidates are the entries. It stops when the best entry's last token is EOS, or at max_new_tokens.
    """

    candidates_per_beam = 1

    def __init__(self, options: GenerationConfig, eos_token_id: int | None) -> None:
        self.options = options
        self.eos_token_id = eos_token_id
        self.entries: list[Beam] = []

    def advance(self, ranked: list[Beam]) -> list[Beam]:
        self.entries = ranked
        ended = not ranked or ranked[0].prefix.token_ids[-1] == self.eos_token_id
        full = not ended and len(ranked[0].prefix.token_ids) == self.options.max_new_tokens
        return [] if ended or full else ranked

    def results(self) -> list[Hypothesis]:
        returned = self.entries[: self.options.num_return_sequences]
        return [beam.prefix.finish(self.eos_token_id, length_penalty=0.0) for beam in returned]


class StandardBeams:
    """Beam search with a pool of at most K finished hypotheses beside K live beams.

    Of the 2K best candidates, an EOS ranked before K enters the pool, any other EOS is dropped, and the first K other
    tokens live on. Done when K are in the pool and the worst of them scores no less than the best live beam would if
    it ended now; when nothing lives; or at max_new_tokens, where the live beams enter the pool unfinished.
    """

    candidates_per_beam = 2

    def __init__(self, options: GenerationConfig, eos_token_id: int | None) -> None:
        self.options = options
        self.eos_token_id = eos_token_id
        self.pool: list[Hypothesis] = []  # best first

    def advance(self, ranked: list[Beam]) -> list[Beam]:
        width, penalty = self.options.num_beams, self.options.length_penalty
        live: list[Beam] = []
        for place, beam in enumerate(ranked):
            if beam.prefix.token_ids[-1] != self.eos_token_id:
                live.append(beam)
            elif place < width:
                self._keep(beam)
        live = live[:width]
        if not live:
            return []
        if len(live[0].prefix.token_ids) == self.options.max_new_tokens:
            for beam in live:
                self._keep(beam)
            return []
        done = len(self.pool) == width and self.pool[-1].score >= live[0].prefix.score(penalty)
        return [] if done else live

    def _keep(self, beam: Beam) -> None:
        """Enter the pool after all that score the same or more; the last one falls out of a pool above K."""
        hypothesis = beam.prefix.finish(self.eos_token_id, self.options.length_penalty)
        self.pool.append(hypothesis)
        self.pool.sort(key=lambda kept: -kept.score)
        del self.pool[self.options.num_beams :]

    def results(self) -> list[Hypothesis]:
        return self.pool[: self.options.num_return_sequences]
