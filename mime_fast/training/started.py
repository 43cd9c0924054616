"""What a run was started with, kept in its folder, so that it never goes on with anything else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mime_fast.checkpoints.model_folder import CONFIG, GENERATION, TOKENIZER, WEIGHTS
from mime_fast.checkpoints.reranker import RERANKER
from mime_fast.errors import CheckpointError, ConfigError
from mime_fast.files import naming, write_json
from mime_fast.training.recipe import Stage
from mime_fast.training.trainer import METRICS, STATE

STARTED = "run.json"
FORMAT = "mime_fast training run 1"


def check_started(out: Path, stages: Sequence[Stage], fingerprints: Mapping[str, str | None]) -> None:
    """Compare with what the run in `out` was started with; a new run is noted there.

    Raises:
        CheckpointError: the run was started with another recipe, other data or other vectors, and everything that
            differs is named; or the folder contains a model or a state of something else.
    """
    path = out / STARTED
    if not path.is_file():
        there = [
            f"{folder}{name}"
            for folder in ("", *(f"stage-{number}/" for number in range(1, len(stages))))
            for name in (CONFIG, GENERATION, TOKENIZER, WEIGHTS, RERANKER, METRICS, STATE)
            if (out / folder / name).exists()
        ]
        if there:
            raise CheckpointError(
                f"{out}: has a {there[0]} but no {STARTED}, which says what a run was started with; give another folder"
            )
        with naming(out):
            out.mkdir(parents=True, exist_ok=True)
        write_json(
            path, {"format": FORMAT, "stages": [stage.to_dict() for stage in stages], "inputs": dict(fingerprints)}
        )
        return
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        before = [Stage.from_dict(stage) for stage in noted["stages"]]  # keys younger than the run have their defaults
        inputs = {name: noted["inputs"].get(name) for name in fingerprints}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise CheckpointError(f"{path}: not readable ({error}); give another folder") from None
    changed = _changed(before, stages) + [name for name, value in fingerprints.items() if inputs[name] != value]
    if changed:
        raise CheckpointError(
            f"{path}: the run was started with another {', '.join(changed)}; give the same as then, or another folder"
        )


def _changed(before: Sequence[Stage], stages: Sequence[Stage]) -> list[str]:
    """Which choices differ, and in which stages if not in all."""
    if len(before) != len(stages):
        return [f"number of stages ({len(before)})"]
    found: dict[str, list[int]] = {}
    for number, (old, new) in enumerate(zip(before, stages, strict=True), start=1):
        values = old.to_dict()
        for name, value in new.to_dict().items():
            if values[name] != value:
                found.setdefault(name, []).append(number)
    return [
        name if len(where) == len(stages) else f"{name} of stage {' and '.join(map(str, where))}"
        for name, where in found.items()
    ]
