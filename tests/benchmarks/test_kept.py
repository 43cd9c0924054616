"""A run of benchmarks that fails, is interrupted or is too slow keeps what it found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import chart, report
from benchmarks.figures import CTRANSLATE2, OURS, Failure, Figure, Latency, Memory, Rate
from benchmarks.instructions import family, peer_settings, resolved
from benchmarks.kept import Kept
from benchmarks.machine import Facts
from benchmarks.race import race
from benchmarks.ratios import below_one
from mime_fast.errors import ConfigError

FACTS = Facts("A processor", 2, ("avx2",), "32768K", 8.0, "Linux x86_64", {}, "pytest --benchmark", "2026-01-02")
LATENCY = Latency(OURS, "int8", 1, 9, 5.0, 9.0)
FAILED = Failure("test_x.py::test_y[a|b]", "failed", "ValueError: a\nreason")


def rate(engine: str, precision: str, batch: int, seconds: float) -> Rate:
    return Rate("beam", engine, precision, batch, 100, (seconds,), (seconds,), 0.5)


def test_each_figure_is_kept_as_it_comes(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "results" / "cpu-avx2")
    lines = tmp_path / "results" / "cpu-avx2.jsonl"
    for found, kinds in ((LATENCY, ["latency"]), (FAILED, ["latency", "failure"])):
        kept.add(found)
        assert [json.loads(line)["kind"] for line in lines.read_text().splitlines()] == kinds
    Kept(tmp_path / "results" / "cpu-avx2").add(LATENCY)
    assert len(lines.read_text().splitlines()) == 1, "a new run begins anew"


def test_the_report_is_written_with_failures(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "cpu-avx2")
    kept.add(LATENCY)
    kept.add(FAILED)
    kept.write(FACTS, {}, "it was interrupted")
    text = (tmp_path / "cpu-avx2.md").read_text()
    assert "Not a whole run: it was interrupted" in text and "5.0 ms" in text
    assert "| failed | `test_x.py::test_y[a\\|b]` | ValueError: a reason |" in text
    assert [one["kind"] for one in json.loads((tmp_path / "cpu-avx2.json").read_text())["figures"]] == [
        "latency",
        "failure",
    ]
    assert not (tmp_path / "cpu-avx2.jsonl").exists()


def test_no_picture_does_not_cost_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(figures: object, path: object) -> None:
        raise ImportError("no matplotlib")

    monkeypatch.setattr(chart, "draw", fail)
    kept = Kept(tmp_path / "cpu")
    kept.add(LATENCY)
    assert kept.write(FACTS, {}, "") == "no picture: ImportError: no matplotlib"
    assert (tmp_path / "cpu.md").is_file() and (tmp_path / "cpu.json").is_file()


def test_nothing_is_written_without_a_stem_or_a_figure(tmp_path: Path) -> None:
    kept = Kept()
    kept.add(LATENCY)
    kept.write(FACTS, {}, "")
    Kept(tmp_path / "cpu").write(FACTS, {}, "")
    assert not list(tmp_path.iterdir())


def test_cases_of_one_reason_are_one_row() -> None:
    text = report.markdown([], FACTS, [Failure("a", "not run", "no peer"), Failure("b", "not run", "no peer")])
    assert "| not run | `a`<br>`b` | no peer |" in text


def test_ratios_under_one_are_said() -> None:
    figures: list[Figure] = [
        rate(OURS, "int8", 1, 2.0),
        rate(OURS, "int8", 64, 1.0),
        rate(CTRANSLATE2, "int8", 1, 1.0),
        rate(CTRANSLATE2, "int8", 64, 1.5),
        Latency(OURS, "int8", 2, 9, 8.0, 9.0),
        Latency(CTRANSLATE2, "int8", 2, 9, 2.0, 9.0),
        Latency(CTRANSLATE2, "float32", 2, 9, 12.0, 13.0),
        Memory(OURS, "int8", 64, 10.0, 100.0),
        Memory(CTRANSLATE2, "int8", 64, 10.0, 80.0),
    ]
    assert below_one(figures) == [
        "beam: int8 over CTranslate2 int8: 0.50 (batch 1)",
        "latency: int8 over CTranslate2 int8: 0.25 (threads 2)",
        "peak memory: int8 over CTranslate2 int8: 0.80 (batch 64)",
    ]
    head = report.markdown(figures, FACTS).split("| replies per core-second |")[0]
    assert "* beam: int8 over CTranslate2 int8: 0.50 (batch 1)" in head
    assert "Ratios under 1" not in report.markdown(figures[1:2] + figures[3:4], FACTS)


def test_an_engine_that_raises_does_not_stop_the_race() -> None:
    def fail() -> None:
        raise RuntimeError("out of memory")

    found = race({"bad": fail, "good": lambda: None}, rounds=3, budget=60.0)
    assert found["bad"].error == "RuntimeError: out of memory" and not found["bad"].cpu
    assert len(found["good"].cpu) == 3 and not found["good"].error


def test_a_single_round_has_no_spread() -> None:
    assert "100 once (10.0 ms)" in report.markdown([rate(OURS, "int8", 1, 1.0)], FACTS)


def test_the_text_share_of_a_single_round() -> None:
    pytest.importorskip("pytest_benchmark")
    from benchmarks.test_text_share import after_warm_up

    assert after_warm_up([2.0]) == [2.0] and after_warm_up([9.0, 2.0, 3.0]) == [2.0, 3.0]


def test_instruction_sets() -> None:
    assert family("avx2_vnni") == "avx2" and family("avx512_bf16") == "avx512" and family("generic") == "generic"
    assert peer_settings("avx2")["ONEDNN_MAX_CPU_ISA"] == "AVX2" and not peer_settings("avx512")
    with pytest.raises(ConfigError, match="isa='mmx'"):
        resolved("mmx")
    assert resolved("auto") != "auto"


def test_the_report_names_the_set_and_the_peers_settings() -> None:
    held = Facts(**{**vars(FACTS), "isa": "avx2", "peer_settings": {"CT2_FORCE_CPU_ISA": "AVX2"}})
    assert "Instruction set: avx2; the peers: held to it by `CT2_FORCE_CPU_ISA=AVX2`." in report.markdown([], held)


INNER = """
import pytest
from benchmarks.conftest import _kept
from benchmarks.figures import Latency

def test_good(request):
    _kept(request.config).add(Latency("mime_fast", "int8", 1, 9, 5.0, 9.0))

def test_bad(note):
    raise {error}

def test_never():
    pytest.skip("no such engine")
"""


@pytest.mark.parametrize(
    ("error", "said"), [("ValueError('broken')", "broken"), ("KeyboardInterrupt", "it was interrupted")]
)
def test_a_session_that_fails_or_is_interrupted(tmp_path: Path, error: str, said: str) -> None:
    pytest.importorskip("pytest_benchmark")
    (tmp_path / "test_inner.py").write_text(INNER.replace("{error}", error))
    root = Path(__file__).resolve().parents[2]
    options = ["-p", "conftest", "-p", "benchmarks.conftest", "-p", "no:cacheprovider", "-c", "/dev/null"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--benchmark-report=out-{isa}", "test_inner.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode in (1, 2), ran.stdout + ran.stderr
    assert "Warning" not in ran.stdout + ran.stderr
    (written,) = tmp_path.glob("out-*.md")
    text = written.read_text()
    assert "{isa}" not in written.name and "5.0 ms" in text and said in text and "Not a whole run" in text
    assert ("no such engine" in text) == (said == "broken")
