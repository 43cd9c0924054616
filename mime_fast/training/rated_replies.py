"""What a reranker learns from rated replies: to choose as those who rated them would.

The model stays as it is, and so does what a reply is worth to the search: log P(reply given context) + weight * cosine.
Only the towers change, until of two replies to a context the one that is rated higher is worth more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mime_fast.checkpoints.model_folder import ModelFolder
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.progress import note
from mime_fast.reference.reranker import Reranker
from mime_fast.training.candidates import quick_engine
from mime_fast.training.ratings import Rated
from mime_fast.training.towers import arrays_of, context_vectors, held_out, learn, teaching, tower_of

CONTEXTS_A_STEP = 32
RATE = 3e-4
TEMPERATURE = 8.0  # nats that make one of two replies e times as likely to be the better one
LEAST = 1e-12  # sum of differences between a context's ratings: without any it teaches nothing


@dataclass(frozen=True)
class Lessons:
    """Contexts with their rated replies."""

    contexts: Tensor  # what the model made of each context, [n, 2 C]
    replies: Tensor  # and of each different reply, [m, 2 C]
    places: list[Tensor]  # among `replies`, of each context's
    logprobs: list[Tensor]  # of each context's replies, given it
    ratings: list[Tensor]


def learn_ratings(
    folder: ModelFolder,
    reranker: Reranker,
    pairs: Sequence[Pair],
    rated: Sequence[Rated],
    epochs: int,
    *,
    seed: int = 1234,
    show_progress: bool = True,
) -> Reranker:
    """A reranker that goes on from this one: `epochs` times over the rated contexts.

    Args:
        folder: the model, whose encoder and log-probs the reranker works with.
        pairs: those of the train split, which the ratings number.
    """
    lessons = _lessons(folder, pairs, rated)
    learner = _Learner(reranker, lessons, seed)
    learner.run(epochs, show_progress)
    order = learner.order()
    if show_progress and order is not None:
        text = f"reranker: {order:.1%} of what held-out ratings differ by is in the right order"
        note(text)
    return learner.reranker()


def _lessons(folder: ModelFolder, pairs: Sequence[Pair], rated: Sequence[Rated]) -> Lessons:
    engine = quick_engine(folder.model, folder.tokenizer, "float32")
    contexts = [pairs[each.pair].context for each in rated]
    texts = list(dict.fromkeys(text for each in rated for text in each.replies))
    place = {text: number for number, text in enumerate(texts)}
    scores = engine.score(
        [context for context, each in zip(contexts, rated, strict=True) for _ in each.replies],
        [text for each in rated for text in each.replies],
        request_ids=[each.pair for each in rated for _ in each.replies],
        strict_turns=False,
    )
    counts = [len(each.replies) for each in rated]
    return Lessons(
        context_vectors(engine, contexts),
        context_vectors(engine, [[text] for text in texts]),
        [torch.tensor([place[text] for text in each.replies]) for each in rated],
        list(torch.tensor([score.logprob for score in scores]).split(counts)),
        [torch.tensor(each.ratings) for each in rated],
    )


class _Learner:
    """Both towers, and what they learn from."""

    def __init__(self, reranker: Reranker, lessons: Lessons, seed: int) -> None:
        self.lessons = lessons
        self.weight = reranker.weight
        self.random = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        self.wanted = tower_of(reranker.wanted, lessons.contexts)
        self.given = tower_of(reranker.given, lessons.replies)

    def run(self, epochs: int, show_progress: bool) -> None:
        """Steps of some contexts, in an order drawn anew each epoch."""
        rows = teaching(len(self.lessons.places))

        def epoch() -> list[Tensor]:
            return list(rows[torch.randperm(len(rows), generator=self.random)].split(CONTEXTS_A_STEP))

        towers = self.wanted, self.given
        learn(towers, epoch, self.loss, epochs=epochs, rate=RATE, title="ratings", show_progress=show_progress)

    def loss(self, rows: Tensor) -> Tensor:
        """The mean over contexts of how improbable the order of two of its replies is, by what their ratings differ."""
        losses = []
        for worth, ratings in zip(self.worth(rows), (self.lessons.ratings[row] for row in rows.tolist()), strict=True):
            better = (ratings[:, None] - ratings).clamp_min(0)
            ahead = (worth[:, None] - worth) / TEMPERATURE
            losses.append((better * F.softplus(-ahead)).sum() / better.sum().clamp_min(LEAST))
        return torch.stack(losses).mean()

    def worth(self, rows: Tensor) -> list[Tensor]:
        """What each reply of these contexts is worth to the search."""
        places = [self.lessons.places[row] for row in rows.tolist()]
        counts = [len(each) for each in places]
        wanted = F.normalize(self.wanted(self.lessons.contexts[rows]), dim=-1)
        given = F.normalize(self.given(self.lessons.replies[torch.cat(places)]), dim=-1)
        cosines = (wanted.repeat_interleave(torch.tensor(counts), dim=0) * given).sum(dim=1)
        parts = zip(rows.tolist(), cosines.split(counts), strict=True)
        return [self.lessons.logprobs[row] + self.weight * part for row, part in parts]

    @torch.no_grad()
    def order(self) -> float | None:
        """The share of the differences between held-out ratings whose order is right; None: there are none."""
        self.wanted.eval()
        self.given.eval()
        right = every = 0.0
        for row in held_out(len(self.lessons.places)):
            (worth,), ratings = self.worth(torch.tensor([row])), self.lessons.ratings[row]
            better = (ratings[:, None] - ratings).clamp_min(0)
            right += float((better * (worth[:, None] > worth)).sum())
            every += float(better.sum())
        return right / every if every else None

    def reranker(self) -> Reranker:
        return Reranker(arrays_of(self.wanted), arrays_of(self.given), self.weight)
