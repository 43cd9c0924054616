"""The reranker of a model's replies, taught by sentence encoders what its own draws are worth as answers.

The model itself stays as it is: two small towers learn to see in what its context encoder makes of a context and of a
reply how well the one answers the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mime_fast.checkpoints.model_folder import ModelFolder
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.progress import note
from mime_fast.reference.reranker import Reranker
from mime_fast.training.candidates import quick_engine
from mime_fast.training.sentence_encoder import SHARPNESS, given_replies, wanted_replies
from mime_fast.training.sentence_teacher import SentenceTeacher
from mime_fast.training.towers import arrays_of, context_vectors, held_out, learn, new_tower, teaching

DRAWS = 8  # of a context, beside its own response
WEIGHT = 60.0  # of a cosine beside a reply's log-prob: docs/preference.md
CONTEXTS_A_STEP = 64
EPOCHS = 8
RATE = 2e-3
ONLY_ASKS = 0.25  # is taken from the cosine of a reply that only asks: readers like it less (docs/preference.md)
OWN = 2.0  # what telling apart a context's own replies counts, beside telling apart those of all contexts of a step


def only_asks(text: str) -> bool:
    """Whether a reply is a question with nothing said before it."""
    return text.rstrip().endswith("?") and not set(text) & set(".!,")


@dataclass(frozen=True)
class Lists:
    """Contexts of one fold, and the replies of each: its draws and its response, different ones that have words."""

    contexts: Tensor  # what the model made of each context, [n, 2 C]
    replies: Tensor  # and of each different reply, [m, 2 C]
    places: list[Tensor]  # among `replies`, of each context's
    wanted: Tensor  # the teacher's vector of the reply that each context wants, [n, H]
    given: Tensor  # and of each reply, [m, H]
    asks: Tensor  # whether a reply only asks, [m]

    def teach(self, rows: Tensor, columns: Tensor) -> Tensor:
        """What each of the replies at `columns` is worth to each of the contexts at `rows`."""
        return self.wanted[rows] @ self.given[columns].T - ONLY_ASKS * self.asks[columns]


def train_reranker(
    folder: ModelFolder,
    pairs: Sequence[Pair],
    teacher: SentenceTeacher,
    count: int,
    *,
    seed: int = 1234,
    show_progress: bool = True,
) -> Reranker:
    """Draw replies to training contexts as the model's own options say, have them judged, and learn the judgement.

    Args:
        folder: the trained model; its options must sample.
        pairs: the training pairs, those that the teacher's folds begin with.
        teacher: judges a context by the encoder that never saw it.
        count: contexts, all if there are fewer.
    """
    chosen = np.random.default_rng(seed).permutation(len(pairs))[:count]
    lists = []
    for fold in np.unique(teacher.folds[chosen]).tolist():
        mine = [int(i) for i in chosen if teacher.folds[i] == fold]
        lists.append(_lists(folder, [pairs[i] for i in mine], mine, teacher, fold, seed))
    learner = _Learner(lists, seed)
    learner.run(show_progress)
    correlation = learner.correlation()
    if show_progress and correlation is not None:
        text = f"reranker: correlation with its teacher within the replies to a context {correlation:.3f}"
        note(text)
    return learner.reranker()


def _lists(
    folder: ModelFolder, pairs: Sequence[Pair], numbers: Sequence[int], teacher: SentenceTeacher, fold: int, seed: int
) -> Lists:
    contexts = [pair.context for pair in pairs]
    search = folder.generation.replace(num_return_sequences=DRAWS, best_of=1).to_dict()
    drawn = quick_engine(folder.model, folder.tokenizer).generate(
        contexts, seed=seed, request_ids=numbers, strict_turns=False, **search
    )
    several = [
        dict.fromkeys([*(one.text for one in reply.candidates if one.tokens), pair.response])
        for reply, pair in zip(drawn, pairs, strict=True)
    ]
    texts = list(dict.fromkeys(text for replies in several for text in replies))
    place = {text: number for number, text in enumerate(texts)}
    encoder = teacher.encoders[fold]
    engine = quick_engine(folder.model, folder.tokenizer, "float32")
    return Lists(
        context_vectors(engine, contexts),
        context_vectors(engine, [[text] for text in texts]),
        [torch.tensor([place[text] for text in replies]) for replies in several],
        torch.from_numpy(wanted_replies(encoder, teacher.subworder, contexts)),
        torch.from_numpy(given_replies(encoder, teacher.subworder, texts)),
        torch.tensor([float(only_asks(text)) for text in texts]),
    )


class _Learner:
    """Both towers, and what they learn from."""

    def __init__(self, lists: Sequence[Lists], seed: int) -> None:
        self.lists = lists
        self.random = torch.Generator().manual_seed(seed)
        size = self.lists[0].contexts.shape[1]
        torch.manual_seed(seed)
        self.wanted = new_tower(size, [each.contexts for each in self.lists])
        self.given = new_tower(size, [each.replies for each in self.lists])

    def run(self, show_progress: bool) -> None:
        """Steps of contexts of one fold, in an order drawn anew each epoch."""
        parts = [(lists, teaching(len(lists.places))) for lists in self.lists]

        def epoch() -> list[tuple[Lists, Tensor]]:
            steps = [
                (lists, rows[some])
                for lists, rows in parts
                for some in torch.randperm(len(rows), generator=self.random).split(CONTEXTS_A_STEP)
            ]
            return [steps[place] for place in torch.randperm(len(steps), generator=self.random).tolist()]

        def loss(step: tuple[Lists, Tensor]) -> Tensor:
            return self.loss(*step)

        towers = self.wanted, self.given
        learn(towers, epoch, loss, epochs=EPOCHS, rate=RATE, title="reranker", show_progress=show_progress)

    def loss(self, lists: Lists, rows: Tensor) -> Tensor:
        """How far the towers are from the teacher in telling apart the replies of all these contexts, and of each."""
        places = [lists.places[row] for row in rows.tolist()]
        columns = torch.cat(places)
        own = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([len(each) for each in places]))
        is_own = own[None] == torch.arange(len(rows))[:, None]
        told = SHARPNESS * lists.teach(rows, columns)
        seen = SHARPNESS * self.cosines(lists.contexts[rows], lists.replies[columns])
        return _divergence(told, seen, torch.ones_like(is_own)) + OWN * _divergence(told, seen, is_own)

    def cosines(self, contexts: Tensor, replies: Tensor) -> Tensor:
        """Of each context with each reply."""
        wanted, given = self.wanted(contexts), self.given(replies)
        return F.normalize(wanted, dim=-1) @ F.normalize(given, dim=-1).T

    @torch.no_grad()
    def correlation(self) -> float | None:
        """With the teacher within the replies to a context, the mean over those held out; None: there are none."""
        self.wanted.eval()
        self.given.eval()
        found = []
        for lists in self.lists:
            for row in held_out(len(lists.places)):
                rows, columns = torch.tensor([row]), lists.places[row]
                told, seen = lists.teach(rows, columns), self.cosines(lists.contexts[rows], lists.replies[columns])
                if len(columns) > 2:
                    found.append(torch.corrcoef(torch.cat([told, seen]))[0, 1].nan_to_num())
        return float(torch.stack(found).mean()) if found else None

    def reranker(self) -> Reranker:
        return Reranker(arrays_of(self.wanted), arrays_of(self.given), WEIGHT)


def _divergence(told: Tensor, seen: Tensor, counts: Tensor) -> Tensor:
    """KL[softmax(told) || softmax(seen)] over the columns that count, the mean over rows."""
    logs = [values.masked_fill(~counts, -torch.inf).log_softmax(dim=1) for values in (told, seen)]
    told, seen = (values.masked_fill(~counts, 0.0) for values in logs)
    return (told.exp() * counts * (told - seen)).sum(dim=1).mean()
