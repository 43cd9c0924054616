"""What `compare` found as one picture: a panel per figure, a row per model, the paper's own figures in grey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mime_fast.evaluation import paper
from mime_fast.evaluation.comparison import Comparison
from mime_fast.evaluation.metrics.metric import BY_KEY, fine_percent, percent
from mime_fast.evaluation.pictures.figure import COLOURS, LABEL_SIZE, WIDTH
from mime_fast.terminal import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TONES = ("#0072B2", "#56B4E9", "#A9D3EC")  # of the bars of one model, first to last; of Okabe and Ito's palette
GREY = "0.55"  # the paper's
ACROSS = 3  # panels in a line
FRAME, LINE = 0.75, 0.19  # inches of a panel's title and scale, of a row of one bar
LONGEST = 22  # columns of a model's name


@dataclass(frozen=True)
class Panel:
    """One figure: for each row, the values of its bars (null: none), and for each bar its name and colour."""

    title: str
    bars: tuple[tuple[str, str], ...]
    values: Sequence[Sequence[float | None]]
    errors: Sequence[float | None]
    digits: int = 1

    @property
    def rows(self) -> list[int]:
        """Those that have a value."""
        return [i for i, values in enumerate(self.values) if any(value is not None for value in values)]


def draw_tables(found: Comparison) -> Figure:
    """Panels of all figures that were asked for."""
    from matplotlib.figure import Figure

    names = [Look().clipped(model.name, LONGEST) for model in found.models]
    names += [f"paper: {row.name}" for row in paper.MODELS]
    own = range(len(found.models))  # rows after them are the paper's
    panels = [panel for panel in _panels(found) if any(row in own for row in panel.rows)]
    lines = [panels[start : start + ACROSS] for start in range(0, len(panels), ACROSS)]
    rows = [max(len(panel.rows) for panel in line) for line in lines]
    bars = [max(len(panel.bars) for panel in line) for line in lines]
    heights = [FRAME + count * LINE * (0.4 + 0.6 * each) for count, each in zip(rows, bars, strict=True)]
    figure = Figure((WIDTH, sum(heights) + 0.3), layout="constrained")
    places = figure.subplots(len(lines), ACROSS, squeeze=False, height_ratios=heights)
    for line, count, row in zip(lines, rows, places, strict=True):
        for axes, panel in zip(row, line, strict=False):
            _draw(axes, panel, names, len(own))
            axes.set_ylim(count - 0.4, -0.6)  # rows of a line are of one height
        for axes in row[len(line) :]:
            axes.set_visible(False)
    split = "" if found.split is None else f" of the {found.split} split"
    figure.suptitle(f"{found.n:,} pairs{split}; grey: the paper's own figures, test split", fontsize=10)
    return figure


def _panels(found: Comparison) -> list[Panel]:
    def of(key: str, group: str = "all") -> list[float | None]:
        return [_scaled(key, model.figures[group][key]) for model in found.models]

    def with_paper(key: str) -> list[float | None]:
        return [*of(key), *(_scaled(key, row.figures.get(key)) for row in paper.MODELS)]

    def simple(title: str, key: str, digits: int = 1) -> Panel:
        values = with_paper(key)
        return Panel(title, (("", TONES[0]),), [(value,) for value in values], [None] * len(values), digits)

    def by_group(title: str, key: str, digits: int = 1) -> Panel:
        values = list(zip(of(key, "positive"), of(key, "negative"), strict=True))
        values += [(None, None)] * len(paper.MODELS)
        bars = tuple((group, COLOURS[group]) for group in ("positive", "negative"))
        return Panel(title, bars, values, [None] * len(values), digits)

    counts = [*(model.parameters for model in found.models), *(row.parameters for row in paper.MODELS)]
    parameters: list[float | None] = [each / 1e6 for each in counts]
    top = list(zip(*(with_paper(f"top{k}") for k in (1, 2, 5)), strict=True))  # a row per model
    accuracies = tuple((f"top-{k}", tone) for k, tone in zip((1, 2, 5), TONES, strict=True))
    none = [None] * len(parameters)
    return [
        _seeds(found, "BLEU, beam 5", "bleu_beam"),
        Panel("emotion accuracy (%)", accuracies, top, none, 0),
        Panel("parameters (millions)", (("", TONES[0]),), [(value,) for value in parameters], none, 2),
        _seeds(found, "PPL", "ppl"),
        simple("BLEU, greedy", "bleu_greedy", 2),
        simple("mean length (tokens)", "mean_length"),
        simple("distinct replies (%)", "distinct_replies"),
        simple("distinct-1 (%)", "distinct1", 2),
        simple("distinct-2 (%)", "distinct2", 2),
        by_group("BLEU, beam 5, by emotion", "bleu_beam", 2),
        by_group("PPL, by emotion", "ppl"),
        by_group("top-1 (%), by emotion", "top1"),
    ]


def _seeds(found: Comparison, title: str, key: str) -> Panel:
    """Means over the noise seeds with their deviations."""
    spreads = [model.over_seeds[key] for model in found.models]
    means = [None if spread is None else spread.mean for spread in spreads]
    errors = [None if spread is None else spread.deviation for spread in spreads]
    papers = [row.figures.get(key) for row in paper.MODELS]
    if any(error is not None for error in errors):
        title += f" (± over {found.options['noise_seeds']} seeds)"
    return Panel(title, (("", TONES[0]),), [(mean,) for mean in [*means, *papers]], [*errors, *[None] * len(papers)], 2)


def _draw(axes: Axes, panel: Panel, names: Sequence[str], own: int) -> None:
    """Horizontal bars, a row a model, without the rows that have no value."""
    rows = panel.rows
    thick = 0.8 / len(panel.bars)
    longest = max(value for values in panel.values for value in values if value is not None) or 1.0
    for bar, (name, colour) in enumerate(panel.bars):
        for place, row in enumerate(rows):
            value, error = panel.values[row][bar], panel.errors[row]
            if value is None:
                continue
            y = place + (bar - (len(panel.bars) - 1) / 2) * thick
            tone = colour if row < own else GREY
            label = name if place == 0 else None
            axes.barh(y, value, thick * 0.92, color=tone, alpha=1 - 0.3 * bar * (row >= own), label=label)
            if error is not None:
                axes.errorbar(value, y, xerr=error, color="black", elinewidth=0.8, capsize=2, capthick=0.8)
            text = f"{value:.{panel.digits}f}" + ("" if error is None else f" ± {error:.{panel.digits}f}")
            axes.text(value + (error or 0) + 0.02 * longest, y, text, va="center", fontsize=5.5)
    axes.set_xlim(0, 1.42 * longest)
    axes.set_yticks(range(len(rows)), [names[row] for row in rows], fontsize=LABEL_SIZE - 1.5, parse_math=False)
    axes.set_title(panel.title, fontsize=LABEL_SIZE)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=LABEL_SIZE - 2)
    axes.spines[["top", "right"]].set_visible(False)
    if len(panel.bars) > 1:
        legend = axes.legend(fontsize=LABEL_SIZE - 2, frameon=False, ncols=len(panel.bars), loc="upper center")
        legend.set_bbox_to_anchor((0.5, 0), axes.transAxes)
        legend.borderaxespad = 2.2  # below the scale, in letters


def _scaled(key: str, value: float | None) -> float | None:
    """As the axis shows it: shares in percent."""
    return value * 100 if value is not None and BY_KEY[key].form in (percent, fine_percent) else value
