"""The model card of a finished run: README.md in its folder, from what the run noted and nothing else."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mime_fast._version import __version__
from mime_fast.checkpoints.shapes import num_parameters
from mime_fast.config.model import ModelConfig
from mime_fast.files import naming, write_bytes
from mime_fast.training.inputs import Inputs
from mime_fast.training.recipe import Stage
from mime_fast.training.started import CARD, STARTED
from mime_fast.training.trainer import METRICS, read_metrics

WRITTEN = "<!-- Written by mime-fast train, which writes it anew. A card without this line is left as it is. -->"
NAMES = {"mime": "MIME", "multi-tr": "Multi-TR", "moel": "MoEL"}
USE = """```python
import mime_fast

engine = mime_fast.load("{name}")  # the path of this folder
print(engine.generate([["My cat ran away."]])[0].text)
```"""
LIMITS = """The figures are of the validation pairs on which the weights were chosen; on others they may be worse.
Nothing else was measured: `mime-fast evaluate` does it, and `mime-fast cases` shows replies.

Mind the licence of the data: EmpatheticDialogues is under CC BY-NC 4.0."""


def write_card(
    out: Path, folders: Sequence[Path], stages: Sequence[Stage], inputs: Inputs, vectors: str, ratings: str
) -> None:
    """Write the card of a finished run, unless there is one of somebody else's.

    Args:
        folders: those of the stages, with their metrics.
        vectors: the name of the word vectors' file, `ratings` that of rated replies; empty where there is none.

    Raises:
        OutputError: it cannot be read or written.
    """
    path = out / CARD
    with naming(path):
        if path.exists() and WRITTEN.encode() not in path.read_bytes():
            return
    runs = [read_metrics(folder / METRICS) if (folder / METRICS).is_file() else [] for folder in folders]
    write_bytes(path, model_card(out.resolve().name, stages, runs, inputs, vectors, ratings).encode())


def model_card(
    name: str,
    stages: Sequence[Stage],
    runs: Sequence[Sequence[dict[str, Any]]],
    inputs: Inputs,
    vectors: str,
    ratings: str,
) -> str:
    """The card as Markdown; `runs` are the metrics of each stage."""
    config = stages[-1].model_config(inputs.tokenizer.vocab_size)
    kind = NAMES[config.model_type]
    return "\n".join(
        [
            f"---\nlanguage: en\nlibrary_name: mime_fast\ntags: [empathetic-dialogue, {config.model_type}]\n---\n",
            f"{WRITTEN}\n\n# {name}\n",
            f"{kind} in the `{config.preset}` preset, trained by mime_fast {__version__}. It recognises one of 32",
            "emotions in what a person says and answers with a short reply.\n",
            *_facts(config, stages[-1], inputs, vectors, ratings),
            f"\n{USE.format(name=name)}",
            "\n## Figures\n",
            *_figures(stages, runs, len(inputs.valid)),
            "\n## How it was made\n",
            f"Python {platform.python_version()}, PyTorch {version('torch')}. [{STARTED}]({STARTED}) has every choice",
            "of the recipe and hashes of the data. Of each stage, what is not the default:\n",
            *_choices(stages),
            f"\n## Limits\n\n{LIMITS}\n",
        ]
    )


def _facts(config: ModelConfig, stage: Stage, inputs: Inputs, vectors: str, ratings: str) -> Iterator[str]:
    extra = "".join(f", {len(pairs):,} of {kind}" for kind, pairs in inputs.extra.items())
    yield "| | |\n|---|---|"
    yield f"| parameters | {num_parameters(config):,} |"
    yield f"| vocabulary | {config.vocab_size:,} words and marks |"
    yield f"| training pairs | {len(inputs.train):,}{extra} |"
    yield f"| word vectors | {vectors or 'none'} |"
    if stage.reranker_contexts:
        yield f"| reranker | {min(stage.reranker_contexts, len(inputs.train)):,} contexts |"
    if stage.rating_epochs and inputs.ratings is not None:
        yield f"| rated replies | {ratings}, {len(inputs.ratings):,} contexts |"


def _figures(stages: Sequence[Stage], runs: Sequence[Sequence[dict[str, Any]]], pairs: int) -> Iterator[str]:
    """The evaluation of each stage whose weights were kept: the lowest perplexity from `min_steps` on, or the end."""
    yield f"On {pairs:,} validation pairs, perplexity with unknown words paid for: of each stage the evaluation whose"
    yield "weights were kept, and its seconds of training in all.\n"
    yield "| stage | step | epoch | PPL | PPL, UNK free | top-1 | top-2 | top-5 | polarity | seconds |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for number, (stage, rows) in enumerate(zip(stages, runs, strict=True), start=1):
        if not rows:
            continue
        allowed = [row for row in rows if row["step"] >= stage.min_steps] or rows[-1:]
        best = min(allowed, key=lambda row: math.inf if row["ppl"] is None else row["ppl"])
        shares = " | ".join(f"{best[key]:.1%}" for key in ("top1", "top2", "top5", "polarity_accuracy"))
        words = " | ".join("-" if best[key] is None else f"{best[key]:.2f}" for key in ("ppl", "ppl_unk_free"))
        seconds = f"{rows[-1]['seconds']:,.0f}"
        yield f"| {number} | {best['step']:,} | {best['epoch']:.1f} | {words} | {shares} | {seconds} |"


def _choices(stages: Sequence[Stage]) -> Iterator[str]:
    defaults = Stage().to_dict()
    for number, stage in enumerate(stages, start=1):
        chosen = {name: value for name, value in stage.to_dict().items() if value != defaults[name]}
        yield f"{number}. `{json.dumps(chosen)}`"
