"""Replies of one model to all pairs of a split, made once however many figures need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from mime_fast.config.generation import OPTIONS, GenerationConfig
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.engine.engine import Engine
from mime_fast.engine.options import resolve_options

BEAM: dict[str, Any] = {  # the paper's search, whatever the model's own defaults are, but for words it never says
    name: getattr(GenerationConfig, name)
    for name, option in OPTIONS.items()
    if not option.sampling and name != "suppress_tokens"
}
GREEDY = BEAM | {"num_beams": 1}


class Replies:
    """Reply tokens by search options and seed; a pair's place is its request id.

    Attributes:
        references: the pairs' responses as tokens.
    """

    def __init__(
        self,
        engine: Engine,
        pairs: Sequence[Pair],
        batches: Sequence[Sequence[int]],
        *,
        stochastic: bool = True,
        name: str = "",
        show_progress: bool = False,
    ) -> None:
        self.engine = engine
        self.contexts = [pair.context for pair in pairs]
        self.references = engine.tokenizer.tokenize_batch([pair.response for pair in pairs])
        self.batches = batches
        self.stochastic = stochastic
        self.name = name
        self.show_progress = show_progress
        self.made: dict[tuple[GenerationConfig, int], list[list[str]]] = {}

    def resolve(self, options: dict[str, Any]) -> GenerationConfig:
        """All options of a search, the model's defaults filled in."""
        return resolve_options(self.engine.generation_config, options, self.engine.config.max_positions)

    def tokens(self, name: str, options: dict[str, Any], seed: int) -> list[list[str]]:
        """Tokens of each context's best reply, [n]; `name` is what the progress bar says."""
        key = self.resolve(options), seed
        if key not in self.made:
            self.made[key] = self._generate(name, options, seed)
        return self.made[key]

    def _generate(self, name: str, options: dict[str, Any], seed: int) -> list[list[str]]:
        said: dict[int, list[str]] = {}
        title = f"{self.name}: {name}" if self.name else name
        given = options if self.stochastic else options | {"stochastic": False}
        for batch in tqdm(self.batches, desc=title, unit="batch", disable=not self.show_progress):
            contexts = [self.contexts[i] for i in batch]
            replies = self.engine.generate(contexts, seed=seed, request_ids=batch, strict_turns=False, **given)
            said |= {i: list(reply.tokens) for i, reply in zip(batch, replies, strict=True)}
        return [said[i] for i in range(len(self.contexts))]
