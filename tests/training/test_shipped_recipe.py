"""The command that makes the shipped weights, its three runs cut to 67 steps each, on the real data."""

from __future__ import annotations

import json
from pathlib import Path

import mime_fast
from mime_fast.cli.main import main
from tests.conftest import ROOT


def test_200_steps_of_the_shipped_recipe(tmp_path: Path, data_dir: Path) -> None:
    out = tmp_path / "run"
    command = ["train", "--recipe", str(ROOT / "recipes" / "mime-ed.toml"), "--max-steps", "67", "--out", str(out)]
    command += ["--data", str(data_dir / "empatheticdialogues.tar.gz")]
    command += ["--vectors", str(data_dir / "vectors" / "en_300d.txt.gz")]
    assert main(command) == 0
    runs = out / "start" / "start", out / "start", out
    first, second, last = (json.loads((run / "metrics.jsonl").read_text(encoding="utf-8")) for run in runs)
    assert [row["step"] for row in (first, second, last)] == [67, 67, 67]
    assert last["n"] == 5736
    assert 16_007 > first["ppl"] > second["ppl"]
    assert last["ppl"] < 1000
    assert last["reply_length"] > 0 == first["reply_length"]
    engine = mime_fast.load(out, device="cpu")
    assert engine.config.vocab_size == 16_007
    assert engine.generate([["my neighbour brought us soup while i was ill ."]])[0].finish_reason in ("eos", "length")
