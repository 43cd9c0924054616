"""What makes the shipped weights, its four stages cut short, on a part of the real data."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np

import mime_fast
from mime_fast.data.empathetic_dialogues import read_pairs
from mime_fast.training.ratings import context_hash, read_ratings
from mime_fast.training.recipe import read_recipe
from mime_fast.training.run import stage_folder, train
from tests.conftest import ROOT
from tests.training.tiny_encoder import write_encoder

STEPS = 40, 40, 40, 10  # replies of so new a model are long, and slow to draw


def test_130_steps_of_the_shipped_recipe(tmp_path: Path, data_dir: Path) -> None:
    """A tiny encoder takes the place of MiniLM, which would take most of the time."""
    out = tmp_path / "run"
    data = _part_of(data_dir / "empatheticdialogues.tar.gz", tmp_path / "data")
    plan = read_recipe(ROOT / "recipes" / "mime-ed.toml")
    train(
        [stage.replace(max_steps=steps) for stage, steps in zip(plan, STEPS, strict=True)],
        data,
        out,
        vectors=data_dir / "vectors" / "en_300d.txt.gz",
        sentence_encoder=write_encoder(tmp_path / "encoder"),
        ratings=_ratings(data, tmp_path / "ratings.jsonl"),
        show_progress=False,
    )
    stages = [stage_folder(out, number, 4) for number in (1, 2, 3, 4)]
    rows = [json.loads((each / "metrics.jsonl").read_text("utf-8")) for each in stages]
    heard, joint, heard_again, answers = rows
    assert tuple(row["step"] for row in rows) == STEPS
    assert answers["n"] > 400
    assert heard["response"] == heard_again["response"] == 0 < joint["response"]
    assert heard_again["top5"] > heard["top5"] > 5 / 32  # chance
    engine = mime_fast.load(out, device="cpu")
    assert engine.config.vocab_size > joint["ppl"] > answers["ppl"]
    assert joint["risk"] == 0 != answers["risk"]
    assert answers["top5"] == heard_again["top5"]  # its encoder learns at a rate of 0
    kept = sorted(path.name for path in (out / "teachers").glob("*.npy"))
    assert [name.split("-")[0] for name in kept] == ["linear", "sentence"]  # asked once for all stages
    probs = [np.load(out / "teachers" / name) for name in kept]
    assert probs[0].shape == probs[1].shape
    np.testing.assert_allclose(probs[0].sum(axis=1), 1, rtol=1e-4)
    assert (out / "reranker.safetensors").is_file()
    assert engine.generate([["my neighbour brought us soup while i was ill ."]])[0].finish_reason in ("eos", "length")


def test_the_shipped_ratings_are_of_the_data(data_dir: Path) -> None:
    pairs = read_pairs(data_dir / "empatheticdialogues.tar.gz", "train")
    rated = read_ratings(ROOT / "recipes" / "ratings" / "mime-ed.jsonl", pairs)
    assert len(rated) == 4800 and sum(len(one.replies) for one in rated) == 38_400
    assert {rating for one in rated for rating in one.ratings} <= set(range(11))


def _ratings(data: Path, out: Path) -> Path:
    """Made up, of the first contexts: the shipped ones are of the whole data."""
    lines = [
        {"pair": number, "context": context_hash(pair), "replies": ["i am so sorry.", "what?"], "ratings": [7, 1]}
        for number, pair in enumerate(read_pairs(data, "train")[:40])
    ]
    out.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return out


def _part_of(archive: Path, folder: Path) -> Path:
    """The first rows of both splits: a linear teacher of all takes minutes, and so do four evaluations."""
    folder.mkdir()
    with tarfile.open(archive) as tar:
        for name, rows in (("train.csv", 15_001), ("valid.csv", 1001)):
            (member,) = (each for each in tar.getmembers() if Path(each.name).name == name)
            stream = tar.extractfile(member)
            assert stream is not None
            (folder / name).write_bytes(b"".join(stream.readlines()[:rows]))
    return folder
