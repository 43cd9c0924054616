"""The command that makes the shipped weights, its four runs cut to 67 steps each, on the real data."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np

import mime_fast
from mime_fast.cli.main import main
from tests.conftest import ROOT


def test_200_steps_of_the_shipped_recipe(tmp_path: Path, data_dir: Path) -> None:
    out = tmp_path / "run"
    command = ["train", "--recipe", str(ROOT / "recipes" / "mime-ed.toml"), "--max-steps", "67", "--out", str(out)]
    command += ["--data", str(_with_fewer_to_validate(data_dir / "empatheticdialogues.tar.gz", tmp_path / "data"))]
    command += ["--vectors", str(data_dir / "vectors" / "en_300d.txt.gz")]
    assert main(command) == 0
    runs = [out.joinpath(*["start"] * depth) for depth in (3, 2, 1, 0)]
    heard, joint, heard_again, last = (json.loads((run / "metrics.jsonl").read_text(encoding="utf-8")) for run in runs)
    assert [row["step"] for row in (heard, joint, heard_again, last)] == [67] * 4
    assert last["n"] > 400
    assert heard["response"] == heard_again["response"] == 0 < joint["response"]
    assert heard_again["top5"] > heard["top5"] > 5 / 32  # chance
    assert 16_007 > joint["ppl"] > last["ppl"]
    assert joint["reply_length"] == 0 < last["reply_length"]
    assert last["top5"] == heard_again["top5"]  # its encoder learns at a rate of 0
    answers = [np.load(runs[0] / f"{teacher}_teacher.npy") for teacher in ("emotion", "encoder")]
    assert answers[0].shape == answers[1].shape
    np.testing.assert_allclose(answers[1].sum(axis=1), 1, rtol=1e-4)
    assert {path.parent for path in out.rglob("*_teacher.npy")} == {runs[0]}  # asked once
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
