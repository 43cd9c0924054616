"""Scoring with Hugging Face `datasets`: python examples/datasets_map.py IN.jsonl OUT.parquet

Needs `pip install datasets`. IN has the columns `context` (a list of utterances) and `response`; OUT has them and
`perplexity` and `emotion`.
"""

from __future__ import annotations

import argparse
from typing import Any

from datasets import Dataset

import mime_fast


def scored(pairs: Dataset, engine: mime_fast.Engine, batch_size: int = 512) -> Dataset:
    """The dataset with the perplexity of each response and the emotion of each context.

    A row's place is its request id, so that the batch size changes nothing.
    """

    def score(batch: dict[str, list[Any]], places: list[int]) -> dict[str, list[Any]]:
        found = engine.score(batch["context"], batch["response"], request_ids=places)
        return {"perplexity": [one.perplexity for one in found], "emotion": [one.emotion for one in found]}

    return pairs.map(score, batched=True, batch_size=batch_size, with_indices=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="IN.jsonl")
    parser.add_argument("target", metavar="OUT.parquet")
    given = parser.parse_args()
    rows = scored(Dataset.from_json(given.source), mime_fast.load())
    rows.to_parquet(given.target)
    print(rows.to_pandas()[["perplexity", "emotion", "response"]])
