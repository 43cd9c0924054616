"""All figures of a model on one split: `evaluate`. docs/evaluation.md says what each of them means."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal, get_args

import numpy as np
import torch
from tqdm import tqdm

from mime_fast._version import __version__
from mime_fast.config.checks import check_int
from mime_fast.data.batches import Example, length_order, make_examples
from mime_fast.data.dialogue_checks import check_dialogue
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.emotions import LABELS, POSITIVE_IDS
from mime_fast.engine.engine import Engine
from mime_fast.errors import ConfigError, InputError
from mime_fast.evaluation.metrics.bleu import corpus_bleu
from mime_fast.evaluation.metrics.diversity import changed_share, diversity
from mime_fast.evaluation.metrics.likelihood import PairFigures, per_pair
from mime_fast.evaluation.replies import BEAM, GREEDY, Replies

Metric = Literal["likelihood", "bleu_greedy", "bleu_beam", "diversity", "seed_effect"]
GoldOrPredicted = Literal["gold", "predicted"]
METRICS: tuple[Metric, ...] = get_args(Metric)

LIKELIHOOD_KEYS = ("ppl", "ppl_unk_free", "top1", "top2", "top5", "polarity_accuracy")
DIVERSITY_KEYS = ("distinct1", "distinct2", "distinct_replies", "mean_length")
KEYS = ("n", *LIKELIHOOD_KEYS, "bleu_greedy", "bleu_beam", *DIVERSITY_KEYS, "seed_effect", "seconds")

SEEDS = 2**64


def evaluate(
    engine: Engine,
    pairs: Sequence[Pair],
    *,
    metrics: Sequence[str] | None = None,
    polarity: GoldOrPredicted = "gold",
    seed: int = 0,
    batch_size: int = 64,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Figures of a model on pairs, JSON-ready: the keys `KEYS`, null where not asked for, and `details`.

    Replies always follow the predicted emotion. A pair's place is its request id, so no figure depends on the batches.

    Args:
        metrics: some of `METRICS`; None for all.
        polarity: the emotion that perplexity mimics: "gold", the labelled one, as the released code; or "predicted".
        seed: of the prior noise and of sampling, 0 to 2^64 - 1; `seed_effect` compares it with the next one.
        batch_size: pairs of similar length that are computed together.
        show_progress: bars on standard error.

    Raises:
        ConfigError: an unknown metric or polarity, a seed or a batch size out of range.
        InputError: no pairs, or one that the model cannot read; the message names the pair.
    """
    began = time.perf_counter()
    wanted = _check_options(metrics, polarity, seed, batch_size)
    examples = make_examples(pairs, engine.tokenizer)
    check_pairs(pairs, examples, engine.config.max_positions)
    batches = length_order(examples, batch_size)
    replies = Replies(engine, pairs, batches, show_progress=show_progress)
    figures: dict[str, Any] = dict.fromkeys(KEYS) | {"n": len(pairs)}
    details: dict[str, Any] = {"labels": list(LABELS)}
    details |= dict.fromkeys(("per_emotion", "by_polarity", "confusion", "greedy", "beam", "default"))
    if "likelihood" in wanted:
        progress = tqdm(batches, desc="likelihood", unit="batch", disable=not show_progress)
        with engine.running():
            scored = per_pair(engine.model, examples, progress, seed=seed, gold_polarity=polarity == "gold")
        summary = asdict(scored.summary())
        figures |= {key: summary[key] for key in LIKELIHOOD_KEYS}
        details |= _likelihood_details(scored)
    for name, options in (("greedy", GREEDY), ("beam", BEAM)):
        if f"bleu_{name}" in wanted:
            said = replies.tokens(name, options, seed)
            figures[f"bleu_{name}"] = corpus_bleu(said, replies.references)
            details[name] = asdict(diversity(said))
    if "diversity" in wanted:
        details["default"] = asdict(diversity(replies.tokens("default", {}, seed)))
        figures |= {key: details["default"][key] for key in DIVERSITY_KEYS}
    if "seed_effect" in wanted:
        others = replies.tokens("another seed", {}, (seed + 1) % SEEDS)
        figures["seed_effect"] = changed_share(replies.tokens("default", {}, seed), others)
    details["options"] = {"metrics": wanted, "polarity": polarity, "seed": seed, "batch_size": batch_size}
    searches = {"greedy": GREEDY, "beam": BEAM, "default": {}}
    details["options"] |= {name: replies.resolve(options).to_dict() for name, options in searches.items()}
    details["versions"] = {"mime_fast": __version__, "torch": torch.__version__, "python": platform.python_version()}
    figures["seconds"] = time.perf_counter() - began
    return figures | {"details": details}


