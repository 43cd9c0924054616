"""Replies a core-second of MIME and its baselines on the CPU engine, random weights; docs/engine.md has what was seen.

python -m tools.baseline_speed
"""

from __future__ import annotations

import argparse
from statistics import median

import numpy as np

from benchmarks.race import race_all
from benchmarks.random_mime import with_random_weights
from benchmarks.tasks import TOKENS, random_work
from mime_fast.backends.native import NativeBackend
from mime_fast.backends.protocol import Contexts, Requests
from mime_fast.checkpoints.model_folder import ModelWeights
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MODEL_CONFIGS
from mime_fast.reference.models import new_model
from mime_fast.text.special import CLS_ID, SPECIAL_TOKENS, USR_ID

VOCABULARY, DIALOGUES, ROUNDS = 16_007, 64, 5
PRECISIONS = ("float32", "int8")
OPTIONS = GenerationConfig(num_beams=5, max_new_tokens=TOKENS, min_new_tokens=TOKENS - 1)


def dialogues() -> tuple[Contexts, Requests]:
    """Those of the benchmarks: 10 to 120 random words, 40 in the mean."""
    words = [str(i) for i in range(len(SPECIAL_TOKENS), VOCABULARY)]
    rows = [[CLS_ID, *map(int, source)] for source in random_work(words, DIALOGUES).sources]
    states = [[CLS_ID, *[USR_ID] * (len(row) - 1)] for row in rows]
    offsets = np.cumsum([0, *map(len, rows)])
    numbers = np.arange(DIALOGUES, dtype=np.uint64)
    ids, speakers = (np.array([each for row in many for each in row], np.int32) for many in (rows, states))
    return Contexts(ids, speakers, offsets), Requests(
        numbers, numbers, np.full(DIALOGUES, -1, np.int32), stochastic=True
    )


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    asked = dialogues()
    models = {name: with_random_weights(new_model(kind.paper(VOCABULARY))) for name, kind in MODEL_CONFIGS.items()}
    backends = {
        (name, precision): NativeBackend(ModelWeights.of(model), precision, DIALOGUES, 1, "auto")
        for name, model in models.items()
        for precision in PRECISIONS
    }
    runs = {key: lambda backend=backend: backend.generate(*asked, OPTIONS) for key, backend in backends.items()}
    seconds = {key: median(rounds.cpu) for key, rounds in race_all(runs, ROUNDS, 60.0).items()}
    print(f"replies a core-second, {DIALOGUES} dialogues, 5 beams, {TOKENS} tokens forced, V = {VOCABULARY:,}")
    print("model", *PRECISIONS, sep="\t")
    for name in models:
        print(name, *(f"{DIALOGUES / seconds[name, precision]:.0f}" for precision in PRECISIONS), sep="\t")


if __name__ == "__main__":
    main()
