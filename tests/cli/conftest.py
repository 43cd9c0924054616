"""A tiny model with random weights, and `mime-fast` called in this process."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from mime_fast.checkpoints.model_folder import save_model_folder
from mime_fast.cli.main import main
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MimeConfig
from mime_fast.reference.mime import Mime
from mime_fast.text.tokenizer import Tokenizer

TEXT = "i am so sorry happy to hear that . , ! ? my cat dog ran away passed the test we you did and was it a"
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "attention_depth": 8,
    "ffn_channels": 8,
    "max_positions": 40,
}


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Standard output, every line of which must be a JSON object."""
        values = [json.loads(line) for line in self.out.splitlines()]
        assert all(isinstance(value, dict) for value in values)
        return values


Run = Callable[..., Outcome]


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = Tokenizer.from_words(TEXT.split())
    torch.manual_seed(5)
    model = Mime(MimeConfig.paper(tokenizer.vocab_size, **SIZES))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.5)
    save_model_folder(folder, model.eval(), tokenizer, GenerationConfig(num_beams=3, max_new_tokens=6))
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Calls a command; `stdin` is what is piped into it, or typed on a terminal."""

    def call(*argv: object, stdin: str | bytes = "", terminal: bool = False) -> Outcome:
        content = stdin.encode() if isinstance(stdin, str) else stdin
        kind = _Terminal if terminal else io.TextIOWrapper
        monkeypatch.setattr("sys.stdin", kind(io.BytesIO(content), encoding="utf-8"))
        capsys.readouterr()
        try:
            code = main([str(item) for item in argv])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else -1
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


def json_lines(rows: Sequence[Any]) -> str:
    """Rows as a file; a string is a line as it is."""
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
