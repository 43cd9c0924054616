"""Jobs on files as people have them: nothing is answered twice, lost silently, or answered before a fault is known."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from mime_fast import distributed
from mime_fast.data.reading.options import Columns, Reading
from mime_fast.errors import ConfigError, DataError
from tests.corpora.conftest import MakeJob, some_rows, write_rows


def test_lost_rows_count_as_errors(make_job: MakeJob, tmp_path: Path) -> None:
    rows = [row | {"note": random.Random(i).randbytes(700).hex()} for i, row in enumerate(some_rows(900))]
    lines = write_rows(tmp_path / "a.jsonl", rows).read_bytes().splitlines(keepends=True)
    frames = [pa.Codec("zstd").compress(b"".join(lines[at : at + 50]), asbytes=True) for at in range(0, 900, 50)]
    whole = bytearray(b"".join(frames))
    at = len(b"".join(frames[:9]))
    whole[at + 4 : at + 2000] = b"\xff" * 1996
    source = tmp_path / "a.jsonl.zst"
    source.write_bytes(whole)
    summary = make_job(source, tmp_path / "out.jsonl").run()
    assert summary.errors == 1
    assert 445 <= summary.answered <= 450
    assert summary.lost > 100
    assert "more rows are lost in damaged files" in str(summary)
    with pytest.raises(DataError, match=r"of them lost in damaged files.*max_errors"):
        make_job(source, tmp_path / "strict.jsonl", max_errors=0.05).run()


def test_a_bad_header_is_found_before_any_row_is_answered(make_job: MakeJob, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_rows(folder / "a.jsonl", some_rows(100))
    (folder / "b.csv").write_text("talk,answer\nx,y\n")
    with pytest.raises(DataError, match=r"b\.csv: no column 'context'; there is 'talk', 'answer'"):
        make_job(folder, tmp_path / "out.jsonl").run()
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_all_turns_of_chats_in_two_workers(make_job: MakeJob, tmp_path: Path) -> None:
    turns = ["my cat ran away .", "oh no !", "i am so sad .", "i am so sorry to hear that ."]
    messages = [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]
    source = write_rows(tmp_path / "a.jsonl", [{"id": i, "messages": messages} for i in range(60)])
    outputs = []
    for workers in (1, 2):
        out = tmp_path / f"{workers}.jsonl"
        summary = make_job(source, out, workers=workers, task={"columns": Columns(turns="all")}).run()
        assert (summary.rows, summary.errors) == (120, 0)
        outputs.append(out.read_bytes())
    assert outputs[0] == outputs[1]
    lines = [json.loads(line) for line in outputs[0].splitlines()]
    assert [line["id"] for line in lines[:3]] == ["0:2", "0:4", "1:2"]


def test_a_job_read_otherwise_is_another_job(make_job: MakeJob, tmp_path: Path) -> None:
    source, out = tmp_path / "a.tsv", tmp_path / "out.jsonl"
    source.write_text('context\tresponse\n"my cat"\toh no !\n')
    make_job(source, out).run()
    with pytest.raises(DataError, match="another job"):
        make_job(source, out, reading=Reading(quoting="none")).run()


@pytest.mark.parametrize(
    ("names", "columns", "message"),
    [
        (["messages"], Columns(turns="all"), "turns='all': each row of a Dataset becomes one row"),
        (["conv_id", "utterance_idx", "context", "prompt", "utterance"], Columns(), "EmpatheticDialogues' utterances"),
    ],
)
def test_what_a_dataset_cannot_give(names: list[str], columns: Columns, message: str) -> None:
    dataset: Any = SimpleNamespace(columns=lambda: names)
    with pytest.raises(ConfigError, match=message):
        distributed.score(dataset, columns=columns)
    with pytest.raises(DataError, match=r"the dataset: no column 'talk'; there is"):
        distributed.score(dataset, columns=Columns(context="talk"))
