"""CPU time of `screened` beside float32's, and its tokens, on weights that are hard to screen (docs/screening.md).

python -m tools.screen_race CACHE_FOLDER [--isa avx2] [--batches 1,64] [--weights as-they-are,equal-words]

A model of the paper's sizes, V = 24,640, whose vocabulary has other weights; 16 tokens forced (beams, greedy), or
scored. One thread; the precisions take turns.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.engines import MimeRunner, run
from benchmarks.race import race_all
from benchmarks.subjects import Subject, random_subject
from benchmarks.tasks import Work, task_of
from tools.arguments import some_of

ROUNDS, BUDGET = 5, 6.0  # seconds of a precision at one task and batch
WEIGHT, BIAS = "fc_decode.weight", "fc_decode.bias"
PRECISIONS = "float32", "screened"
TASKS = "beam", "greedy", "score"

Vocabulary = tuple[Tensor, Tensor]  # W [V, C], b [V]


def groups(w: Tensor, size: int) -> Tensor:
    """`size` words at a time are equal."""
    return w[torch.arange(len(w)) // size]


def clusters(w: Tensor, apart: float) -> Tensor:
    """64 words, and all others near one of them."""
    return w[torch.randint(64, (len(w),))] + apart * w.std() * torch.randn_like(w)


def every(w: Tensor, step: int, factor: float) -> Tensor:
    changed = w.clone()
    changed[::step] *= factor
    return changed


def crowded(w: Tensor, b: Tensor) -> Vocabulary:
    """600 equal words that are likelier than the rest."""
    w, b = w.clone(), b.clone()
    w[:600] = w[0]
    b[:600] += 20
    return w, b


def far_word(w: Tensor) -> Tensor:
    changed = w.clone()
    changed[len(w) // 2] *= 1000
    return changed


def one_input(w: Tensor) -> Tensor:
    changed = w.clone()
    changed[:, 7] *= 1000
    return changed


KINDS: dict[str, Callable[[Tensor, Tensor], Vocabulary]] = {
    "as-they-are": lambda w, b: (w, b),
    "equal-words": lambda w, b: (w[:1].repeat(len(w), 1), b),
    "groups-of-4": lambda w, b: (groups(w, 4), b),
    "groups-of-64": lambda w, b: (groups(w, 64), b),
    "half-equal": lambda w, b: (torch.where((torch.arange(len(w)) % 2 == 0)[:, None], w[0], w), b),
    "clusters-close": lambda w, b: (clusters(w, 0.05), b),
    "clusters-wide": lambda w, b: (clusters(w, 0.5), b),
    "crowded": crowded,
    "flat": lambda w, b: (w * 0.05, b),
    "flatter": lambda w, b: (w * 0.02, b),
    "tiny": lambda w, b: (w * 1e-4, b),
    "large": lambda w, b: (w * 30, b),
    "huge": lambda w, b: (w * 1e4, b),
    "zeros": lambda w, b: (w * 0, b),
    "half-zeros": lambda w, b: (every(w, 2, 0.0), b),
    "far-word": lambda w, b: (far_word(w), b),
    "far-words": lambda w, b: (every(w, 100, 100.0), b),
    "large-input": lambda w, b: (one_input(w), b),
    "rank-1": lambda w, b: (torch.randn(len(w), 1) * w[:1], b),
    "rank-1-one-sided": lambda w, b: (torch.rand(len(w), 1) * w[:1], b),
    "rank-8": lambda w, b: (torch.rand(len(w), 8) @ w[:8], b),
    "whole-numbers": lambda w, b: ((w / w.std()).round() * w.std(), b),
    "huge-bias": lambda w, b: (w, 100 * torch.randn_like(b)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path, help="where the model is made, and found the next time")
    parser.add_argument("--isa", default="auto", help="an instruction set (default: the best there is)")
    parser.add_argument(
        "--batches", default="1,64", help="dialogues at once, numbers with commas between (default: %(default)s)"
    )
    parser.add_argument(
        "--weights", type=some_of(KINDS), default=list(KINDS), help="kinds with commas between (default: all)"
    )
    given = parser.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    subject = random_subject(given.cache)
    times = "\t".join(f"{task}: time / float32's" for task in TASKS)
    print(f"weights\tbatch\tscreened\tsame tokens\t{times}", flush=True)
    for kind in given.weights:
        with tempfile.TemporaryDirectory() as folder:
            make_hard(subject, kind, Path(folder))
            for batch in map(int, given.batches.split(",")):
                runners = [MimeRunner(Path(folder), "native", each, batch, 1, given.isa) for each in PRECISIONS]
                work = subject.work.first(max(batch, 8))
                shares = [share_of(runners, task, work, batch) for task in TASKS]
                screened = "no" if "would not pay" in str(runners[1].engine.describe()) else "yes"
                print(
                    kind,
                    batch,
                    screened,
                    same_tokens(runners, work),
                    *(f"{x:.2f}" for x in shares),
                    sep="\t",
                    flush=True,
                )


def make_hard(subject: Subject, kind: str, folder: Path) -> None:
    """The subject's model with other weights of the vocabulary."""
    for file in Path(subject.files.mime).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    path = folder / "model.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    torch.manual_seed(0)
    changed = KINDS[kind](tensors[WEIGHT].float(), tensors[BIAS].float())
    for name, values in zip((WEIGHT, BIAS), changed, strict=True):
        tensors[name] = values.to(tensors[name].dtype).contiguous()
    save_file(tensors, path, metadata)


def same_tokens(runners: list[MimeRunner], work: Work) -> str:
    """Of how many dialogues all five beams, and the greedy reply, are the same."""
    found = []
    for runner in runners:
        beams = runner.engine.generate(work.dialogues, num_beams=5, num_return_sequences=5, max_new_tokens=16)
        greedy = runner.engine.generate(work.dialogues, max_new_tokens=16)
        both = [[*a.candidates, *b.candidates] for a, b in zip(beams, greedy, strict=True)]
        found.append([[one.token_ids for one in several] for several in both])
    return f"{sum(a == b for a, b in zip(*found, strict=True))} of {len(work)}"


def share_of(runners: list[MimeRunner], task: str, work: Work, batch: int) -> float:
    """The second one's CPU time divided by the first one's."""

    def once(runner: MimeRunner) -> Callable[[], None]:
        def call() -> None:
            for chunk in work.chunks(batch):
                run(runner, task_of(task), chunk)

        return call

    dense, screened = race_all(dict(enumerate(map(once, runners))), ROUNDS, BUDGET).values()
    return median(screened.cpu) / median(dense.cpu)


if __name__ == "__main__":
    main()
