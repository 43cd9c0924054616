"""The report on made-up measurements."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import chart, report
from benchmarks.figures import (
    CTRANSLATE2,
    OURS,
    Agreement,
    CorpusMemory,
    CorpusRate,
    Figure,
    Kernel,
    Latency,
    Memory,
    Rate,
    TextShare,
)
from benchmarks.machine import Facts, command, facts, processor_name

FACTS = Facts(
    processor="A processor",
    cores=2,
    extensions=("avx2", "fma"),
    l3="32768K",
    memory_gib=8.0,
    system="Linux x86_64",
    versions={"python": "3.11.7", "torch": "2.13.0"},
    command="pytest --benchmark",
    date="2026-01-02",
)


def rate(
    engine: str, precision: str, batch: int, cpu: tuple[float, ...], task: str = "beam", load: float = 0.5
) -> Rate:
    return Rate(task, engine, precision, batch, replies=100, cpu=cpu, wall=cpu, load=load)


FIGURES: list[Figure] = [
    rate(OURS, "float32", 64, (1.0, 1.25, 1.5)),
    rate(OURS, "int8", 64, (0.5, 0.5, 0.5), load=1.75),
    rate(OURS, "int8", 256, (0.4, 0.4)),
    rate(CTRANSLATE2, "float32", 64, (2.5, 2.5)),
    rate(CTRANSLATE2, "int8", 64, (0.75, 0.75)),
    rate(OURS, "float32", 64, (0.1,), task="greedy"),
    Latency(OURS, "int8", 2, 150, 5.25, 9.75),
    Memory(OURS, "int8", 64, 200.4, 512.6),
    TextShare("int8", 1, 64, text_cpu=180.0, arrays_cpu=200.0, text_wall=190.0, arrays_wall=200.0),
    Agreement("int8", "float32", "made-up contexts", 200, 193, 0.31, 0.0123, 0.04),
    Kernel("vocab_topk", "int8", "auto", 320, (300.0, 320.0, 330.0), (400.0, 400.0, 410.0)),
    CorpusRate(
        "score",
        "int8",
        "made-up contexts",
        2560,
        2,
        800.0,
        810.0,
        760.0,
        750.0,
        1482.0,
        1600.0,
    ),
    CorpusMemory("score", 1_000_000, 95.06, 301.4, 5123.4),
]


def rows(text: str, first_cell: str) -> list[list[str]]:
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return [row for row in cells if row[0] == first_cell]


def test_rates_spread_and_cpu_time() -> None:
    text = report.markdown(FIGURES, FACTS)
    assert rows(text, "**mime_fast float32**")[0][1] == "80.0 ± 20 % (12.5 ms)"
    assert rows(text, "**mime_fast int8**")[0][1:] == ["200 ± 0 % (5.00 ms)", "250 ± 0 % (4.00 ms)"]
    assert rows(text, "CTranslate2 float32")[0][1:] == ["40.0 ± 0 % (25.0 ms)", "-"]


def test_ratios_to_each_precision_of_the_peer() -> None:
    text = report.markdown(FIGURES, FACTS)
    assert rows(text, "float32 over CTranslate2 float32")[0][1:] == ["2.00", "-"]
    assert rows(text, "float32 over CTranslate2 int8")[0][1:] == ["0.60", "-"]
    assert rows(text, "int8 over CTranslate2 int8")[0][1:] == ["1.50", "-"]
    assert text.count("| ratio |") == 1, "no ratios where the peer did not run"


def test_every_kind_has_its_table() -> None:
    text = report.markdown(FIGURES, FACTS)
    assert rows(text, "mime_fast int8") == [
        ["mime_fast int8", "2", "5.2 ms", "9.8 ms", "150"],
        ["mime_fast int8", "64", "513 MiB", "200 MiB"],
    ]
    assert rows(text, "int8")[0][1:] == ["1", "64", "190", "200", "95 %", "180", "200", "90 %"]
    assert rows(text, "int8 beside float32")[0][1:] == ["96.5 % of 200", "0.012", "0.31", "0.04", "made-up contexts"]
    assert rows(text, "vocab_topk")[0][1:] == ["auto", "320", "320 of 400 (80 %)"]


def test_tables_are_whole() -> None:
    for block in report.markdown(FIGURES, FACTS).split("\n\n"):
        widths = {line.count("|") for line in block.splitlines() if line.startswith("|")}
        assert len(widths) <= 1, block


def test_machine_load_and_command_are_named() -> None:
    head = report.markdown(FIGURES, FACTS).splitlines()[0]
    for fact in ("A processor, 2 cores", "avx2", "0.5 to 1.8", "torch 2.13.0", "`pytest --benchmark`", "2026-01-02"):
        assert fact in head


def test_one_kind_alone() -> None:
    (kernel,) = (figure for figure in FIGURES if isinstance(figure, Kernel))
    text = report.markdown([kernel], FACTS)
    assert "Kernels" in text and not any(word in text for word in ("Latency", "Load average", "take turns"))


def test_json_has_rounds_and_what_follows() -> None:
    found = json.loads(report.as_json(FIGURES, FACTS, {"mime_fast int8": {"isa": "avx2"}}))
    assert found["machine"]["cores"] == 2 and found["engines"]["mime_fast int8"] == {"isa": "avx2"}
    first = found["figures"][0]
    assert first["kind"] == "rate" and first["cpu"] == [1.0, 1.25, 1.5]
    assert first["per_core_second"] == 80.0 and first["spread"] == 0.2
    assert {figure["kind"] for figure in found["figures"]} == {
        "rate",
        "latency",
        "memory",
        "text",
        "agreement",
        "kernel",
        "corpus",
        "corpus memory",
    }


def test_command_names_no_folder() -> None:
    given = ["--benchmark", "--benchmark-report=/somewhere/of/mine/cpu", "/home/me/benchmarks", "-k", "beam and 64"]
    assert command(given) == "pytest --benchmark --benchmark-report=cpu benchmarks -k 'beam and 64'"


def test_processors_of_one_name_are_told_apart() -> None:
    name = {"model name": "AMD EPYC"}
    assert processor_name(name | {"cpu family": "25", "model": "17"}) == "AMD EPYC (family 25, model 17)"
    assert processor_name(name) == "AMD EPYC"


def test_facts_of_this_machine() -> None:
    found = facts([])
    assert found.cores >= 1 and found.versions["torch"] and found.command == "pytest"


def test_chart(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    chart.draw(FIGURES, tmp_path / "cpu.png")
    assert (tmp_path / "cpu.png").read_bytes().startswith(b"\x89PNG")
    chart.draw(FIGURES[-2:], tmp_path / "corpora.png")
    assert (tmp_path / "corpora.png").read_bytes().startswith(b"\x89PNG")
    chart.draw(FIGURES[-1:], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists(), "nothing to draw"


def test_corpora() -> None:
    text = report.markdown(FIGURES, FACTS)
    assert rows(text, "score")[0][1:] == [
        "int8",
        "760",
        "800",
        "95 %",
        "750",
        "810",
        "93 %",
        "1482 (1.95)",
        "1600 (2.00)",
    ]
    assert rows(text, "1,000,000")[0][1:] == ["95.1 MiB", "301 MiB", "5123"]
    assert "A job's rate" in text
    alone = CorpusRate(
        "score",
        "int8",
        "made-up contexts",
        2560,
        1,
        800.0,
        810.0,
        760.0,
        750.0,
        760.0,
        800.0,
    )
    assert rows(report.markdown([alone], FACTS), "score")[0][-2:] == ["-", "-"]
