"""Minimum risk training (Shen et al. 2016): a model's own beams, weighed by what each would add to BLEU.

Cross-entropy never sees what a beam search makes of a model: its best replies repeat themselves and have a length that
nobody asked for. The expected gain over a few candidates is a function of the weights, so it can be trained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mime_fast.config import GenerationConfig
from mime_fast.data.batches import decoder_inputs, pad_rows
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.engine.engine import Engine
from mime_fast.engine.model_folder import ModelFolder
from mime_fast.engine.results import Candidate
from mime_fast.engine.select import Wanted, choose
from mime_fast.evaluation.answering import BEAM
from mime_fast.evaluation.bleu import MAX_ORDER, count_matches
from mime_fast.reference.decoder import Memory
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.models import new_model
from mime_fast.text.special import EOS_ID, SPECIAL_TOKENS
from mime_fast.text.tokenizer import Tokenizer

SEARCHES: tuple[dict[str, Any], ...] = (BEAM, BEAM | {"no_repeat_ngram_size": 3})
FOLLOW_STEPS = 10  # training steps between two looks at the weights
NOT_SAID = tuple(i for i in range(len(SPECIAL_TOKENS)) if i != EOS_ID)
KEPT = 4  # best candidates of each search; what both find counts once
SHARPNESS = 10.0  # of the distribution over a context's candidates
SAMPLE = 2000  # first training pairs, whose replies give the corpus' totals
LENGTH_WIDTH = 0.3  # words around the wanted length over which a word's cost rises


@dataclass(frozen=True)
class CandidateBatch:
    """N candidates of B contexts."""

    ids: Tensor  # [N, T], padded on the right; an EOS at the end where the search found one
    sizes: Tensor  # [N], ids that are no padding
    rows: Tensor  # [N], the context of each
    gains: Tensor  # [N], what its n-grams add to the logarithm of BLEU, 1 for the mean reply
    lengths: Tensor  # [N], words

    def to(self, device: torch.device) -> CandidateBatch:
        return CandidateBatch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


class CandidateSource:
    """Candidates for training pairs, made when they are asked for, by weights that it is shown from time to time.

    A candidate's gain is BLEU's logarithm to first order (Tromble et al. 2008), 1/4 sum_n m_n / M_n: m_n of its n-grams
    are the reference's (clipped), and M_n are so in a mean reply. What its length costs is told by `word_cost`.
    """

    def __init__(self, model: DialogueModel, tokenizer: Tokenizer, pairs: Sequence[Pair], seed: int) -> None:
        """`model` says what a mean reply is, and the candidates until `follow` is called."""
        self.tokenizer = tokenizer
        self.contexts = [pair.context for pair in pairs]
        self.references = tokenizer.tokenize_batch([pair.response for pair in pairs])
        self.follow(model)
        self.seed = seed
        sample = range(min(SAMPLE, len(pairs)))
        replies = self._search(sample, BEAM | {"num_return_sequences": 1})
        counts = [count_matches(reply[0].tokens, self.references[i]) for i, reply in zip(sample, replies, strict=True)]
        self.mean_matches = np.maximum(np.mean([correct for correct, _ in counts], axis=0), 1 / len(counts))
        self.mean_length = float(np.mean([len(reference) for reference in self.references]))

    def follow(self, model: DialogueModel) -> None:
        """Take a copy of this model's weights for the candidates to come; the native back end searches, in int8."""
        twin = new_model(model.config)
        twin.load_state_dict(model.state_dict())
        folder = ModelFolder(twin.eval(), self.tokenizer, GenerationConfig(suppress_tokens=NOT_SAID))
        threads = torch.get_num_threads()
        self.engine = Engine(folder, "candidates", choose(twin, Wanted("cpu", "int8", threads)), threads)

    def __call__(self, indices: Sequence[int]) -> CandidateBatch:
        """The candidates of the pairs at `indices`."""
        found = [self._search(indices, search | {"num_return_sequences": KEPT}) for search in SEARCHES]
        rows: list[int] = []
        kept: list[Candidate] = []
        for row, several in enumerate(zip(*found, strict=True)):
            distinct = {(*each.token_ids, each.finish_reason): each for replies in several for each in replies}
            rows += [row] * len(distinct)
            kept += distinct.values()
        gains = [self._gain(each.tokens, self.references[indices[row]]) for row, each in zip(rows, kept, strict=True)]
        ends = {"eos": [EOS_ID], "length": []}
        ids = [each.token_ids + ends[each.finish_reason] for each in kept]
        return CandidateBatch(
            pad_rows(ids),
            torch.tensor([len(each) for each in ids]),
            torch.tensor(rows),
            torch.tensor(gains, dtype=torch.float32),
            torch.tensor([len(each.tokens) for each in kept], dtype=torch.float32),
        )

    def _search(self, indices: Sequence[int], options: dict[str, Any]) -> list[list[Candidate]]:
        contexts = [self.contexts[i] for i in indices]
        replies = self.engine.generate(contexts, seed=self.seed, request_ids=indices, strict_turns=False, **options)
        return [reply.candidates for reply in replies]

    def _gain(self, tokens: Sequence[str], reference: Sequence[str]) -> float:
        correct, _ = count_matches(tokens, reference)
        return float((np.array(correct) / self.mean_matches).sum()) / MAX_ORDER


