"""What one model makes of a split, pair by pair and noise seed by noise seed; and the figures of any part of it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mime_fast.data.batches import Example
from mime_fast.emotions import POSITIVE_IDS
from mime_fast.engine.engine import Engine
from mime_fast.evaluation.metrics.bleu import corpus_bleu
from mime_fast.evaluation.metrics.diversity import diversity
from mime_fast.evaluation.metrics.likelihood import PairFigures, per_pair
from mime_fast.evaluation.replies import BEAM, GREEDY, Replies
from mime_fast.evaluation.report import DIVERSITY_KEYS, LIKELIHOOD_KEYS

Tokens = list[list[str]]
Where = npt.NDArray[np.bool_]

FIGURES = (*LIKELIHOOD_KEYS, "bleu_greedy", "bleu_beam", *DIVERSITY_KEYS)


@dataclass(frozen=True)
class Outputs:
    """Of n pairs; lists have one entry a noise seed, the first of which is that of all tables but Table 5.

    An entry is missing where no figure asks for it.
    """

    references: Tokens
    emotion: npt.NDArray[np.int64]  # the labelled one, [n]
    likelihood: list[PairFigures]
    greedy: Tokens | None  # the first seed's plain greedy replies
    beam: list[Tokens]  # plain replies with 5 beams

    def groups(self) -> dict[str, Where]:
        """Which pairs are in a group, [n]: all, and those with a positive and with a negative label (Table 4)."""
        positive = np.isin(self.emotion, POSITIVE_IDS)
        return {"all": np.ones_like(positive), "positive": positive, "negative": ~positive}


def make_outputs(
    engine: Engine,
    examples: Sequence[Example],
    batches: Sequence[Sequence[int]],
    replies: Replies,
    seeds: Sequence[int],
    metrics: Sequence[str],
    *,
    gold_polarity: bool,
) -> Outputs:
    """Score and answer all pairs, with each of the seeds where a figure needs them all."""
    likelihood = []
    for seed in seeds if "likelihood" in metrics else ():
        title = f"{replies.name}: likelihood, seed {seed}"
        progress = tqdm(batches, desc=title, unit="batch", disable=not replies.show_progress)
        with engine.running():
            likelihood.append(
                per_pair(
                    engine.model,
                    examples,
                    progress,
                    seed=seed,
                    gold_polarity=gold_polarity,
                    stochastic=replies.stochastic,
                )
            )
    greedy = replies.tokens(f"greedy, seed {seeds[0]}", GREEDY, seeds[0]) if "bleu_greedy" in metrics else None
    beam_seeds = seeds if "bleu_beam" in metrics else seeds[:1] if "diversity" in metrics else ()
    beam = [replies.tokens(f"beam, seed {seed}", BEAM, seed) for seed in beam_seeds]
    emotion = np.array([example.emotion for example in examples], dtype=np.int64)
    return Outputs(replies.references, emotion, likelihood, greedy, beam)


def figures(outputs: Outputs, where: Where, metrics: Sequence[str]) -> dict[str, Any]:
    """`n` and `FIGURES` of the pairs at which `where` [n] is true, by the first seed.

    A figure is null where it is not asked for, and all are where n is 0.
    """
    found: dict[str, Any] = {"n": int(where.sum())} | dict.fromkeys(FIGURES)
    if not found["n"]:
        return found
    places = np.flatnonzero(where).tolist()
    references = [outputs.references[i] for i in places]
    if "likelihood" in metrics:
        summary = asdict(outputs.likelihood[0].select(where).summary())
        found |= {key: summary[key] for key in LIKELIHOOD_KEYS}
    if "bleu_greedy" in metrics and outputs.greedy is not None:
        found["bleu_greedy"] = corpus_bleu([outputs.greedy[i] for i in places], references)
    if outputs.beam:
        said = [outputs.beam[0][i] for i in places]
        if "bleu_beam" in metrics:
            found["bleu_beam"] = corpus_bleu(said, references)
        if "diversity" in metrics:
            varied = asdict(diversity(said))
            found |= {key: varied[key] for key in DIVERSITY_KEYS}
    return found


def over_seeds(outputs: Outputs, metrics: Sequence[str]) -> dict[str, Any]:
    """PPL and BLEU of the beam over the noise seeds (Table 5): `values`, `mean`, and the sample `deviation`.

    The deviation is null where there is one value alone; a figure is null where it is not asked for.
    """
    values: dict[str, list[float]] = {"bleu_beam": [], "ppl": []}
    if "bleu_beam" in metrics:
        values["bleu_beam"] = [corpus_bleu(said, outputs.references) for said in outputs.beam]
    values["ppl"] = [scored.summary().ppl for scored in outputs.likelihood]
    return {key: _spread(each) if each else None for key, each in values.items()}


def _spread(values: list[float]) -> dict[str, Any]:
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "deviation": deviation, "values": values}
