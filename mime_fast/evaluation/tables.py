"""What `compare` found as Markdown, in the form of the paper's Tables 2, 4 and 5, beside the paper's own figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mime_fast.evaluation.markdown import safe, table

Format = Callable[[float], str]


def number(value: float) -> str:
    return f"{value:.2f}"


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def millions(value: float) -> str:
    return f"{value / 1e6:.2f}M"


# Of each column of Table 2: its title, its key, how it is written, and whether more (1) or less (-1) is better.
COLUMNS: tuple[tuple[str, str, Format, int], ...] = (
    ("BLEU beam 5", "bleu_beam", number, 1),
    ("BLEU greedy", "bleu_greedy", number, 1),
    ("PPL", "ppl", number, -1),
    ("top-1", "top1", percent, 1),
    ("top-2", "top2", percent, 1),
    ("top-5", "top5", percent, 1),
    ("distinct-1", "distinct1", percent, 1),
    ("distinct-2", "distinct2", percent, 1),
    ("distinct replies", "distinct_replies", percent, 1),
    ("mean length", "mean_length", number, 0),
)
SPLIT_KEYS = ("ppl", "bleu_beam", "top1", "distinct_replies")  # of Table 4
GROUPS = ("positive", "negative")


def format_tables(found: Mapping[str, Any]) -> str:
    """Markdown without a last line feed; "-" where a figure was not asked for or is not there, the best one bold."""
    options, sizes = found["options"], found["groups"]
    split = f" of the {found['split']} split" if "split" in found else ""
    about = (
        f"{found['n']:,} pairs{split}: {sizes['positive']:,} with a positive, {sizes['negative']:,} with a negative "
        f"emotion of the user. Seed {options['seed']}; PPL with {options['polarity']} polarity, unknown words paid "
        "for. The paper's rows (in italics) are of its test split. The best figure of a column is bold."
    )
    parts = ["# Models side by side", about, _list_of_models(found)]
    return "\n\n".join([*parts, *_table2(found), *_table4(found), *_table5(found)])


def _list_of_models(found: Mapping[str, Any]) -> str:
    lines = []
    for model in found["models"]:
        options = "".join(f", {key}={value}" for key, value in model["options"].items())
        about = f"vocabulary of {model['vocab_size']:,} words"
        lines.append(f"- {safe(model['name'])}: {safe(model['source'] + options)}; {about}")
    return "\n".join(lines)


def _table2(found: Mapping[str, Any]) -> list[str]:
    columns = [[model["figures"]["all"][key] for model in found["models"]] for _, key, _, _ in COLUMNS]
    cells = [_column(values, form, better) for values, (_, _, form, better) in zip(columns, COLUMNS, strict=True)]
    rows = [
        [safe(model["name"]), millions(model["parameters"]), *own]
        for model, *own in zip(found["models"], *cells, strict=True)
    ]
    rows += [
        [f"*paper: {row['name']}*", *(_cell(row.get(key), form) for key, form in (("parameters", millions), *_forms()))]
        for row in found["paper"]["models"]
    ]
    return [
        "## Models (as Table 2 and section 5.4)",
        "Beams, distinct-n, distinct replies and length are of plain replies with 5 beams. The paper's human ratings "
        "need people: `mime-fast human`.",
        table(["model", "parameters", *(title for title, *_ in COLUMNS)], rows),
    ]


def _table4(found: Mapping[str, Any]) -> list[str]:
    columns = {key: (title, form, better) for title, key, form, better in COLUMNS if key in SPLIT_KEYS}
    header, cells = ["model"], []
    for key in SPLIT_KEYS:
        title, form, better = columns[key]
        for group in GROUPS:
            header.append(f"{title}, {group}")
            cells.append(_column([model["figures"][group][key] for model in found["models"]], form, better))
    rows = [[safe(model["name"]), *own] for model, *own in zip(found["models"], *cells, strict=True)]
    return [
        "## By the user's labelled emotion (as Table 4)",
        "The paper's Table 4 has human ratings alone, so none of its figures stand here. The share of distinct replies "
        "falls with the number of replies: compare it down a column, not across.",
        table(header, rows),
    ]


def _table5(found: Mapping[str, Any]) -> list[str]:
    rows = []
    for model in found["models"]:
        count = len(model["seeds"])
        noise = f"{count} seed{'s' * (count > 1)}" if model["noise"] else "none: one value"
        spreads = [_spread(model["over_seeds"][key]) for key in ("bleu_beam", "ppl")]
        rows.append([safe(model["name"]), *map(_switch, _switches(model)), noise, *spreads])
    rows += [
        ["*paper*", *map(_switch, _switches(row)), "not said", _spread(row["bleu_beam"]), "-"]
        for row in found["paper"]["ablations"]
    ]
    seeds = found["options"]["noise_seeds"]
    return [
        "## Over noise seeds (as Table 5)",
        f"Mean ± sample standard deviation over {seeds} noise seed{'s' * (seeds > 1)} from "
        f"{found['options']['seed']} on. A model without noise gives the same with every seed.",
        table(["model", "emotion mimicry", "emotion grouping", "noise", "BLEU beam 5", "PPL"], rows),
    ]


def _forms() -> list[tuple[str, Format]]:
    return [(key, form) for _, key, form, _ in COLUMNS]


def _column(values: Sequence[float | None], form: Format, better: int) -> list[str]:
    """Cells of one figure, one a model; the best ones bold where models differ."""
    texts = [_cell(value, form) for value in values]
    known = [value for value in values if value is not None]
    if not better or len({form(value) for value in known}) < 2:
        return texts
    best = form(max(known) if better > 0 else min(known))
    return [f"**{text}**" if text == best else text for text in texts]


def _cell(value: float | None, form: Format) -> str:
    return "-" if value is None else form(value)


def _switches(row: Mapping[str, Any]) -> tuple[bool | None, bool | None]:
    return row["emotion_mimicry"], row["emotion_grouping"]


def _switch(value: bool | None) -> str:
    return "-" if value is None else "yes" if value else "no"


def _spread(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "-"
    return number(found["mean"]) + ("" if found["deviation"] is None else f" ± {found['deviation']:.2f}")
