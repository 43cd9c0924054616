"""Models whose next-token distributions are written by hand."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mime_fast.config.generation import GenerationConfig
from mime_fast.reference.candidates import Next
from mime_fast.reference.hypothesis import Hypothesis
from mime_fast.reference.search import search

EOS, SOS, A, B, C, D = 0, 99, 1, 2, 3, 4  # SOS is not in the vocabulary: no search may choose it
Tokens = tuple[int, ...]
Row = tuple[int, Tokens]  # model number and the tokens fed so far, SOS included
Distribution = Callable[[int, Tokens], Sequence[float]]  # model number, tokens without SOS -> log-probs [V]


class FakeDecoder:
    """Row state is (model number, tokens fed); `steps` records the rows of every step."""

    def __init__(self, distribution: Distribution, vocab_size: int, dtype: torch.dtype = torch.float64) -> None:
        self.distribution = distribution
        self.vocab_size = vocab_size
        self.dtype = dtype
        self.sos = SOS
        self.steps: list[list[Row]] = []

    def step(self, tokens: Tensor, state: list[Row]) -> Next[list[Row]]:
        """Logits are the log-probs."""
        assert tokens.dtype == torch.int64 and tokens.shape == (len(state),)
        state = [(model, (*fed, token)) for (model, fed), token in zip(state, tokens.tolist(), strict=True)]
        assert all(fed[0] == self.sos for _, fed in state)
        self.steps.append(state)
        given = torch.tensor([self.distribution(model, fed[1:]) for model, fed in state], dtype=self.dtype)
        return Next(given, given, state)

    def select(self, state: list[Row], rows: Tensor) -> list[Row]:
        assert rows.dtype == torch.int64 and rows.ndim == 1
        return [state[row] for row in rows.tolist()]


def logs(*probabilities: float) -> list[float]:
    """Natural logarithms; log 0 is -inf."""
    return [math.log(p) if p else -math.inf for p in probabilities]


def table(*models: Mapping[Tokens, Sequence[float]]) -> FakeDecoder:
    """One {prefix: probabilities} a model; a prefix that is not listed fails the test."""
    size = len(next(iter(models[0].values())))
    return FakeDecoder(lambda model, tokens: logs(*models[model][tokens]), size)


def random_model(seed: int, vocab_size: int, *, levels: int = 0, dtype: torch.dtype = torch.float64) -> FakeDecoder:
    """Log-softmax of random logits a (model, prefix); `levels` above 0 takes log-probs from so few that many tie."""

    def distribution(model: int, tokens: Tokens) -> list[float]:
        source = random.Random(f"{seed} {model} {tokens}")
        if levels:
            return [-float(source.randint(1, levels)) for _ in range(vocab_size)]
        logits = [source.gauss(0.0, 2.0) for _ in range(vocab_size)]
        total = math.log(sum(map(math.exp, logits)))
        return [logit - total for logit in logits]

    return FakeDecoder(distribution, vocab_size, dtype)


def run(
    decoder: FakeDecoder,
    *,
    models: Sequence[int] = (0,),
    eos: int | None = EOS,
    seeds: Sequence[int] | None = None,
    request_ids: Sequence[int] | None = None,
    prefixes: Sequence[Tokens] | None = None,
    numbers: Sequence[int] | None = None,
    **options: Any,
) -> list[list[Hypothesis]]:
    """Search one dialogue a model number; seeds default to 0, request ids to the model numbers."""
    state: list[Row] = [(model, ()) for model in models]
    return search(
        decoder,
        state,
        len(models),
        GenerationConfig(**options),
        seeds=[0] * len(models) if seeds is None else seeds,
        request_ids=list(models) if request_ids is None else request_ids,
        prefixes=prefixes,
        numbers=numbers,
        eos_token_id=eos,
        sos_token_id=decoder.sos,
    )


def ids(hypotheses: Sequence[Hypothesis]) -> list[Tokens]:
    return [hypothesis.token_ids for hypothesis in hypotheses]
