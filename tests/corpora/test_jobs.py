"""Jobs: their output, their counts, several workers, memory."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import os
import re
import sys
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import mime_fast
from mime_fast import distributed
from mime_fast.corpora import job, writers
from mime_fast.corpora.job import CorpusJob
from mime_fast.corpora.tasks import Task
from mime_fast.emotions import LABELS
from mime_fast.errors import BackendError, ConfigError, DataError, InputError
from tests.corpora.conftest import MakeJob, some_rows, write_rows
from tests.mixtures import mixture_of


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_scores_are_the_engines(tmp_path: Path, make_job: MakeJob, model_dir: Path) -> None:
    rows = some_rows(130)
    summary = make_job(write_rows(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl").run()
    scores = mime_fast.load(model_dir, threads=1).score([r["context"] for r in rows], [r["response"] for r in rows])
    for i, (line, score) in enumerate(zip(lines(tmp_path / "out.jsonl"), scores, strict=True)):
        assert (line["id"], line["row"]) == (f"row-{i}", i)
        assert (line["tokens"], line["token_logprobs"]) == (score.tokens, score.token_logprobs)
        assert (line["logprob"], line["perplexity"]) == (score.logprob, score.perplexity)
        assert (line["emotion"], len(line["emotion_probs"])) == (score.emotion, 3)
        mixture = mixture_of(score)
        weights = mixture.positive | mixture.negative | {"": mixture.mimic_share}
        found = line["mixture"]["positive"] | line["mixture"]["negative"] | {"": line["mixture"]["mimic_share"]}
        assert found == {name: round(weight, 4) for name, weight in weights.items()}
    count = sum(len(score.token_logprobs) for score in scores)
    assert summary.tokens == count
    assert summary.perplexity_micro == pytest.approx(math.exp(-sum(score.logprob for score in scores) / count))
    macro = sum(math.log(score.perplexity) for score in scores) / len(scores)
    assert summary.perplexity_macro == pytest.approx(math.exp(macro))
    assert summary.emotions == Counter(score.emotion for score in scores)


@pytest.mark.parametrize("kind", ["score", "generate"])
def test_parquet_has_what_json_lines_have(
    tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(writers, "ROW_GROUP", 50)
    source = write_rows(tmp_path / "in.jsonl", some_rows(100))
    search = {} if kind == "score" else {"num_return_sequences": 2}
    task = {"top_emotions": 32, "search": search}
    for name in ("out.jsonl", "out.parquet"):
        make_job(source, tmp_path / name, kind=kind, task=task).run()
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.to_pylist() == lines(tmp_path / "out.jsonl")
    metadata = parquet.read_metadata(tmp_path / "out.parquet")
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [80, 20]
    assert set(lines(tmp_path / "out.jsonl")[0]["emotion_probs"]) == set(LABELS)


@pytest.mark.parametrize("kind", ["score", "generate"])
def test_any_number_of_workers_gives_the_same_bytes(tmp_path: Path, make_job: MakeJob, kind: str) -> None:
    rows: list[Any] = some_rows(300)
    rows[77] = "{"
    source = write_rows(tmp_path / "in.jsonl", rows)
    task = {"search": {"do_sample": True, "num_beams": 1} if kind == "generate" else {}}
    for workers in (1, 2, 3):
        make_job(source, tmp_path / f"{workers}.jsonl", kind=kind, workers=workers, task=task).run()
    for ending in ("", ".errors.jsonl"):
        contents = {(tmp_path / f"{workers}.jsonl{ending}").read_bytes() for workers in (1, 2, 3)}
        assert len(contents) == 1


def test_the_cut_into_parts_changes_nothing(tmp_path: Path, make_job: MakeJob) -> None:
    source = write_rows(tmp_path / "in.jsonl", some_rows(100))
    for size in (7, 100, 1000):
        make_job(source, tmp_path / f"{size}.jsonl", kind="generate", part_rows=size).run()
    assert len({(tmp_path / f"{size}.jsonl").read_bytes() for size in (7, 100, 1000)}) == 1


def test_errors_are_counted_and_kept(tmp_path: Path, make_job: MakeJob) -> None:
    rows: list[Any] = some_rows(100)
    rows[3], rows[50], rows[51] = "{", {"context": ["a"], "id": "long", "response": "cat " * 10_000}, {"context": [1]}
    source = write_rows(tmp_path / "in.jsonl", rows)
    summary = make_job(source, tmp_path / "out.jsonl").run()
    assert (summary.rows, summary.answered, summary.errors) == (100, 97, 3)
    assert sum(summary.emotions.values()) == 97 == len(lines(tmp_path / "out.jsonl"))
    errors = lines(tmp_path / "out.jsonl.errors.jsonl")
    assert [(error["row"], error["index"], error["id"]) for error in errors] == [
        (4, 3, 3),
        (51, 50, "long"),
        (52, 51, 51),
    ]
    assert errors[0]["raw"] == "{" and errors[0]["file"] == str(source)
    assert "10000 words" in errors[1]["reason"] and json.loads(errors[1]["raw"]) == rows[50]
    with pytest.raises(DataError, match=r"in.jsonl, line 4: not JSON .*the first bad row"):
        make_job(source, tmp_path / "strict.jsonl", strict=True).run()
    assert not list(tmp_path.glob("strict*"))
    with pytest.raises(DataError, match=r"3 of 100 rows are bad \(3.0 %\); must be at most 2 %"):
        make_job(source, tmp_path / "share.jsonl", max_errors=0.02).run()
    assert make_job(source, tmp_path / "share.jsonl", max_errors=0.03).run().rows_now == 0


def test_too_many_bad_rows_end_a_job_early(tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    assert job.ENOUGH == 1000
    monkeypatch.setattr(job, "ENOUGH", 10)
    rows: list[Any] = some_rows(2000)
    rows[::10] = ["{"] * 200
    source = write_rows(tmp_path / "in.jsonl", rows)
    with pytest.raises(DataError, match=r"of \d+ rows are bad \(10\.0 %\); must be at most 5 %") as caught:
        make_job(source, tmp_path / "out.jsonl", kind="classify", part_rows=20, max_errors=0.05).run()
    rows_read = re.search(r"of (\d+) rows", str(caught.value))
    assert rows_read is not None and int(rows_read[1]) < 1000


def test_an_error_in_a_worker_is_told(tmp_path: Path, make_job: MakeJob) -> None:
    source = write_rows(tmp_path / "in.jsonl", some_rows(10))
    with pytest.raises(ConfigError, match="num_beams=0"):
        make_job(source, tmp_path / "out.jsonl", kind="generate", workers=2, task={"search": {"num_beams": 0}}).run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl"]


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet", "parts/"])
def test_an_empty_input(tmp_path: Path, make_job: MakeJob, name: str) -> None:
    summary = make_job(write_rows(tmp_path / "in.jsonl", []), f"{tmp_path}/{name}").run()
    assert (summary.rows, summary.perplexity_micro) == (0, None)
    if name == "out.parquet":
        assert parquet.read_table(tmp_path / name).num_rows == 0


def test_emotions_in_a_row_are_the_commands() -> None:
    assert [Task(kind).top_emotions for kind in ("generate", "score", "classify")] == [3, 3, 32]


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"part_rows": 0}, {"max_errors": 2.0}, {"max_errors": math.nan}])
def test_options_are_checked(make_job: MakeJob, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        make_job("in.jsonl", "out.jsonl", **wrong)
    for task in ({"top_emotions": 33}, {"seed": -1}, {"emotion": "merry"}, {"truncation": "x"}):
        with pytest.raises((ConfigError, InputError)):
            make_job("in.jsonl", "out.jsonl", task=task)
    with pytest.raises(ConfigError, match="workers=2"):
        make_job("in.jsonl", None, workers=2)


def test_paths_and_numbers_of_other_kinds(tmp_path: Path, model_dir: Path) -> None:
    """`Path` in place of text, NumPy's numbers in place of Python's: the same job."""
    source = write_rows(tmp_path / "in.jsonl", some_rows(9))
    number: Any = np.int64(3)
    search = {"do_sample": True, "num_beams": 1}
    task = Task("generate", seed=3, top_emotions=3, first_row=3, row_step=3, search=search)
    names = [tmp_path / name for name in ("out.jsonl", "summary.json")]
    plain = CorpusJob(
        task, str(source), str(names[0]), str(model_dir), part_rows=3, summary_file=str(names[1]), quiet=True
    )
    done = plain.run()
    other = Task("generate", seed=number, top_emotions=number, first_row=number, row_step=number, search=search)
    given: dict[str, Any] = {"part_rows": number, "max_errors": np.float32(1), "workers": np.int64(1), "quiet": True}
    several: list[Any] = [source, [source], (one for one in [source])]
    for inputs in several:
        assert (
            CorpusJob(other, inputs, names[0], model_dir, summary_file=names[1], **given).run() == done.there_already()
        )
    several.append(one for one in [source])
    with pytest.raises(ConfigError, match="is the input"):
        CorpusJob(task, several[-1], source, model_dir).run()
    with pytest.raises(DataError, match="cannot be read"):
        CorpusJob(task, source, retry_errors=tmp_path / "none").run()


@pytest.mark.parametrize(
    "wrong",
    [
        {"inputs": []},
        {"inputs": None},
        {"inputs": [3]},
        {"inputs": b"in.jsonl"},
        {"output": 3},
        {"model": 3},
        {"summary_file": 3},
        {"retry_errors": 3},
        {"max_errors": "0.5"},
        {"max_errors": None},
        {"max_errors": True},
        {"load_options": {"foo": 1}},
        {"load_options": {"path": "x"}},
        {"load_options": None},
        {"strict": "no"},
        {"show": 3},
        {"loaded": "yes"},
        {"ray_address": 3},
        {"task": "classify"},
        {"reading": "csv"},
    ],
)
def test_values_of_another_type_are_refused(wrong: dict[str, Any]) -> None:
    given: dict[str, Any] = {"task": Task("classify"), "inputs": "in.jsonl"} | wrong
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        CorpusJob(**given)


def test_options_of_a_dataset_are_checked_before_an_actor_is_made() -> None:
    dataset: Any = None
    with pytest.raises(ConfigError, match="load_options: 'foo'"):
        distributed.score(dataset, load_options={"foo": 1})


@pytest.mark.parametrize("wrong", [{"search": None}, {"search": ["a"]}, {"columns": "context"}, {"stochastic": "no"}])
def test_task_values_of_another_type_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Task("generate", **wrong)


def test_memory_does_not_grow_with_the_rows(tmp_path: Path, make_job: MakeJob) -> None:
    peaks = []
    make_job(write_rows(tmp_path / "0.jsonl", some_rows(10)), tmp_path / "warm.jsonl").run()
    for count in (1_000, 8_000):
        source = write_rows(tmp_path / f"{count}.jsonl", some_rows(count))
        tracemalloc.start()
        make_job(source, tmp_path / f"out-{count}.jsonl", part_rows=500).run()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def table_of(path: Path) -> list[dict[str, str]]:
    opened: dict[str, Any] = {".gz": gzip.open, ".zst": zstd_text}
    delimiter = "\t" if ".tsv" in path.name.lower() else ","
    with opened.get(path.suffix, open)(path, "rt", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter=delimiter))


def zstd_text(path: Path, *_: Any, **__: Any) -> Any:
    return io.TextIOWrapper(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"), encoding="utf-8", newline="")


@pytest.mark.parametrize("name", ["out.csv", "OUT.TSV", "out.csv.gz", "out.tsv.zst"])
@pytest.mark.parametrize("kind", ["score", "generate", "classify"])
def test_tables_hold_what_json_lines_hold(tmp_path: Path, make_job: MakeJob, kind: str, name: str) -> None:
    rows = some_rows(50)
    rows[3]["id"] = 'a "quoted", id\twith\ntwo lines é'
    rows[5]["id"] = "a carriage\rreturn"
    source = write_rows(tmp_path / "in.jsonl", rows)
    task = {"top_emotions": 3, "search": {"num_return_sequences": 2} if kind == "generate" else {}}
    make_job(source, tmp_path / "out.jsonl", kind=kind, task=task, part_rows=20).run()
    make_job(source, tmp_path / name, kind=kind, task=task, part_rows=20).run()
    for cells, line in zip(table_of(tmp_path / name), lines(tmp_path / "out.jsonl"), strict=True):
        assert (cells["id"], int(cells["row"]), cells["emotion"]) == (line["id"], line["row"], line["emotion"])
        heard = {name: float(cells[f"emotion_probs.{name}"]) for name in LABELS if cells[f"emotion_probs.{name}"]}
        assert heard == line["emotion_probs"]
        if kind == "score":
            assert (json.loads(cells["tokens"]), float(cells["logprob"])) == (line["tokens"], line["logprob"])
        if kind == "generate":
            assert (cells["text"], json.loads(cells["candidates"])) == (line["text"], line["candidates"])
            assert float(cells["mixture.negative.sad"]) == line["mixture"]["negative"]["sad"]


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.parquet/", "out.jsonl.zst"])
def test_paths_that_are_not_utf8(tmp_path: Path, make_job: MakeJob, name: str) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    source = write_rows(folder / "in.jsonl", some_rows(50))
    assert make_job(source, f"{folder}/{name}", part_rows=20).run().answered == 50
    assert make_job(source, f"{folder}/{name}", part_rows=20).run().rows_now == 0


@pytest.mark.parametrize("name", ["out.jsonl.gz", "out.ndjson.zst"])
def test_packed_outputs_are_packed(tmp_path: Path, make_job: MakeJob, name: str) -> None:
    source = write_rows(tmp_path / "in.jsonl", some_rows(50))
    for out in ("out.jsonl", name):
        make_job(source, tmp_path / out, kind="classify", part_rows=20).run()
    with (gzip.open if name.endswith(".gz") else zstd_text)(tmp_path / name, "rt") as stream:
        assert stream.read() == (tmp_path / "out.jsonl").read_text()


@pytest.mark.parametrize("name", ["parts.csv/", "parts.jsonl.gz/"])
def test_every_part_of_a_folder_is_whole_by_itself(tmp_path: Path, make_job: MakeJob, name: str) -> None:
    source = write_rows(tmp_path / "in.jsonl", some_rows(50))
    make_job(source, f"{tmp_path}/{name}", kind="classify", part_rows=20).run()
    parts = sorted(path for path in (tmp_path / name).iterdir() if path.name.startswith("part-"))
    assert [path.name for path in parts] == [f"part-00000{i}{name.removeprefix('parts').rstrip('/')}" for i in range(3)]
    if name == "parts.csv/":
        assert [len(table_of(path)) for path in parts] == [20, 20, 10]
        assert not any(b"\r" in path.read_bytes() for path in parts)
    else:
        assert [len(gzip.decompress(path.read_bytes()).splitlines()) for path in parts] == [20, 20, 10]


@pytest.mark.parametrize("name", ["out.xlsx", "out.json", "out.txt.gz", "out.parquet.gz", "out.jsonl.bz2"])
def test_an_unknown_ending_is_refused(tmp_path: Path, make_job: MakeJob, name: str) -> None:
    source = write_rows(tmp_path / "in.jsonl", some_rows(3))
    with pytest.raises(ConfigError, match=rf"{name}: an output must end in \.jsonl, .*\.parquet"):
        make_job(source, tmp_path / name).run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl"]


def test_classes_are_the_engines(tmp_path: Path, make_job: MakeJob, model_dir: Path) -> None:
    rows: list[Any] = some_rows(90)
    rows[7] = {"context": []}
    source = write_rows(tmp_path / "in.jsonl", rows)
    for workers in (1, 2):
        job = make_job(
            source, tmp_path / f"{workers}.jsonl", kind="classify", workers=workers, task={"top_emotions": 32}
        )
        summary = job.run()
        assert (summary.rows, summary.errors, summary.tokens, summary.perplexity_micro) == (90, 1, 0, None)
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()
    good = [i for i in range(90) if i != 7]
    found = mime_fast.load(model_dir, threads=1).classify([rows[i]["context"] for i in good])
    for i, line, one in zip(good, lines(tmp_path / "1.jsonl"), found, strict=True):
        assert (line["row"], line["emotion"], line["polarity"]) == (i, one.emotion, one.polarity)
        assert list(line["emotion_probs"].values()) == [round(p, 6) for p in one.emotion_probs.values()]


def test_a_system_without_locks_is_told_so(tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(BackendError, match="use Linux, macOS or WSL"):
        make_job(write_rows(tmp_path / "in.jsonl", some_rows(2)), tmp_path / "out.jsonl").run()
