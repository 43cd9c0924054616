"""The picture beside the tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import CTRANSLATE2, OURS, CorpusMemory, CorpusRate, Figure, Rate
from benchmarks.tasks import TITLES

COLOURS = {
    (OURS, "float32"): "#9ecae1",
    (OURS, "screened"): "#31a354",
    (OURS, "bfloat16"): "#4292c6",
    (OURS, "int8"): "#084594",
    (CTRANSLATE2, "float32"): "#fdae6b",
    (CTRANSLATE2, "int8"): "#e6550d",
}
OTHERS = ("#969696", "#cccccc", "#636363")
JOB_COLOURS = ("#9ecae1", "#4292c6", "#bdbdbd", "#084594")
COLUMNS = 2


def draw(figures: Sequence[Figure], path: Path) -> None:
    """Replies per core-second by batch, a panel per task; without such figures the corpus jobs, if there are any."""
    rates = [figure for figure in figures if isinstance(figure, Rate)]
    jobs = [figure for figure in figures if isinstance(figure, CorpusRate)]
    if rates:
        _draw_rates(rates, path)
    elif jobs:
        _draw_jobs(jobs, [figure for figure in figures if isinstance(figure, CorpusMemory)], path)


def _draw_rates(rates: Sequence[Rate], path: Path) -> None:
    from matplotlib.figure import Figure as Canvas

    tasks = [task for task in TITLES if any(rate.task == task for rate in rates)]
    names = list(dict.fromkeys((rate.engine, rate.precision) for rate in rates))
    others = iter(OTHERS * len(names))
    colours = {name: COLOURS.get(name) or next(others) for name in names}
    height = -(-len(tasks) // COLUMNS)
    canvas = Canvas(figsize=(6.5 * COLUMNS, 3.4 * height), layout="constrained")
    panels = list(canvas.subplots(height, COLUMNS, squeeze=False).flat)
    for task, panel in zip(tasks, panels, strict=False):
        _panel(panel, [rate for rate in rates if rate.task == task], colours)
        panel.set_title(TITLES[task], fontsize=10)
    for panel in panels[len(tasks) :]:
        panel.set_axis_off()
    handles, labels = max((panel.get_legend_handles_labels() for panel in panels), key=lambda found: len(found[1]))
    canvas.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    canvas.savefig(path, dpi=110)


def _draw_jobs(jobs: Sequence[CorpusRate], memory: Sequence[CorpusMemory], path: Path) -> None:
    """Rates of jobs beside those of back ends, and the peaks of memory."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(6.5 * COLUMNS, 3.8), layout="constrained")
    left, right = canvas.subplots(1, COLUMNS)
    workers = jobs[0].workers
    bars = {
        "back end, arrays": [job.arrays_wall for job in jobs],
        "job": [job.job_wall for job in jobs],
        f"{workers} back ends at once": [job.machine_wall for job in jobs],
        f"job, {workers} workers": [job.workers_wall for job in jobs],
    }
    for place, ((name, heights), colour) in enumerate(zip(bars.items(), JOB_COLOURS, strict=True)):
        left.bar([i + (place - 1.5) * 0.21 for i in range(len(jobs))], heights, 0.21, label=name, color=colour)
    left.set_xticks(range(len(jobs)), [f"{job.task}\n{job.precision}" for job in jobs], fontsize=9)
    left.set_ylabel("rows per second", fontsize=9)
    left.set_ylim(0, 1.2 * max(map(max, bars.values())))
    left.legend(fontsize=8, frameon=False)
    right.plot([one.rows for one in memory], [one.peak for one in memory], "o-", color="#084594")
    right.set_xscale("log")
    right.set_ylim(0, 1.2 * max((one.peak for one in memory), default=1))
    right.set_xlabel("rows scored", fontsize=9)
    right.set_ylabel("peak, MiB", fontsize=9)
    for panel in (left, right):
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    canvas.savefig(path, dpi=110)


def _panel(panel, rates: Sequence[Rate], colours: dict[tuple[str, str], str]) -> None:  # type: ignore[no-untyped-def]
    batches = sorted({rate.batch for rate in rates})
    names = [name for name in colours if any((rate.engine, rate.precision) == name for rate in rates)]
    width = 0.84 / len(names)
    for place, name in enumerate(names):
        mine = [rate for rate in rates if (rate.engine, rate.precision) == name]
        left = [batches.index(rate.batch) + (place - (len(names) - 1) / 2) * width for rate in mine]
        heights = [rate.per_core_second for rate in mine]
        panel.bar(left, heights, width, label=" ".join(name), color=colours[name])
    panel.set_xticks(range(len(batches)), [f"batch {batch}" for batch in batches], fontsize=9)
    panel.set_ylabel("replies per core-second", fontsize=9)
    panel.tick_params(axis="y", labelsize=8)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
