"""What the engines are given: the tasks, and dialogues for them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from statistics import fmean
from typing import Literal

import numpy as np

Model = Literal["random", "shipped"]
ROOT = Path(__file__).resolve().parent.parent
TOKENS = 16  # of a forced reply, and of a scored one with EOS
VOCABULARY = 24_640


@dataclass(frozen=True)
class Task:
    key: str
    title: str
    model: Model
    beams: int  # 0: score
    forced: bool = True  # 16 tokens; otherwise as long as the model's replies are

    @property
    def scores(self) -> bool:
        return self.beams == 0


TASKS = (
    Task("beam", f"Beam 5, {TOKENS} tokens forced, V = {VOCABULARY:,}", "random", 5),
    Task("greedy", f"Greedy, {TOKENS} tokens forced, V = {VOCABULARY:,}", "random", 1),
    Task("score", f"Scoring {TOKENS}-token replies, V = {VOCABULARY:,}", "random", 0),
    Task("shipped-beam", "mime-ed: beam 5, real lengths", "shipped", 5, forced=False),
    Task("shipped-score", "mime-ed: scoring real replies", "shipped", 0, forced=False),
)
TITLES = {task.key: task.title for task in TASKS}


def task_of(key: str) -> Task:
    return next(task for task in TASKS if task.key == key)


@dataclass(frozen=True)
class Work:
    """Dialogues as tokens, what to score for them, and how many tokens (EOS counted) a peer is to decode."""

    dialogues: list[list[list[str]]]
    targets: list[list[str]]
    lengths: list[int]

    def __len__(self) -> int:
        return len(self.dialogues)

    @property
    def sources(self) -> list[list[str]]:
        """Each dialogue as one sequence, for engines that know no turns."""
        return [[word for turn in turns for word in turn] for turns in self.dialogues]

    @property
    def steps(self) -> int:
        return round(fmean(self.lengths))

    def chunks(self, batch: int) -> list[Work]:
        """The dialogues of one call each."""
        starts = range(0, len(self), batch)
        return [
            Work(self.dialogues[i : i + batch], self.targets[i : i + batch], self.lengths[i : i + batch])
            for i in starts
        ]

    def first(self, count: int) -> Work:
        return self.chunks(count)[0]

    def with_lengths(self, lengths: list[int]) -> Work:
        return replace(self, lengths=lengths)


def random_work(words: list[str], count: int = 512) -> Work:
    """Sources of 10 to 120 random words, 40 in the mean, and targets of 15."""
    draw = np.random.default_rng(15_884)  # the first 24, 64, 128 and 256 have a mean of 40 as well
    lengths = np.clip(np.round(10 + draw.gamma(1.5, 20.6, size=count)), 10, 120).astype(int)

    def some(size: int) -> list[str]:
        return [words[i] for i in draw.integers(0, len(words), size)]

    return Work([[some(int(n))] for n in lengths], [some(TOKENS - 1) for _ in range(count)], [TOKENS] * count)


def real_dialogues(count: int = 512) -> tuple[str, list[list[str]], list[str]]:
    """Where they are from, and `count` dialogues and responses as text: validation pairs, or made-up ones without data.

    Data with fewer pairs is repeated: rates count what was asked for.
    """
    folder = Path(os.environ.get("MIME_FAST_DATA", ROOT.parent / "shared" / "data"))
    if folder.is_dir():
        from mime_fast.data.empathetic_dialogues import read_pairs

        archive = folder / "empatheticdialogues.tar.gz"
        pairs = read_pairs(archive if archive.is_file() else folder, "valid")
        pairs = list(islice(cycle(pairs[:: max(len(pairs) // count, 1)]), count))
        return "validation contexts", [pair.context for pair in pairs], [pair.response for pair in pairs]
    return "made-up contexts", *made_up_dialogues(count)


def made_up_dialogues(count: int) -> tuple[list[list[str]], list[str]]:
    """Dialogues of one and of three turns from those in examples/."""
    rows = [json.loads(line) for line in (ROOT / "examples" / "dialogues.jsonl").read_text("utf-8").splitlines()]
    openings = [row["context"][-1] for row in rows]
    dialogues = [[one] for one in openings]
    dialogues += [[one, "Oh, I see. Tell me more!", two] for one in openings for two in openings if one != two]
    responses = ("That must have been hard for you.", "I am so happy for you!", "What are you going to do now?")
    return list(islice(cycle(dialogues), count)), list(islice(cycle(responses), count))
