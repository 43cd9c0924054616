"""What the bar of a training shows: the loss and the terms that a stage has."""

from __future__ import annotations

from pathlib import Path

import pytest

from mime_fast.training.dialogue_loop import DialogueLoop
from mime_fast.training.recipe import Stage
from tests.reference.tiny import tiny_model

LOSSES = {
    "loss": 12.5,
    "classification": 1.25,
    "kl": 0.00012,
    "reconstruction": 0.0,
    "response": 11.0,
    "mixture": 2.5,
    "risk": 0.0,
}


class Idle(DialogueLoop):
    """A loop that is never run."""

    total_steps = examples = terms = after_step = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("stage", "terms"),
    [
        ({}, ["loss", "classification", "kl", "response"]),
        ({"mixture_weight": 0.5}, ["loss", "classification", "kl", "response", "mixture"]),
        ({"alpha": 0.0}, ["loss", "kl", "response"]),
    ],
)
def test_terms_that_are_off_are_not_shown(tmp_path: Path, stage: dict[str, float], terms: list[str]) -> None:
    loop = Idle(Stage(**stage), tiny_model(), tmp_path / "state")  # type: ignore[arg-type]
    shown = loop.shown(LOSSES)
    assert list(shown) == terms and shown.get("kl") == "0.00012"
