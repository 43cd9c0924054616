"""A made-up data set and a stage that trains on it in a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from mime_fast.training import run, trainer
from mime_fast.training.recipe import Stage

SMALL = {"hidden_size": 8, "attention_depth": 4, "ffn_channels": 3, "dropout": 0.1}


def write_split(folder: Path, split: str, count: int) -> None:
    """A made-up split in the official form: a turn and its reply, in each third dialogue one turn more."""
    labels = ["joyful", "sad", "proud", "afraid"]
    words = ["dog", "cat", "house", "rain", "sun", "river", "bread"]
    lines = ["conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags"]
    for i in range(count):
        said, label = f"my {words[i % 7]} is {words[(i * 3 + 1) % 7]} today", labels[i % 4]
        lines.append(f"made:{split}:{i},1,{label},{said},0,{said} .,,")
        lines.append(f"made:{split}:{i},2,{label},{said},1,oh_comma_ the {words[i % 7]} again !,,")
        if i % 3 == 0:
            lines.append(f"made:{split}:{i},3,{label},{said},0,yes_comma_ the {words[i % 7]} .,,")
    (folder / f"{split}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def stage(**changes: Any) -> Stage:
    values: dict[str, Any] = {
        "model": SMALL,
        "batch_size": 4,
        "max_epochs": 3,
        "schedule": "cosine",
        "learning_rate": 0.01,
        "warmup_steps": 5,
        "eval_every_steps": 7,
        "ema_decay": 0.9,
        "patience": 100,
        "max_grad_norm": 1.0,
    }
    return Stage(**(values | changes))


def taught_targets(monkeypatch: pytest.MonkeyPatch) -> list[npt.NDArray[np.float32]]:
    """What the teachers say of the listener's pairs, [n, 32], of each stage that begins from now on."""
    found: list[npt.NDArray[np.float32]] = []

    class Listener(trainer.Trainer):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            found.append(np.stack([each.teacher for each in self.train_examples if each.teacher is not None]))

    monkeypatch.setattr(run, "Trainer", Listener)
    return found


def state_of(out: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(out / trainer.STATE, weights_only=True)
    return state


def metrics_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / trainer.METRICS).read_text(encoding="utf-8").splitlines()]
