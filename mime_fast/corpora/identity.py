"""What distinguishes a job from another one: its model, its search as it is resolved, its inputs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mime_fast.data.reading.source import Source
from mime_fast.files import Path_


def model_files(model: Path_ | None) -> list[Path]:
    """Those that say what the model is. Raises: as `find_model`."""
    from mime_fast.checkpoints.model_folder import files_of_model
    from mime_fast.engine.load import find_model

    return files_of_model(find_model(model))


def resolved_search(search: Mapping[str, Any], files: Iterable[Path]) -> dict[str, Any]:
    """The search options with the model's own for those that are not given. ConfigError: one is not allowed."""
    from mime_fast.config.generation import GenerationConfig
    from mime_fast.engine.options import resolve_options

    path = next((path for path in files if path.name == "generation_config.json"), None)
    try:
        own = {} if path is None else json.loads(path.read_bytes())
        defaults = GenerationConfig.from_dict(own, where=str(path))
    except (ValueError, TypeError, RecursionError):  # loading the model will say so
        return dict(search)
    return resolve_options(defaults, search, sys.maxsize).to_dict()


def as_it_is(source: Source) -> dict[str, Any]:
    """What distinguishes an input from a changed one without reading it."""
    name = source.name if "://" in source.name or source.is_standard_input else os.path.realpath(source.name)
    return {"name": name, "size": source.size, "mtime_ns": source.modified, "reading": asdict(source.reading)}
