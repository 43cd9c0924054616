"""What one model makes of a split: replies and likelihoods, each made when a figure first asks for it, once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mime_fast.config.generation import GenerationConfig
from mime_fast.data.batches import length_order, make_examples
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.emotions import POSITIVE_IDS
from mime_fast.engine.engine import Engine
from mime_fast.engine.options import resolve_options
from mime_fast.evaluation.metrics.diversity import Diversity, diversity
from mime_fast.evaluation.metrics.likelihood import Likelihood, PairFigures, per_pair
from mime_fast.evaluation.pair_checks import check_lengths, check_pairs, pairs_of
from mime_fast.evaluation.searches import SEARCHES, Search
from mime_fast.progress import followed

Tokens = list[list[str]]
Where = npt.NDArray[np.bool_]
GoldOrPredicted = Literal["gold", "predicted"]

SEEDS = 2**64


class Measured:
    """A model's replies to pairs and its likelihoods of them; a pair's place is its request id.

    Attributes:
        references: the pairs' responses as tokens.
        emotion: the labelled ones, [n].
        groups: which pairs are in a group, [n]: all, and those with a positive and with a negative label (Table 4).
    """

    def __init__(
        self,
        engine: Engine,
        pairs: Iterable[Pair],
        *,
        batch_size: int = 64,
        polarity: GoldOrPredicted = "gold",
        stochastic: bool = True,
        name: str = "",
        show_progress: bool = False,
    ) -> None:
        """InputError: no pairs, or one that the model cannot read; the message names the pair."""
        self.engine = engine
        pairs = pairs_of(pairs)
        check_pairs(pairs, engine.tokenizer)
        self.examples = make_examples(pairs, engine.tokenizer)
        check_lengths(pairs, self.examples, engine.config.max_positions)
        self.batches = length_order(self.examples, batch_size)
        self.contexts = [pair.context for pair in pairs]
        self.references: Tokens = engine.tokenizer.tokenize_batch([pair.response for pair in pairs])
        self.emotion = np.array([example.emotion for example in self.examples], dtype=np.int64)
        positive = np.isin(self.emotion, POSITIVE_IDS)
        self.groups = {"all": np.ones_like(positive), "positive": positive, "negative": ~positive}
        self.polarity = polarity
        self.stochastic = stochastic
        self.name = name
        self.show_progress = show_progress
        self._replies: dict[tuple[GenerationConfig, int], Tokens] = {}
        self._scores: dict[int, PairFigures] = {}

    def options(self, search: Search) -> GenerationConfig:
        """All options of a search, the model's defaults filled in."""
        return resolve_options(self.engine.generation_config, self._given(search), self.engine.config.max_positions)

    def replies(self, search: Search, seed: int) -> Tokens:
        """Tokens of each context's best reply, [n]."""
        key = self.options(search), seed
        if key not in self._replies:
            said: dict[int, list[str]] = {}
            given = self._given(search) | ({} if self.stochastic else {"stochastic": False})
            for batch in self._progress(f"{search}, seed {seed}"):
                contexts = [self.contexts[i] for i in batch]
                made = self.engine.generate(contexts, seed=seed, request_ids=batch, strict_turns=False, **given)
                said |= {i: list(reply.tokens) for i, reply in zip(batch, made, strict=True)}
            self._replies[key] = [said[i] for i in range(len(self.contexts))]
        return self._replies[key]

    def _given(self, search: Search) -> dict[str, Any]:
        """What a search asks for, as long as the model can say it."""
        given = dict(SEARCHES[search])
        if "max_new_tokens" in given:
            given["max_new_tokens"] = min(given["max_new_tokens"], self.engine.config.max_positions)
        return given

    def scores(self, seed: int) -> PairFigures:
        """Likelihoods and the classifier's ranks, pair by pair."""
        if seed not in self._scores:
            with self.engine.running():
                self._scores[seed] = per_pair(
                    self.engine.model,
                    self.examples,
                    self._progress(f"likelihood, seed {seed}"),
                    seed=seed,
                    gold_polarity=self.polarity == "gold",
                    stochastic=self.stochastic,
                )
        return self._scores[seed]

    def part(self, seed: int, group: str = "all", varied: Search = "default") -> MeasuredPart:
        """The pairs of a group with one seed; `varied` is the search that diversity is of."""
        return MeasuredPart(self, self.groups[group], seed, varied)

    def _progress(self, title: str) -> Iterator[Sequence[int]]:
        named = f"{self.name}: {title}" if self.name else title
        return followed(self.batches, title=named, unit=" batches", show=None if self.show_progress else False)


class MeasuredPart:
    """`metrics.metric.Part` of some pairs, those at which `where` [n] is true."""

    def __init__(self, measured: Measured, where: Where, seed: int, varied: Search) -> None:
        self.measured = measured
        self.where = where
        self.places = np.flatnonzero(where).tolist()
        self.seed = seed
        self.varied = varied
        self._diversity: dict[Search, Diversity] = {}

    @property
    def n(self) -> int:
        return len(self.places)

    @property
    def references(self) -> Tokens:
        return [self.measured.references[i] for i in self.places]

    def likelihood(self) -> Likelihood:
        return self.measured.scores(self.seed).select(self.where).summary()

    def replies(self, search: Search, *, next_seed: bool = False) -> Tokens:
        said = self.measured.replies(search, (self.seed + next_seed) % SEEDS)
        return [said[i] for i in self.places]

    def diversity(self, search: Search) -> Diversity:
        if search not in self._diversity:
            self._diversity[search] = diversity(self.replies(search))
        return self._diversity[search]