def _likelihood_details(scored: PairFigures) -> dict[str, Any]:
    """Figures per labelled emotion and by its polarity, and the confusion matrix [labelled][predicted]."""
    confusion = np.zeros((len(LABELS), len(LABELS)), dtype=np.int64)
    np.add.at(confusion, (scored.emotion, scored.predicted), 1)
    positive = np.isin(scored.emotion, POSITIVE_IDS)
    groups = {"positive": positive, "negative": ~positive}
    return {
        "per_emotion": {label: _part(scored.select(scored.emotion == i)) for i, label in enumerate(LABELS)},
        "by_polarity": {name: _part(scored.select(where)) for name, where in groups.items()},
        "confusion": confusion.tolist(),
    }


def _part(scored: PairFigures) -> dict[str, float | None]:
    summary = asdict(scored.summary())
    return {"n": summary["n"]} | {key: summary[key] if summary["n"] else None for key in ("ppl", "top1")}


def _check_options(metrics: Sequence[str] | None, polarity: str, seed: object, batch_size: object) -> list[str]:
    """The metrics to compute, in the order of `METRICS`."""
    allowed = ", ".join(METRICS)
    if isinstance(metrics, str):
        raise ConfigError(f"metrics={metrics!r}: a list of some of {allowed} is allowed")
    unknown = [repr(metric) for metric in metrics or () if metric not in METRICS]
    if unknown or (metrics is not None and not metrics):
        raise ConfigError(f"metrics: {', '.join(unknown) or 'an empty list'}; some of {allowed} are allowed")
    if polarity not in get_args(GoldOrPredicted):
        raise ConfigError(f"polarity={polarity!r}: 'gold' or 'predicted' is allowed")
    check_int("seed", seed, 0, SEEDS - 1)
    check_int("batch_size", batch_size, 1)
    return [metric for metric in METRICS if metrics is None or metric in metrics]


def check_pairs(pairs: Sequence[Pair], examples: Sequence[Example], max_positions: int) -> None:
    if not pairs:
        raise InputError("no pairs to evaluate; at least one is allowed")
    for i, (pair, example) in enumerate(zip(pairs, examples, strict=True)):
        where = f"pair {i} (conversation {pair.conv_id})"
        check_dialogue(pair.context, strict_turns=False, where=where)
        for part, ids in (("context", example.context_ids), ("response", example.target_ids)):
            if len(ids) > max_positions:
                raise InputError(
                    f"{where}: the {part} has {len(ids) - 1} words; at most {max_positions - 1} are allowed"
                )


def format_report(report: dict[str, Any]) -> str:
    """The report of `evaluate` as a table for people; "-" where a metric was not asked for."""
    details = report["details"]
    options = details["options"]
    rows = [
        ("pairs", f"{report['n']:,}"),
        (f"PPL ({options['polarity']} polarity)", _number(report["ppl"])),
        ("  unknown words free", _number(report["ppl_unk_free"])),
        ("emotion top-1 / 2 / 5", " / ".join(_percent(report[key]) for key in ("top1", "top2", "top5"))),
        ("polarity accuracy", _percent(report["polarity_accuracy"])),
        ("BLEU greedy", _number(report["bleu_greedy"])),
        ("BLEU beam 5", _number(report["bleu_beam"])),
        ("distinct-1 / 2", f"{_percent(report['distinct1'])} / {_percent(report['distinct2'])}"),
        ("distinct replies", _percent(report["distinct_replies"])),
        ("  plain greedy / beam 5", " / ".join(_percent(_distinct(details[name])) for name in ("greedy", "beam"))),
        ("mean length", _number(report["mean_length"])),
        ("changed by another seed", _percent(report["seed_effect"])),
        ("seconds", f"{report['seconds']:.0f}"),
    ]
    lines = [f"{name:<26}{value}" for name, value in rows]
    if details["by_polarity"]:
        lines += ["", f"{'emotion':<16}{'n':>7}{'PPL':>9}{'top-1':>9}"]
        groups = details["by_polarity"] | details["per_emotion"]
        lines += [
            f"{name:<16}{part['n']:>7,}{_number(part['ppl']):>9}{_percent(part['top1']):>9}"
            for name, part in groups.items()
        ]
    return "\n".join(lines)


def _distinct(figures: dict[str, Any] | None) -> float | None:
    return None if figures is None else figures["distinct_replies"]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