def word_cost(length: float, wanted: float) -> float:
    """What a word more takes from BLEU's logarithm: 1 / wanted, or nothing where replies are shorter than wanted.

    Each word lowers the precisions by 1 / length; as long as the corpus is shorter than the references, the brevity
    penalty gives as much back. The step between the two is smooth here.

    Args:
        length: words a reply now.
        wanted: words a reply of the references.
    """
    excess = min(max((length - wanted) / LENGTH_WIDTH, -50.0), 50.0)
    return 1 / (1 + math.exp(-excess)) / wanted


def risk(model: DialogueModel, memory: Memory, candidates: CandidateBatch, cost: float) -> tuple[Tensor, float]:
    """The expected loss in BLEU's logarithm, summed over the contexts, and the expected length, their mean.

    A context's candidates have the probabilities softmax(10 mean log P(word)): the mean is what beams of length penalty
    1 are ranked by.

    Args:
        model: in training mode or not.
        memory: of the B contexts.
        cost: of a word (`word_cost`).
    """
    ids, rows = candidates.ids, candidates.rows
    hidden = model.decode(decoder_inputs(ids), Memory(memory.fused[rows], memory.real[rows]))
    real = torch.arange(ids.shape[1], device=ids.device) < candidates.sizes[:, None]
    places, nodes = shared_prefixes(candidates)
    logs = model.fc_decode(hidden[places[0], places[1]]).log_softmax(dim=-1)  # a row a prefix
    logprobs = logs.new_zeros(ids.shape)
    logprobs[real] = logs[nodes.to(ids.device)[real], ids[real]]
    scores = SHARPNESS * logprobs.sum(dim=1) / real.sum(dim=1)
    probs = _softmax_within(scores, rows, len(memory.real))
    gains = candidates.gains.to(logs.dtype) - cost * candidates.lengths.to(logs.dtype)
    length = (probs.detach() * candidates.lengths).sum() / len(memory.real)
    return -(probs * gains).sum(), length.item()


def shared_prefixes(batch: CandidateBatch) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Where each prefix of a context's candidates stands first, and which prefix comes before each word.

    Candidates of one search share most of their words; the projection on the vocabulary, by far the largest part of the
    work, is done once a prefix.

    Returns:
        (candidates [P], positions [P]) of the P different prefixes; their numbers, [N, T].
    """
    known: dict[tuple[int, int], int] = {}  # (the prefix before, or -1 - the context; its last word, or -1)
    candidates: list[int] = []
    positions: list[int] = []
    nodes = np.zeros(batch.ids.shape, dtype=np.int64)
    several = zip(batch.rows.tolist(), batch.ids.tolist(), batch.sizes.tolist(), strict=True)
    for n, (row, words, size) in enumerate(several):
        node, last = -1 - row, -1
        for position, word in enumerate(words[:size]):
            before = node, last
            if before not in known:
                known[before] = len(candidates)
                candidates.append(n)
                positions.append(position)
            node, last = known[before], word
            nodes[n, position] = node
    return (torch.tensor(candidates), torch.tensor(positions)), torch.from_numpy(nodes)


def _softmax_within(scores: Tensor, rows: Tensor, count: int) -> Tensor:
    """Softmax over the scores [N] of each of `count` contexts; every context has one or more."""
    best = scores.detach().new_full((count,), -math.inf).scatter_reduce(0, rows, scores.detach(), "amax")
    exponents = (scores - best[rows]).exp()
    return exponents / exponents.new_zeros(count).index_add(0, rows, exponents)[rows]
