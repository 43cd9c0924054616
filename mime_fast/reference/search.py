"""The search that every engine must equal: greedy, sampling, and the choice between them and the beams.

docs/search.md states all semantics, ties and corners in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import mime_fast.needs_torch

import torch
from torch import Tensor

from mime_fast.config.generation import GenerationConfig
from mime_fast.errors import InputError
from mime_fast.reference.beam import beam_search
from mime_fast.reference.candidates import Beam, Frontier, Offer, State, StepDecoder, exact_topk
from mime_fast.reference.hypothesis import Hypothesis
from mime_fast.reference.philox import gumbel
from mime_fast.reference.search_checks import check_options, no_response
from mime_fast.text.special import EOS_ID, SOS_ID

__all__ = ["Hypothesis", "StepDecoder", "exact_topk", "filter_logits", "search"]


@torch.no_grad()
def search(
    decoder: StepDecoder[State],
    state: State,
    num_dialogues: int,
    options: GenerationConfig,
    *,
    seeds: Sequence[int],
    request_ids: Sequence[int],
    prefixes: Sequence[Sequence[int]] | None = None,
    numbers: Sequence[int] | None = None,
    eos_token_id: int | None = EOS_ID,
    sos_token_id: int = SOS_ID,
    device: torch.device | str = "cpu",
) -> list[list[Hypothesis]]:
    """Generate responses; a dialogue's result does not depend on the others.

    Args:
        decoder: The model. state: One row a dialogue, before the first token.
        seeds, request_ids: One a dialogue, 0 to 2^64 - 1; only sampling uses them.
        prefixes: Token ids, one list a dialogue, that its responses begin with.
        numbers: What errors call the dialogues; 0, 1, ... by default.
        eos_token_id: None: nothing ends a response before max_new_tokens.
        device: Where the token and row tensors given to the decoder are made; that of its log-probs.

    Returns:
        Per dialogue num_return_sequences hypotheses, or fewer where no more exist; best first, sampled ones by their
        sequence number.

    Raises:
        ConfigError: the options do not fit the vocabulary, or ban every token so that a dialogue has no response.
        InputError: not one seed, request id and prefix per dialogue, or out of range; a prefix that contains EOS or has
            max_new_tokens tokens or more.
        BackendError: the model produced NaN.
    """
    check_options(options, decoder.vocab_size, eos_token_id)
    forced = [()] * num_dialogues if prefixes is None else prefixes
    numbers = range(num_dialogues) if numbers is None else numbers
    for name, values in (("seeds", seeds), ("request_ids", request_ids), ("prefixes", forced), ("numbers", numbers)):
        if len(values) != num_dialogues:
            raise InputError(f"{len(values)} {name} for {num_dialogues} dialogues; must be one each")
    _check_prefixes(forced, numbers, options, decoder.vocab_size, eos_token_id)
    beams = [Beam(dialogue, row=dialogue) for dialogue in range(num_dialogues)]
    frontier = Frontier(
        decoder,
        state,
        beams,
        options,
        eos_token_id=eos_token_id,
        sos_token_id=sos_token_id,
        device=torch.device(device),
        forced=forced,
        numbers=numbers,
    )
    if options.search == "mime" or options.num_beams > 1:
        results = beam_search(frontier, num_dialogues)
    else:
        results = _one_by_one(frontier, num_dialogues, _Draw(options, seeds, request_ids))
    empty = sorted(number for number, found in zip(numbers, results, strict=True) if not found)
    if empty:
        raise no_response(empty, options)
    return results


def filter_logits(values: Tensor, options: GenerationConfig) -> Tensor:
    """Sampling logits [N, V] in float64: temperature, then top_k, then top_p; what they remove is at -inf.

    top_k keeps all that equal the k-th. top_p keeps the shortest run of most probable tokens (equal ones by lowest id)
    whose sum of probabilities, taken over what top_k kept, reaches top_p.
    """
    logits = values.double() / options.temperature
    if options.top_k:
        kth = logits.topk(min(options.top_k, logits.shape[-1]), dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < kth, -inf)
    if options.top_p < 1.0:
        ordered, ids = logits.sort(dim=-1, descending=True, stable=True)
        sums = ordered.softmax(dim=-1).cumsum(dim=-1)
        before = torch.cat([torch.zeros_like(sums[:, :1]), sums[:, :-1]], dim=-1)
        dropped = torch.zeros_like(before, dtype=torch.bool).scatter(-1, ids, before >= options.top_p)
        logits = logits.masked_fill(dropped, -inf)
    return logits


class _Draw:
    """The next token of each row: the most probable one, or a Gumbel-max draw."""

    def __init__(self, options: GenerationConfig, seeds: Sequence[int], request_ids: Sequence[int]) -> None:
        self.options = options
        self.seeds = seeds
        self.request_ids = request_ids

    def __call__(self, values: Tensor, beams: Sequence[Beam], sequences: Sequence[int]) -> list[int]:
        if not self.options.do_sample:
            ids: list[int] = values.argmax(dim=-1).tolist()
            return ids
        logits = filter_logits(values, self.options)
        return [self._sample(row, beam, sequence) for row, beam, sequence in zip(logits, beams, sequences, strict=True)]

    def _sample(self, logits: Tensor, beam: Beam, sequence: int) -> int:
        """argmax of logit + Gumbel over the kept tokens of one row [V]; 0 where none is kept."""
        kept = (logits > -inf).nonzero()[:, 0]  # ascending, so that argmax takes the lowest id of equal sums
        if not len(kept):
            return 0
        request = [self.seeds[beam.dialogue]], [self.request_ids[beam.dialogue]]
        step = len(beam.prefix.token_ids)
        noise = gumbel(*request, [step], [sequence], kept.cpu().numpy()[None])[0]
        return int(kept[(logits[kept] + torch.from_numpy(noise).to(logits.device)).argmax()])


def _one_by_one(frontier: Frontier[State], num_dialogues: int, draw: _Draw) -> list[list[Hypothesis]]:
    """Greedy search and sampling: sequences that never meet. One that has no token left is dropped."""
    options, eos_token_id = frontier.options, frontier.eos_token_id
    finished: list[dict[int, Hypothesis]] = [{} for _ in range(num_dialogues)]  # by sequence number
    sequences = [sequence for _ in range(num_dialogues) for sequence in range(options.num_return_sequences)]
    frontier.go_on([beam for beam in frontier.beams for _ in range(options.num_return_sequences)])
    while frontier.beams:
        offer, beams = frontier.step(), frontier.beams
        extended = _extend(offer, beams, draw(offer.values, beams, sequences))
        going: list[tuple[Beam, int]] = []
        for beam, sequence in zip(extended, sequences, strict=True):
            prefix = beam.prefix
            if prefix.token_logprobs[-1] == -inf:
                continue
            if prefix.token_ids[-1] == eos_token_id or len(prefix.token_ids) == options.max_new_tokens:
                finished[beam.dialogue][sequence] = prefix.finish(eos_token_id, options.length_penalty)
            else:
                going.append((beam, sequence))
        sequences = [sequence for _, sequence in going]
        frontier.go_on([beam for beam, _ in going])
    return [[found[sequence] for sequence in sorted(found)] for found in finished]


def _extend(offer: Offer, beams: Sequence[Beam], ids: Sequence[int]) -> list[Beam]:
    """Each beam with its token, of log-prob -inf where none may come; sums in the dtype of the offer."""
    at = torch.tensor(ids, device=offer.values.device)[:, None]
    picked = offer.log_probs.gather(-1, at).masked_fill(offer.values.gather(-1, at) == -inf, -inf)[:, 0]
    sums = (picked + picked.new_tensor([beam.prefix.logprob for beam in beams])).tolist()
    columns = zip(ids, picked.tolist(), sums, sums, strict=True)
    return [
        Beam(beam.dialogue, row, beam.prefix.extend(*column))
        for row, (beam, column) in enumerate(zip(beams, columns, strict=True))
    ]


def _check_prefixes(
    prefixes: Sequence[Sequence[int]],
    numbers: Sequence[int],
    options: GenerationConfig,
    vocab_size: int,
    eos_token_id: int | None,
) -> None:
    for number, tokens in zip(numbers, prefixes, strict=True):
        if len(tokens) >= options.max_new_tokens:
            raise InputError(
                f"the prefix of dialogue {number} has {len(tokens)} tokens; "
                f"must have fewer than max_new_tokens={options.max_new_tokens}"
            )
        odd = [token for token in tokens if token == eos_token_id or not 0 <= token < vocab_size]
        if odd:
            raise InputError(
                f"the prefix of dialogue {number} contains {odd[0]}: "
                f"must be ids from 0 to {vocab_size - 1} without eos_token_id={eos_token_id}"
            )
