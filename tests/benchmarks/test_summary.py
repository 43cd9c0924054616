"""The README's chart and table come from reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.summary import Report, draw, main, table

ROOT = Path(__file__).resolve().parents[2]
REPORTS = [ROOT / f"benchmarks/results/cpu-{isa}.json" for isa in ("avx512", "avx2")]


def report(path: Path, **rates: float) -> Report:
    """By `engine_precision_batch`, as in `mime_fast_int8_64`."""
    figures = [{"kind": "latency", "engine": "mime_fast", "precision": "int8"}]
    for name, rate in rates.items():
        engine, precision, batch = name.rsplit("_", 2)
        figures.append(
            {
                "kind": "rate",
                "task": "beam",
                "engine": {"ours": "mime_fast", "theirs": "CTranslate2"}[engine],
                "precision": precision,
                "batch": int(batch),  # type: ignore[dict-item]
                "per_core_second": rate,  # type: ignore[dict-item]
            }
        )
    path.write_text(json.dumps({"figures": figures}), "utf-8")
    return Report.read(path)


def test_table(tmp_path: Path) -> None:
    reports = [
        report(tmp_path / "cpu-avx512.json", ours_int8_1=200.4, ours_int8_64=260, theirs_int8_64=130),
        report(tmp_path / "cpu-avx2.json", ours_float32_1=30, theirs_float32_1=12),
    ]
    lines = [line.strip("| ").split(" | ") for line in table(reports).splitlines()]
    head = ["replies per core-second", "AVX-512, batch 1", "AVX-512, batch 64", "AVX2, batch 1", "AVX2, batch 64"]
    assert lines[0] == head
    assert ["**mime_fast int8**", "200", "260", "-", "-"] in lines
    assert ["*int8 over CTranslate2 int8*", "-", "2.00", "-", "-"] in lines
    assert ["*float32 over CTranslate2 float32*", "-", "-", "2.50", "-"] in lines


def test_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw([report(tmp_path / "cpu-avx2.json", ours_int8_1=200.4, theirs_int8_1=9)], tmp_path / "speed.png")
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("content", ["{}", "[]", '{"figures": []}', '{"figures": [{"kind": "memory"}]}', "no JSON"])
def test_another_file_changes_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (tmp_path / "other.json").write_text(content, "utf-8")
    monkeypatch.setattr("sys.argv", ["summary", str(tmp_path / "other.json"), "--out", str(tmp_path / "speed.png")])
    with pytest.raises(SystemExit):
        main()
    assert "other.json: " in capsys.readouterr().err and not (tmp_path / "speed.png").exists()


@pytest.mark.skipif(not all(path.is_file() for path in REPORTS), reason="no reports of both instruction sets")
def test_the_readme_shows_the_reports() -> None:
    assert table([Report.read(path) for path in REPORTS]) in (ROOT / "README.md").read_text("utf-8")
