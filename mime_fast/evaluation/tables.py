"""What `compare` found as Markdown, in the form of the paper's Tables 2, 4 and 5, beside the paper's own figures."""

from __future__ import annotations

from collections.abc import Sequence

from mime_fast.evaluation import paper
from mime_fast.evaluation.comparison import OVER_SEEDS, Comparison, Spread
from mime_fast.evaluation.evaluate import cell
from mime_fast.evaluation.markdown import item, safe, table
from mime_fast.evaluation.metrics.metric import BY_KEY

# Columns of Table 2 and section 5.4, and of Table 4.
TABLE_2 = (
    *("bleu_beam", "bleu_greedy", "bleu_long", "ppl", "top1", "top2", "top5"),
    *("distinct1", "distinct2", "greedy_dist1", "greedy_dist2", "distinct_replies", "mean_length"),
)
TABLE_4 = ("ppl", "bleu_beam", "top1", "distinct_replies")
GROUPS = ("positive", "negative")


def format_tables(found: Comparison) -> str:
    """Markdown without a last line feed; "-" where a figure was not asked for or is not there, the best one bold."""
    options, sizes = found.options, found.groups
    split = "" if found.split is None else f" of the {found.split} split"
    about = (
        f"{found.n:,} pairs{split}: {sizes['positive']:,} with a positive, {sizes['negative']:,} with a negative "
        f"emotion of the user. Seed {options['seed']}; PPL with {options['polarity']} polarity, unknown words paid "
        "for. The paper's rows (in italics) are of its test split. The best figure of a column is bold."
    )
    parts = ["# Models side by side", about, _list_of_models(found)]
    return "\n\n".join([*parts, *_table2(found), *_table4(found), *_table5(found)])


def _list_of_models(found: Comparison) -> str:
    lines = []
    for model in found.models:
        options = "".join(f", {key}={value}" for key, value in model.options.items())
        about = f"vocabulary of {model.vocab_size:,} words"
        lines.append(item(f"{safe(model.name)}: {safe(model.source + options)}; {about}"))
    return "\n".join(lines)


def _table2(found: Comparison) -> list[str]:
    cells = [_column(key, [model.figures["all"][key] for model in found.models]) for key in TABLE_2]
    rows = [
        [safe(model.name), _millions(model.parameters), *own] for model, *own in zip(found.models, *cells, strict=True)
    ]
    rows += [
        [f"*paper: {row.name}*", _millions(row.parameters), *(cell(row.figures, key) for key in TABLE_2)]
        for row in paper.MODELS
    ]
    return [
        "## Models (as Table 2 and section 5.4)",
        "Beams, distinct-n, distinct replies and length are of plain replies with 5 beams, Dist-n of greedy ones. "
        "The paper's human ratings need people: `mime-fast human`.",
        table(["model", "parameters", *(BY_KEY[key].title for key in TABLE_2)], rows),
    ]


def _table4(found: Comparison) -> list[str]:
    header, cells = ["model"], []
    for key in TABLE_4:
        for group in GROUPS:
            header.append(f"{BY_KEY[key].title}, {group}")
            cells.append(_column(key, [model.figures[group][key] for model in found.models]))
    rows = [[safe(model.name), *own] for model, *own in zip(found.models, *cells, strict=True)]
    return [
        "## By the user's labelled emotion (as Table 4)",
        "The paper's Table 4 has human ratings only, so none of its figures are here. The share of distinct replies "
        "falls with the number of replies: compare it down a column, not across.",
        table(header, rows),
    ]


def _table5(found: Comparison) -> list[str]:
    rows = []
    for model in found.models:
        count = len(model.seeds)
        noise = f"{count} seed{'s' * (count > 1)}" if model.noise else "none: one value"
        switches = map(_switch, (model.emotion_mimicry, model.emotion_grouping))
        rows.append([safe(model.name), *switches, noise, *(_spread(key, model.over_seeds[key]) for key in OVER_SEEDS)])
    for row in paper.ABLATIONS:
        spread = _spread("bleu_beam", Spread(row.mean, row.deviation, []))
        rows.append(["*paper*", *map(_switch, (row.emotion_mimicry, row.emotion_grouping)), "not said", spread, "-"])
    seeds = found.options["noise_seeds"]
    return [
        "## Over noise seeds (as Table 5)",
        f"Mean ± sample standard deviation over {seeds} noise seed{'s' * (seeds > 1)} from "
        f"{found.options['seed']} on. A model without noise gives the same with every seed.",
        table(["model", "emotion mimicry", "emotion grouping", "noise", *(BY_KEY[k].title for k in OVER_SEEDS)], rows),
    ]


def _column(key: str, values: Sequence[float | None]) -> list[str]:
    """Cells of one figure, one per model; the best ones bold where models differ."""
    metric = BY_KEY[key]
    texts = [cell({key: value}, key) for value in values]
    known = [value for value in values if value is not None]
    if not metric.better or len({metric.form(value) for value in known}) < 2:
        return texts
    best = metric.form(max(known) if metric.better > 0 else min(known))
    return [f"**{text}**" if text == best else text for text in texts]


def _millions(value: float) -> str:
    return f"{value / 1e6:.2f}M"


def _switch(value: bool | None) -> str:
    return "-" if value is None else "yes" if value else "no"


def _spread(key: str, found: Spread | None) -> str:
    if found is None:
        return "-"
    form = BY_KEY[key].form
    return form(found.mean) + ("" if found.deviation is None else f" ± {form(found.deviation)}")
