"""Jobs with a baseline: their rows have no mixture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from mime_fast.checkpoints.model_folder import save_model_folder
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import ModelConfig, MoelConfig, MultiTaskConfig
from mime_fast.text.tokenizer import Tokenizer
from tests.cli.conftest import SIZES, TEXT
from tests.corpora.conftest import MakeJob, some_rows, write_rows
from tests.reference.tiny import tiny


@pytest.mark.parametrize("kind", [MultiTaskConfig, MoelConfig])
@pytest.mark.parametrize("task", ["score", "generate"])
def test_rows_without_a_mixture(tmp_path: Path, make_job: MakeJob, kind: type[ModelConfig], task: str) -> None:
    tokenizer = Tokenizer.from_words(TEXT.split())
    model = tiny(kind, vocab_size=tokenizer.vocab_size, **SIZES)
    save_model_folder(tmp_path / "model", model, tokenizer, GenerationConfig(num_beams=1, max_new_tokens=3))
    source = write_rows(tmp_path / "in.jsonl", some_rows(12))
    given: dict[str, Any] = {
        "model": str(tmp_path / "model"),
        "load_options": {"threads": 1, "backend": "reference", "device": "cpu"},
    }
    search = {"num_beams": 2, "num_return_sequences": 2} if task == "generate" else {}
    options = {"top_emotions": 32, "search": search}
    for name in ("out.jsonl", "out.parquet"):
        assert make_job(source, tmp_path / name, kind=task, task=options, **given).run().answered == 12
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["mixture"] for row in rows] == [None] * 12
    assert parquet.read_table(tmp_path / "out.parquet").to_pylist() == rows
