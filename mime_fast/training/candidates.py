"""The replies that a model's beams find for training pairs, with what each is worth in BLEU, for the risk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mime_fast.backends.select import Wanted, choose
from mime_fast.checkpoints.model_folder import ModelFolder, ModelWeights
from mime_fast.config.generation import GenerationConfig
from mime_fast.data.batches import pad_rows
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.engine.engine import Engine
from mime_fast.engine.results import Candidate
from mime_fast.evaluation.metrics.bleu import MAX_ORDER, count_matches
from mime_fast.evaluation.searches import BEAM
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.models import frozen_copy
from mime_fast.text.special import EOS_ID, SPECIAL_TOKENS
from mime_fast.text.tokenizer import Tokenizer
from mime_fast.training.risk import CandidateBatch

SEARCHES: tuple[dict[str, Any], ...] = (BEAM, BEAM | {"no_repeat_ngram_size": 3})
FOLLOW_STEPS = 10  # training steps between two looks at the weights
NOT_SAID = tuple(i for i in range(len(SPECIAL_TOKENS)) if i != EOS_ID)
KEPT = 4  # best candidates of each search; what both find counts once
SAMPLE = 2000  # first training pairs, whose replies give the corpus' totals


class CandidateSource:
    """Candidates for training pairs, made when they are asked for, by weights that it is shown from time to time.

    A candidate's gain is BLEU's logarithm to first order (Tromble et al. 2008), 1/4 sum_n m_n / M_n: m_n of its n-grams
    are the reference's (clipped), and M_n are so in a mean reply. What its length costs is given by `risk.word_cost`.
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
        twin = frozen_copy(model)
        folder = ModelFolder(ModelWeights.of(twin), self.tokenizer, GenerationConfig(suppress_tokens=NOT_SAID))
        threads = torch.get_num_threads()
        self.engine = Engine(folder, "candidates", choose(folder.weights, Wanted("cpu", "int8", threads)))

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
