"""The report: Markdown tables and JSON from figures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import TypeVar

from benchmarks.figures import (
    CTRANSLATE2,
    OURS,
    Agreement,
    CorpusMemory,
    CorpusRate,
    Failure,
    Figure,
    Kernel,
    Latency,
    Memory,
    Rate,
    TextShare,
    to_json,
)
from benchmarks.machine import Facts
from benchmarks.ratios import below_one
from benchmarks.tasks import TITLES
from mime_fast.corpora.chunks import CHUNK

T = TypeVar("T")
RATES_LEGEND = (
    "Replies per second of CPU time, one thread: the median of the rounds, half their range, and the CPU time per "
    "reply. A batch is the number of dialogues handed over in one call. Engines take turns, round by round."
)
SHIPPED_LEGEND = (
    "The peers' models here have mime-ed's vocabulary and random weights: they decode as many tokens as mime-ed's "
    "search takes for the same call in the mean, and need not wait for the longest."
)

CORPORA_LEGEND = (
    "A job's rate is that of the parts finished behind the first of each worker: start-up is left out; reading, "
    "writing, fsync and the end of each part are in it. Arrays: the back end alone, on the same rows. One thread an "
    "engine. All parts are equal work; the four that a row compares take turns of half a second at most, so that "
    "a drift of the machine hits all of them. CPU: rows per second of the process's CPU time."
)


def markdown(figures: Sequence[Figure], facts: Facts, failures: Sequence[Failure] = (), ended: str = "") -> str:
    """The whole report; `ended` is how a run ended that did not finish."""
    loads = [figure.load for figure in figures if isinstance(figure, Rate)]
    sections = [_machine(facts, loads), *_not_whole(failures, ended), *_behind(figures)]
    sections += [RATES_LEGEND] if loads else []
    for task, title in TITLES.items():
        rates = [figure for figure in figures if isinstance(figure, Rate) and figure.task == task]
        if rates:
            legend = [SHIPPED_LEGEND] if task == "shipped-beam" else []
            sections += [f"### {title}", *legend, _rates(rates), *_ratios(rates)]
    sections += _section("Latency of one dialogue (beam 5, 16 tokens forced)", Latency, _latency, figures)
    sections += _section("Peak memory (beam 5, a process of its own, imports included)", Memory, _memory, figures)
    sections += _section("Text in, text out, beside the decoder alone", TextShare, _text_share, figures)
    sections += _section("What the precisions keep", Agreement, _agreement, figures)
    sections += _section("Kernels, one core", Kernel, _kernels, figures)
    sections += _section("Corpora, file to file, beside the back end on the same rows", CorpusRate, _corpora, figures)
    sections += _section("Memory of a corpus job (a tiny model, one process)", CorpusMemory, _corpus_memory, figures)
    return "\n\n".join(sections) + "\n"


def as_json(figures: Iterable[Figure | Failure], facts: Facts, engines: dict[str, object] | None = None) -> str:
    """The figures with every round. `engines` is what the engines say about themselves."""
    return (
        json.dumps(
            {
                "machine": dataclasses.asdict(facts),
                "engines": engines or {},
                "figures": [to_json(figure) for figure in figures],
            },
            indent=1,
        )
        + "\n"
    )


def _section(title: str, kind: type[T], table: Callable[[Sequence[T]], str], figures: Sequence[Figure]) -> list[str]:
    """A heading and a table, or nothing where no such figure is."""
    rows = [figure for figure in figures if isinstance(figure, kind)]
    return [f"### {title}", table(rows)] if rows else []


def _not_whole(failures: Sequence[Failure], ended: str) -> list[str]:
    """Every case without a figure, those of one reason in one row."""
    cases: dict[tuple[str, str], list[str]] = {}
    for one in failures:
        cases.setdefault((one.outcome, one.reason), []).append(one.case)
    rows = [
        [outcome, "<br>".join(f"`{_in_a_cell(case)}`" for case in named), _in_a_cell(reason)]
        for (outcome, reason), named in cases.items()
    ]
    return [
        *([f"**Not a whole run: {ended}.** What it had measured is below."] if ended else []),
        *(["### Cases without a figure", _table(["", "cases", "reason"], rows)] if rows else []),
    ]


def _in_a_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _behind(figures: Sequence[Figure]) -> list[str]:
    lines = below_one(figures)
    return ["### Ratios under 1: the peer is ahead", "\n".join(f"* {line}" for line in lines)] if lines else []


def _machine(facts: Facts, loads: Sequence[float]) -> str:
    versions = ", ".join(f"{name} {value}" for name, value in facts.versions.items())
    load = f"Load average during the run: {min(loads):.1f} to {max(loads):.1f}. " if loads else ""
    return (
        f"{facts.processor}, {facts.cores} cores ({', '.join(facts.extensions)}; L3 {facts.l3 or 'unknown'}), "
        f"{facts.memory_gib:g} GiB, {facts.system}; {facts.date}. {_isa(facts)}{load}{versions}. "
        f"Command: `{facts.command}`."
    )


def _isa(facts: Facts) -> str:
    if not facts.isa:
        return ""
    settings = " ".join(f"{name}={value}" for name, value in facts.peer_settings.items())
    return (
        f"Instruction set: {facts.isa}; the peers: {f'held to it by `{settings}`' if settings else 'as they choose'}. "
    )


def _rates(rates: Sequence[Rate]) -> str:
    batches = sorted({rate.batch for rate in rates})
    rows = []
    for engine, precision in _in_order((rate.engine, rate.precision) for rate in rates):
        cells = {
            rate.batch: f"{_number(rate.per_core_second)} {_spread(rate)} ({_number(rate.cpu_ms)} ms)"
            for rate in rates
            if (rate.engine, rate.precision) == (engine, precision)
        }
        name = f"**{engine} {precision}**" if engine == OURS else f"{engine} {precision}"
        rows.append([name, *(cells.get(batch, "-") for batch in batches)])
    return _table(["replies per core-second", *(f"batch {batch}" for batch in batches)], rows)


def _spread(rate: Rate) -> str:
    return f"± {100 * rate.spread:.0f} %" if len(rate.cpu) > 1 else "once"


def _ratios(rates: Sequence[Rate]) -> list[str]:
    """This project's rates over CTranslate2's of the same run."""
    batches = sorted({rate.batch for rate in rates})
    by_key = {(rate.engine, rate.precision, rate.batch): rate.per_core_second for rate in rates}
    ours = _in_order(rate.precision for rate in rates if rate.engine == OURS)
    theirs = _in_order(rate.precision for rate in rates if rate.engine == CTRANSLATE2)
    rows = []
    for precision in ours:
        for peer in theirs:
            pairs = [(by_key.get((OURS, precision, b)), by_key.get((CTRANSLATE2, peer, b))) for b in batches]
            cells = [f"{mine / other:.2f}" if mine and other else "-" for mine, other in pairs]
            rows.append([f"{precision} over CTranslate2 {peer}", *cells])
    return [_table(["ratio", *(f"batch {batch}" for batch in batches)], rows)] if rows else []


def _latency(rows: Sequence[Latency]) -> str:
    return _table(
        ["", "threads", "p50", "p99", "calls"],
        [
            [
                f"{row.engine} {row.precision}",
                str(row.threads),
                f"{row.p50:.1f} ms",
                f"{row.p99:.1f} ms",
                str(row.calls),
            ]
            for row in rows
        ],
    )


def _memory(rows: Sequence[Memory]) -> str:
    return _table(
        ["", "batch", "peak", "of which imports"],
        [
            [f"{row.engine} {row.precision}", str(row.batch), f"{row.peak:.0f} MiB", f"{row.imported:.0f} MiB"]
            for row in rows
        ],
    )


def _text_share(rows: Sequence[TextShare]) -> str:
    return _table(
        [
            "replies per second",
            "threads",
            "batch",
            "text",
            "arrays",
            "share",
            "text (CPU)",
            "arrays (CPU)",
            "share (CPU)",
        ],
        [
            [
                row.precision,
                str(row.threads),
                str(row.batch),
                *_shared(row.text_wall, row.arrays_wall),
                *_shared(row.text_cpu, row.arrays_cpu),
            ]
            for row in rows
        ],
    )


def _shared(part: float, whole: float) -> list[str]:
    return [_number(part), _number(whole), f"{100 * part / whole:.0f} %"]


def _agreement(rows: Sequence[Agreement]) -> str:
    return _table(
        ["", "equal replies", "score, equal replies", "score, all replies", "log-prob of a token", "contexts"],
        [
            [
                f"{row.precision} beside {row.against}",
                f"{100 * row.equal / row.replies:.1f} % of {row.replies}",
                f"{row.same_difference:.2g}",
                f"{row.score_difference:.2g}",
                f"{row.token_difference:.2g}",
                row.contexts,
            ]
            for row in rows
        ],
    )


def _kernels(rows: Sequence[Kernel]) -> str:
    """A column a precision; a cell is GFLOP/s, the ceiling and the share."""
    precisions = _in_order(row.precision for row in rows)
    lines = []
    for name, isa, count in _in_order((row.name, row.isa, row.rows) for row in rows):
        cells = {
            row.precision: f"{_number(median(row.gflops))} of {_number(median(row.ceiling))} ({100 * row.share:.0f} %)"
            for row in rows
            if (row.name, row.isa, row.rows) == (name, isa, count)
        }
        lines.append([name, isa, str(count), *(cells.get(precision, "-") for precision in precisions)])
    return _table(["GFLOP/s", "instructions", "rows", *precisions], lines)


def _corpora(rows: Sequence[CorpusRate]) -> str:
    head = ["rows per second", "", "job", "arrays", "share", "job (CPU)", "arrays (CPU)", "share (CPU)"]
    workers = max(row.workers for row in rows)
    lines = []
    for row in rows:
        wall, cpu = _shared(row.job_wall, row.arrays_wall), _shared(row.job_cpu, row.arrays_cpu)
        pairs = ((row.workers_wall, row.job_wall), (row.machine_wall, row.arrays_wall))
        several = [f"{_number(many)} ({many / one:.2f})" for many, one in pairs]
        lines.append([row.task, row.precision, *wall, *cpu, *(several if row.workers > 1 else ["-", "-"])])
    table = _table([*head, f"{workers} processes (times one)", f"{workers} back ends at once (times one)"], lines)
    return f"{CORPORA_LEGEND} Dialogues: {CHUNK} {rows[0].contexts}, over and over.\n\n{table}"


def _corpus_memory(rows: Sequence[CorpusMemory]) -> str:
    return _table(
        ["rows scored", "input", "peak", "rows per second"],
        [
            [f"{row.rows:,}", f"{row.input:.1f} MiB", f"{row.peak:.0f} MiB", f"{row.rows_per_second:.0f}"]
            for row in rows
        ],
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float) -> str:
    """Three figures, and no more digits after the point than they need."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _in_order(values: Iterable[T]) -> list[T]:
    """Without repetitions, in the order of first appearance."""
    return list(dict.fromkeys(values))
