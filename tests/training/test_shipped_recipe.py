"""The command that makes the shipped weights, its three runs cut to 67 steps each, on the real data."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import mime_fast
from mime_fast.cli.main import main
from tests.conftest import ROOT


def test_200_steps_of_the_shipped_recipe(tmp_path: Path, data_dir: Path) -> None:
    out = tmp_path / "run"
    command = ["train", "--recipe", str(ROOT / "recipes" / "mime-ed.toml"), "--max-steps", "67", "--out", str(out)]
    command += ["--data", str(_with_fewer_to_validate(data_dir / "empatheticdialogues.tar.gz", tmp_path / "data"))]
    command += ["--vectors", str(data_dir / "vectors" / "en_300d.txt.gz")]
    assert main(command) == 0
    runs = out / "start" / "start", out / "start", out
    first, second, last = (json.loads((run / "metrics.jsonl").read_text(encoding="utf-8")) for run in runs)
    assert [row["step"] for row in (first, second, last)] == [67, 67, 67]
    assert last["n"] > 400
    assert 16_007 > first["ppl"] > second["ppl"]
    assert last["ppl"] < 1000
    assert last["reply_length"] > 0 == first["reply_length"]
    engine = mime_fast.load(out, device="cpu")
    assert engine.config.vocab_size == 16_007
    assert engine.generate([["my neighbour brought us soup while i was ill ."]])[0].finish_reason in ("eos", "length")


def _with_fewer_to_validate(archive: Path, folder: Path) -> Path:
    """The train split, and the first 1,000 rows of the valid one: three evaluations of all take minutes."""
    folder.mkdir()
    with tarfile.open(archive) as tar:
        for name, rows in (("train.csv", None), ("valid.csv", 1001)):
            (member,) = (each for each in tar.getmembers() if Path(each.name).name == name)
            stream = tar.extractfile(member)
            assert stream is not None
            (folder / name).write_bytes(b"".join(stream.readlines()[:rows]))
    return folder
