"""The command that makes the shipped weights, cut to 200 steps, on the real data."""

from __future__ import annotations

import json
from pathlib import Path

import mime_fast
from mime_fast.cli.main import main
from tests.conftest import ROOT


def test_200_steps_of_the_shipped_recipe(tmp_path: Path, data_dir: Path) -> None:
    out = tmp_path / "run"
    command = ["train", "--recipe", str(ROOT / "recipes" / "mime-ed.toml"), "--max-steps", "200", "--out", str(out)]
    command += ["--data", str(data_dir / "empatheticdialogues.tar.gz")]
    command += ["--vectors", str(data_dir / "vectors" / "en_300d.txt.gz")]
    assert main(command) == 0
    (row,) = (json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    assert row["step"] == 200
    assert row["n"] == 5736
    assert row["ppl"] < 400  # 16,007 at the start
    engine = mime_fast.load(out, device="cpu")
    assert engine.config.vocab_size == 16_007
    assert engine.generate([["my neighbour brought us soup while i was ill ."]])[0].finish_reason in ("eos", "length")
