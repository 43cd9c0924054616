"""How often a precision's replies are float32's, and at what price, on validation contexts of EmpatheticDialogues.

python -m tools.compare_precisions DATA [--contexts 1000] [--searches default,beams,greedy,mime,score]
    [--precisions screened,int8] [--model FOLDER] [--isa ISA] [--set NAME=VALUE ...]

DATA is what `read_pairs` reads. `default` is the model's own search, and `--set temperature=1` changes an option of it.
Precisions take turns, chunk by chunk. CPU seconds are sums over all chunks; ratios are float32's time by the other's.
docs/screening.md has what was seen.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mime_fast import load
from mime_fast.data.empathetic_dialogues import Pair, read_pairs
from mime_fast.engine.engine import Engine
from mime_fast.errors import MimeFastError
from tools.arguments import at_least, some_of

CHUNK = 64  # dialogues of a turn
EXACT = "float32"
SEARCHES: dict[str, dict[str, Any]] = {
    "default": {},
    "beams": {"num_beams": 5, "num_return_sequences": 5, "do_sample": False},
    "greedy": {"num_beams": 1, "do_sample": False},
    "mime": {"num_beams": 5, "search": "mime", "do_sample": False},
}
SCORE = "score"

# Of each context: token ids of its replies, and log-probs.
Answer = tuple[list[list[int]], list[float]]


@dataclass
class Found:
    cpu: float = 0.0
    answers: list[Answer] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """One precision in one search beside float32."""

    search: str
    precision: str
    contexts: int
    best_equal: float  # share of contexts whose first reply has float32's tokens
    all_equal: float
    mean_apart: float  # of the log-probs of replies (or of scored words' sums) with equal tokens
    largest_apart: float
    cpu: float
    exact_cpu: float

    def __str__(self) -> str:
        return (
            f"{self.search}\t{self.precision}\t{self.contexts}\t{self.best_equal:.4%}\t{self.all_equal:.4%}\t"
            f"{self.mean_apart:.1e}\t{self.largest_apart:.1e}\t{self.cpu:.2f}\t{self.exact_cpu / self.cpu:.2f}"
        )


HEADER = "search\tprecision\tcontexts\tbest equal\tall equal\tlog-prob apart: mean\tlargest\tCPU s\tfloat32's CPU / its"


def asked_of(engine: Engine, search: str, options: dict[str, Any]) -> Callable[[Sequence[Pair], int], list[Answer]]:
    """What is asked of an engine: pairs and the number of the first, which is its request id."""

    def generate(pairs: Sequence[Pair], first: int) -> list[Answer]:
        ids = range(first, first + len(pairs))
        replies = engine.generate([pair.context for pair in pairs], request_ids=ids, **(SEARCHES[search] | options))
        kept = [reply.candidates for reply in replies]
        return [([each.token_ids for each in many], [each.logprob for each in many]) for many in kept]

    def score(pairs: Sequence[Pair], first: int) -> list[Answer]:
        contexts, responses = [pair.context for pair in pairs], [pair.response for pair in pairs]
        scores = engine.score(contexts, responses, request_ids=range(first, first + len(pairs)))
        return [([], [each.logprob]) for each in scores]

    return score if search == SCORE else generate


def compare(
    engines: dict[str, Engine], pairs: Sequence[Pair], searches: Sequence[str], options: dict[str, Any]
) -> Iterator[Row]:
    """Rows of each search and each engine but float32's, which must be among them."""
    for search in searches:
        ask = {name: asked_of(engine, search, options) for name, engine in engines.items()}
        found = {name: Found() for name in engines}
        for first in range(0, len(pairs), CHUNK):
            for name in engines:
                begun = time.process_time()
                found[name].answers += ask[name](pairs[first : first + CHUNK], first)
                found[name].cpu += time.process_time() - begun
        for name in engines:
            if name != EXACT:
                yield beside(search, name, found[name], found[EXACT])


def beside(search: str, name: str, found: Found, exact: Found) -> Row:
    both = list(zip(found.answers, exact.answers, strict=True))
    apart = [
        abs(one - other)
        for (ours, sums), (theirs, others) in both
        if ours == theirs
        for one, other in zip(sums, others, strict=True)
    ]
    return Row(
        search,
        name,
        len(both),
        float(np.mean([ours[0][:1] == theirs[0][:1] for ours, theirs in both])),
        float(np.mean([ours[0] == theirs[0] for ours, theirs in both])),
        float(np.mean(apart)) if apart else float("nan"),
        max(apart, default=float("nan")),
        found.cpu,
        exact.cpu,
    )


def option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    with suppress(ValueError):
        if name and equals:
            return name, json.loads(value)
    raise argparse.ArgumentTypeError(f'{text!r}: must be NAME=VALUE, the value as in JSON (1, false, "mime")')


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--contexts", type=at_least(0), default=1000, help="spread over the validation split; 0: all")
    searches = [*SEARCHES, SCORE]
    parser.add_argument(
        "--searches", type=some_of(searches), default=searches, help="with commas between (default: all)"
    )
    parser.add_argument("--precisions", default="screened,int8")
    parser.add_argument("--model", help="a model folder; by default the shipped model")
    parser.add_argument("--isa", default="auto")
    parser.add_argument(
        "--set", action="append", type=option, default=[], metavar="NAME=VALUE", help="an option of every search"
    )
    given = parser.parse_args(arguments)
    try:
        report(given)
    except MimeFastError as error:
        sys.exit(f"compare_precisions: {error}")


def report(given: argparse.Namespace) -> None:
    """Print the rows as they come."""
    pairs = read_pairs(given.data, "valid")
    wanted = given.contexts or len(pairs)
    pairs = [pairs[i * len(pairs) // wanted] for i in range(min(wanted, len(pairs)))]
    engines = {
        name: load(given.model, device="cpu", precision=name, threads=1, isa=given.isa)
        for name in (EXACT, *given.precisions.split(","))
    }
    print(HEADER, flush=True)
    for row in compare(engines, pairs, given.searches, dict(given.set)):
        print(row, flush=True)


if __name__ == "__main__":
    main()
