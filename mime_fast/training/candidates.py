"""Replies that a model's own searches find for training pairs, with what each is worth, for the risk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from mime_fast.backends.select import Wanted, choose
from mime_fast.checkpoints.model_folder import ModelFolder, ModelWeights
from mime_fast.config.generation import GenerationConfig
from mime_fast.data.batches import pad_rows
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.engine.engine import Engine
from mime_fast.engine.results import Candidate
from mime_fast.evaluation.searches import BEAM
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.models import frozen_copy
from mime_fast.text.special import EOS_ID, SPECIAL_TOKENS
from mime_fast.text.tokenizer import Tokenizer
from mime_fast.training.gains import AnswerGain
from mime_fast.training.risk import CandidateBatch

SEARCHES: tuple[dict[str, Any], ...] = (  # of a context: beams without length normalisation, and draws
    BEAM | {"num_return_sequences": 4, "no_repeat_ngram_size": 3, "length_penalty": 0.0},
    {"do_sample": True, "num_return_sequences": 6, "temperature": 0.8, "top_p": 0.9, "no_repeat_ngram_size": 3},
)
FOLLOW_STEPS = 10  # training steps between two looks at the weights
NOT_SAID = tuple(i for i in range(len(SPECIAL_TOKENS)) if i != EOS_ID)


def quick_engine(model: DialogueModel, tokenizer: Tokenizer, precision: str = "int8") -> Engine:
    """An engine with a copy of these weights: the native back end."""
    twin = frozen_copy(model)
    folder = ModelFolder(ModelWeights.of(twin), tokenizer, GenerationConfig(suppress_tokens=NOT_SAID))
    return Engine(folder, "candidates", choose(folder.weights, Wanted("cpu", precision, torch.get_num_threads())))


class CandidateSource:
    """Candidates for training pairs, made when they are asked for, by weights that it is shown from time to time."""

    def __init__(
        self,
        model: DialogueModel,
        tokenizer: Tokenizer,
        pairs: Sequence[Pair],
        seed: int,
        gain: AnswerGain,
    ) -> None:
        """
        Args:
            model: generates the candidates until `follow` is called.
            gain: what candidates are worth.
        """
        self.tokenizer = tokenizer
        self.contexts = [pair.context for pair in pairs]
        self.seed, self.gain = seed, gain
        self.follow(model)

    def follow(self, model: DialogueModel) -> None:
        """Take a copy of this model's weights for the candidates to come."""
        self.gain.forget()
        self.engine = quick_engine(model, self.tokenizer)

    def __call__(self, indices: Sequence[int]) -> CandidateBatch:
        """The candidates of the pairs at `indices`."""
        found = [self._search(indices, search) for search in SEARCHES]
        rows: list[int] = []
        kept: list[Candidate] = []
        for row, several in enumerate(zip(*found, strict=True)):
            distinct = {(*each.token_ids, each.finish_reason): each for replies in several for each in replies}
            rows += [row] * len(distinct)
            kept += distinct.values()
        gains = self.gain([indices[row] for row in rows], kept)
        ends = {"eos": [EOS_ID], "length": []}
        ids = [each.token_ids + ends[each.finish_reason] for each in kept]
        return CandidateBatch(
            pad_rows(ids),
            torch.tensor([len(each) for each in ids]),
            torch.tensor(rows),
            torch.tensor(gains, dtype=torch.float32),
        )

    def _search(self, indices: Sequence[int], options: dict[str, Any]) -> list[list[Candidate]]:
        contexts = [self.contexts[i] for i in indices]
        replies = self.engine.generate(contexts, seed=self.seed, request_ids=indices, strict_turns=False, **options)
        return [reply.candidates for reply in replies]
