"""The towers of a reranker while they learn, and what they read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn

from mime_fast.backends.protocol import Contexts
from mime_fast.engine.engine import Engine
from mime_fast.engine.reading import flatten
from mime_fast.progress import Bar
from mime_fast.reference.reranker import PARTS, Tower

HIDDEN, WIDTH = 512, 256  # of each tower
DROPOUT = 0.1
WEIGHT_DECAY = 0.02
HELD_OUT = 20  # one context in so many teaches nothing, and shows how well the towers have learnt

Batch = TypeVar("Batch")


def context_vectors(engine: Engine, dialogues: Sequence[Sequence[str]]) -> Tensor:
    """`Backend.context_vectors` of dialogues, [n, 2 C]."""
    turns = iter(engine.tokenizer.tokenize_batch([turn for dialogue in dialogues for turn in dialogue]))
    encoded = [engine.tokenizer.encode_context([next(turns) for _ in dialogue]) for dialogue in dialogues]
    token_ids, offsets = flatten([ids for ids, _ in encoded])
    state_ids, _ = flatten([states for _, states in encoded])
    return torch.from_numpy(engine.backend.context_vectors(Contexts(token_ids, state_ids, offsets)))


def held_out(count: int) -> range:
    """The rows of `count` contexts that teach nothing."""
    return range(HELD_OUT - 1, count, HELD_OUT)


def teaching(count: int) -> Tensor:
    """The other rows."""
    rows = torch.arange(count)
    return rows[rows % HELD_OUT != HELD_OUT - 1]


def new_tower(size: int, vectors: Sequence[Tensor]) -> nn.Sequential:
    """Drawn weights, behind a layer that gives each number of `vectors` mean 0 and deviation 1."""
    return _tower(torch.cat(list(vectors)), size, HIDDEN, WIDTH)


def tower_of(arrays: Tower, vectors: Tensor) -> nn.Sequential:
    """These weights as a tower that learns, behind such a layer; `arrays_of` is the way back."""
    size, (width, hidden) = vectors.shape[1], arrays.weight2.shape
    layers = _tower(vectors, size, hidden, width)
    standard, first, second = _parts(layers)
    weight1, bias1, weight2, bias2 = (torch.tensor(getattr(arrays, part), dtype=torch.float32) for part in PARTS)
    with torch.no_grad():
        first.weight.copy_(weight1 * standard.deviation)
        first.bias.copy_(bias1 + weight1 @ standard.mean)
        second.weight.copy_(weight2)
        second.bias.copy_(bias2)
    return layers


def arrays_of(tower: nn.Sequential) -> Tower:
    """The tower's two layers, what standardises its input in the first one."""
    standard, first, second = _parts(tower)
    with torch.no_grad():
        weight = first.weight / standard.deviation
        bias = first.bias - weight @ standard.mean
    return Tower(*(each.detach().numpy() for each in (weight, bias, second.weight, second.bias)))


def learn(
    towers: Sequence[nn.Module],
    epoch: Callable[[], Sequence[Batch]],
    loss: Callable[[Batch], Tensor],
    *,
    epochs: int,
    rate: float,
    title: str,
    show_progress: bool,
) -> None:
    """A step for each batch of `epoch`, which draws their order anew; the rate rises to `rate` and falls to nothing."""
    first = epoch()
    optimizer = torch.optim.AdamW(chain(*(tower.parameters() for tower in towers)), lr=rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs * len(first))
    with Bar(epochs * len(first), title=title, unit=" steps", show=None if show_progress else False) as bar:
        for number in range(epochs):
            for batch in epoch() if number else first:
                value = loss(batch)
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                schedule.step()
                bar.update()


def _tower(vectors: Tensor, size: int, hidden: int, width: int) -> nn.Sequential:
    deviation, mean = torch.std_mean(vectors, dim=0, correction=0)
    return nn.Sequential(
        _Standardise(mean, deviation + 1e-6),
        nn.Dropout(DROPOUT),
        nn.Linear(size, hidden),
        nn.ReLU(),
        nn.Dropout(DROPOUT),
        nn.Linear(hidden, width),
    )


def _parts(tower: nn.Sequential) -> tuple[_Standardise, nn.Linear, nn.Linear]:
    standard, first, second = tower[0], tower[2], tower[5]
    assert isinstance(standard, _Standardise) and isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
    return standard, first, second


class _Standardise(nn.Module):
    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, vectors: Tensor) -> Tensor:
        return (vectors - self.mean) / self.deviation
