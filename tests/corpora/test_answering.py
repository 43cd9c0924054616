"""Rows that a back end cannot answer are bad rows; those beside them are answered as ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mime_fast
from mime_fast.backends.protocol import refuse_nan
from mime_fast.corpora.answering import Answerer, RowResult
from mime_fast.corpora.tasks import Task
from mime_fast.data.reading.rows import RawRow
from mime_fast.errors import ConfigError, DataError
from tests.corpora.conftest import MakeJob, some_rows, write_rows

ROWS = some_rows(40)


def answered(task: Task, engine: mime_fast.Engine, *, strict: bool = False) -> list[RowResult]:
    rows = [RawRow("rows.jsonl", i + 1, i, json.dumps(row).encode()) for i, row in enumerate(ROWS)]
    chunks = [rows[start : start + 16] for start in range(0, len(rows), 16)]
    return [one for chunk in Answerer(task, engine, strict=strict).answers_of(chunks) for one in chunk]


def alike(one: Any, other: Any) -> bool:
    """Whether two records are equal but for the last digits of their numbers."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == pytest.approx(other, rel=1e-5, abs=2e-6)) if isinstance(one, float) else bool(one == other)


@pytest.mark.parametrize("kind", ["generate", "score", "classify"])
def test_rows_with_nan_are_bad(model_dir: Path, kind: Any) -> None:
    """A word whose embedding is NaN; the rows that have it are known."""
    task = Task(kind, search={"num_beams": 2} if kind == "generate" else {})
    engine = mime_fast.load(model_dir, backend="reference", batch_size=4, threads=1)
    whole = answered(task, engine)
    assert not any(one.bad for one in whole)
    word = ROWS[3]["context"][0].split()[0]
    with torch.no_grad():
        engine.model.word_embedding.weight[engine.tokenizer.ids([word])[0]] = torch.nan
    found = answered(task, engine)
    broken = [i for i, one in enumerate(found) if one.bad is not None]
    has = [i for i, row in enumerate(ROWS) if any(word in turn.split() for turn in row["context"])]
    assert broken == has and 0 < len(broken) < len(ROWS)
    assert [one.place for one in found] == list(range(len(ROWS)))
    for one in found:
        if one.bad is None:
            assert one.record is not None and alike(one.record, whole[one.place].record)
            assert one.record["id"] == ROWS[one.place]["id"]
        else:
            assert one.bad.reason.startswith("the model produced NaN")
            assert "of this batch" not in one.bad.reason
            assert (one.bad.id, one.bad.malformed) == (ROWS[one.place]["id"], False)
    with pytest.raises(DataError, match=r"the model produced NaN .*a job that is not strict leaves it out"):
        answered(task, engine, strict=True)


def test_rows_whose_replies_have_nan_are_bad(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log-probs that are made again are those of several replies per row, which have numbers of their own."""
    engine = mime_fast.load(model_dir, backend="reference", threads=1)
    task = Task("generate", search={"num_beams": 3, "num_return_sequences": 3, "max_new_tokens": 3})

    def score(contexts: Any, requests: Any, targets: Any, offsets: Any, stop: Any = None) -> Any:
        log_probs = np.zeros(len(targets))
        log_probs[offsets[:-1][np.isin(requests.request_ids, [3, 17])]] = np.nan
        refuse_nan("log-probs", log_probs, offsets=offsets)
        return None, log_probs

    monkeypatch.setattr(engine.backend, "rescores", True)
    monkeypatch.setattr(engine.backend, "score", score)
    found = answered(task, engine)
    assert [i for i, one in enumerate(found) if one.bad is not None] == [3, 17]
    assert {one.bad.reason for one in found if one.bad is not None} == {"the model produced NaN in the log-probs"}


def test_rows_without_a_word_are_bad(tmp_path: Path, make_job: MakeJob) -> None:
    write_rows(tmp_path / "in.jsonl", ROWS)
    search = {"num_beams": 2, "min_new_tokens": 3, "suppress_tokens": list(range(7, 400))}
    task = {"search": search | {"no_repeat_ngram_size": 1}}
    with pytest.raises(ConfigError, match="suppress_tokens contains"):
        make_job(tmp_path / "in.jsonl", tmp_path / "out.jsonl", kind="generate", task=task).run()
    size = mime_fast.load(make_job(tmp_path / "in.jsonl", None).model).tokenizer.vocab_size
    task["search"]["suppress_tokens"] = list(range(1, size))
    summary = make_job(tmp_path / "in.jsonl", tmp_path / "out.jsonl", kind="generate", task=task).run()
    assert (summary.rows, summary.errors) == (40, 40)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl.errors.jsonl").read_text().splitlines()]
    assert {line["reason"] for line in lines} == {
        "no response can be generated: suppress_tokens, min_new_tokens=3 and no_repeat_ngram_size=1 leave no token of "
        "a log-prob above -inf; at least one is needed at every step"
    }
