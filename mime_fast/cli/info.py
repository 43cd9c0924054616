"""`mime-fast info`: what is installed, what runs where, and why."""

from __future__ import annotations

import json
import os
import platform
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from mime_fast._version import __version__
from mime_fast.backends.placement import why_no_gpu
from mime_fast.backends.threads import default_threads
from mime_fast.cli.command import Command
from mime_fast.cli.options import add_model_options, check_model_options, load_engine
from mime_fast.errors import CheckpointError
from mime_fast.extras import missing

EXAMPLE = """  mime-fast info
  mime-fast info --model mime-ed --json"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    add_model_options(parser, logprobs=True)


def run(args: Namespace) -> int:
    check_model_options(args)
    facts = machine_facts() | {"model": model_facts(args)}
    print(json.dumps(facts, indent=2) if args.json else _text(facts))
    return 0


def machine_facts() -> dict[str, Any]:
    """Versions and hardware, JSON-ready."""
    from importlib.metadata import version

    from mime_fast.backends.kinds import KINDS
    from mime_fast.backends.select import Wanted

    return {
        "mime_fast": __version__,
        "python": platform.python_version(),
        "torch": missing("torch") or version("torch"),
        "platform": platform.platform(),
        "cpu": f"{_cpu_name()}, {os.cpu_count()} cores, {default_threads()} threads by default",
        "gpu": _gpus(),
        "backends": {kind.name: kind.lacks(Wanted()) or "can run" for kind in KINDS},
        "isas": _isas(),
    }


def _gpus() -> str:
    if reason := why_no_gpu():
        return f"none: {reason}"
    import torch

    return ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))


def _isas() -> dict[str, str]:
    """Every instruction set of the native back end, and whether it can run here."""
    from mime_fast.backends.kinds import Native

    if Native.why_no_extension():
        return {}
    from mime_fast import _native

    return {isa: _native.why_not(isa) or "can run" for isa in _native.isas}


def model_facts(args: Namespace) -> dict[str, Any]:
    """What the engine says about itself, and the licence of its weights; the reason if there are no shipped weights.

    Raises:
        CheckpointError: a model was asked for by name or path, and is missing or broken.
    """
    from mime_fast.engine.load import find_model

    try:
        licence = find_model(args.model) / "LICENSE"
    except CheckpointError as error:
        if args.model is not None:
            raise
        return {"missing": str(error)}
    facts = load_engine(args).describe()
    del facts["version"]
    return facts | {"weights_license": _first_line(licence)}


def _first_line(licence: Path) -> str:
    if not licence.is_file():
        return "not stated (the folder has no LICENSE)"
    lines = (line.strip() for line in licence.read_text(encoding="utf-8", errors="replace").splitlines())
    return next((line for line in lines if line), "not stated (LICENSE is empty)")


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _text(facts: dict[str, Any]) -> str:
    lines = [f"{name:<16}{value}" for name, value in facts.items() if not isinstance(value, dict)]
    for name in ("backends", "isas"):
        lines += ["", name, *(f"  {each:<18}{found}" for each, found in facts[name].items())]
    lines.append("")
    model = dict(facts["model"])
    if "missing" in model:
        return "\n".join([*lines, f"{'model':<16}none: {model['missing']}"])
    implementations, known = model.pop("implementations"), model["backend_reason"]
    model["parameters"] = f"{model['parameters']:,}"
    for name in ("device", "backend"):
        model[name] = f"{model[name]} ({model.pop(f'{name}_reason')})"
    model["precision"] = f"{model['precision']} ({model.pop('contract')})"
    lines += [*(f"{name.replace('_', ' '):<16}{value}" for name, value in model.items()), "", "implementations"]
    for op, found in implementations.items():
        reason = "" if found["reason"] == known else f" ({found['reason']})"
        lines.append(f"  {op:<18}{found['choice']}{reason}")
    return "\n".join(lines)


COMMAND = Command("info", "show versions, hardware, implementations and the model", EXAMPLE, add_arguments, run)
