"""What a run was started with, kept in its folder, so that it never goes on with anything else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mime_fast.checkpoints.model_folder import CONFIG, GENERATION, TOKENIZER
from mime_fast.checkpoints.reranker import RERANKER, WEIGHTS
from mime_fast.errors import CheckpointError, ConfigError
from mime_fast.files import write_json
from mime_fast.training.ratings import RATINGS
from mime_fast.training.recipe import REMOVED, Stage
from mime_fast.training.trainer import METRICS, STATE, read_metrics

STARTED, TEACHERS, CARD = "run.json", "teachers", "README.md"
FORMAT = "mime_fast training run 1"


def check_started(out: Path, stages: Sequence[Stage], fingerprints: Mapping[str, str | None]) -> None:
    """Compare with what the run in `out`, a folder, was started with; note a new run there, and new plans for stages.

    Raises:
        CheckpointError: the run was started with another recipe, other data or other vectors, and everything that
            differs is named (inputs may be others until something has learnt from them, ratings until a reranker has);
            or the folder contains a model or a state of something else, or weights whose state is gone.
    """
    path = out / STARTED
    if not path.is_file():
        there = [f"{folder}{name}" for folder in _folders(len(stages)) for name in _files(out / folder)]
        if there:
            raise CheckpointError(
                f"{out}: has a {there[0]} but no {STARTED}, which says what a run was started with; give another folder"
            )
        _note(path, stages, fingerprints)
        return
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        before = [_noted_stage(stage, number) for number, stage in enumerate(noted["stages"], start=1)]
        if noted.get("format", FORMAT) != FORMAT:
            raise ValueError(f"format={noted['format']!r}: must be {FORMAT!r}")
        inputs = {name: noted["inputs"].get(name) for name in fingerprints}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise CheckpointError(f"{path}: not readable ({error}); give another folder") from None
    _check_states(out, _folders(len(before)))
    begun = max((n for n, folder in enumerate(_folders(len(before)), start=1) if _files(out / folder)), default=0)
    if not begun and not any((out / TEACHERS).glob("*")):
        inputs = dict(fingerprints)  # nothing has learnt from them yet
    if not any((out / folder / RERANKER).exists() for folder in _folders(len(before))):
        inputs[RATINGS] = fingerprints.get(RATINGS)
    changed = _changed(before, stages, begun) + [name for name, value in fingerprints.items() if inputs[name] != value]
    if changed:
        raise CheckpointError(
            f"{path}: the run was started with another {', '.join(changed)}; give the same as then, or another folder"
        )
    if list(stages) != before or dict(fingerprints) != noted["inputs"]:
        _note(path, stages, fingerprints)


def _note(path: Path, stages: Sequence[Stage], fingerprints: Mapping[str, str | None]) -> None:
    write_json(path, {"format": FORMAT, "stages": [stage.to_dict() for stage in stages], "inputs": dict(fingerprints)})


def _noted_stage(values: dict[str, Any], number: int) -> Stage:
    """A stage as run.json has it; keys younger than the run have their defaults.

    mime_fast 0.3.0 notes all its keys. Those of the risk are left out where they mean what is done now: no risk, or
    that of answers.

    Raises:
        ConfigError: a key or a value is not allowed.
    """
    if not values.get("risk_weight") or values.get("risk_gain") == "answer":
        values = {name: value for name, value in values.items() if name not in REMOVED}
    return Stage.from_dict(values, where=f"stage {number}")


def _folders(count: int) -> list[str]:
    """Of each stage, within the run's."""
    return [*(f"stage-{number}/" for number in range(1, count)), ""]


def _files(folder: Path) -> list[str]:
    """Those of a stage that are there."""
    return [
        name for name in (CONFIG, GENERATION, TOKENIZER, WEIGHTS, RERANKER, METRICS, STATE) if (folder / name).exists()
    ]


def _check_states(out: Path, folders: Sequence[str]) -> None:
    """CheckpointError where a stage would be trained again over what it has made, since its state is gone.

    A stage without a state that is not done has at most one evaluation: the first is written before the state is.
    """
    for number, folder in enumerate(folders):
        files = _files(out / folder)
        if STATE in files:
            continue
        followed = any(_files(out / later) for later in folders[number + 1 :])
        carded = not folder and (out / CARD).is_file() and WEIGHTS in files
        if followed or carded or (METRICS in files and len(read_metrics(out / folder / METRICS)) > 1):
            raise CheckpointError(
                f"{out / folder}: has been trained, and no {STATE} is left to go on from; put it back, or give another "
                "folder"
            )


def _changed(before: Sequence[Stage], stages: Sequence[Stage], begun: int) -> list[str]:
    """Which choices differ, and in which stages if not in all.

    Stages that have not begun may be other ones; so may the search of a folder between two stages: it trains nothing.
    """
    if len(before) != len(stages) and begun >= min(len(before), len(stages)):
        return [f"number of stages ({len(before)})"]
    found: dict[str, list[int]] = {}
    for number, (old, new) in enumerate(zip(before[:begun], stages[:begun], strict=True), start=1):
        values = old.to_dict()
        for name, value in new.to_dict().items():
            if values[name] != value and not (name == "generation" and number < len(stages)):
                found.setdefault(name, []).append(number)
    return [
        name if len(where) == len(stages) else f"{name} of stage {' and '.join(map(str, where))}"
        for name, where in found.items()
    ]
