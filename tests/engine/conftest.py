"""A small random model whose vocabulary covers the dialogues of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import mime_fast
from mime_fast.checkpoints.model_folder import save_model_folder
from mime_fast.config.generation import GenerationConfig
from mime_fast.engine.engine import Engine
from mime_fast.text.special import EOS_ID
from mime_fast.text.tokenizer import Tokenizer, tokenize
from tests.reference.tiny import tiny_model

DIALOGUES: list[list[str]] = [
    ["my old dog sleeps all day now ."],
    ["i burned the bread again .", "oh no , was it the whole loaf ?", "yes , and the pan is black too ."],
    ["we won the village race !"],
    ["nobody came to my party and i had made three cakes , two pies and a very big bowl of salad ."],
    ["rain ."],
    ["i found my grandfather 's watch .", "where was it ?", "behind the stove !"],
]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default options are those of a model without any of its own."""
    words = dict.fromkeys(word for turns in DIALOGUES for turn in turns for word in tokenize(turn))
    tokenizer = Tokenizer.from_words(words)
    path = tmp_path_factory.mktemp("models") / "small"
    model = tiny_model(vocab_size=tokenizer.vocab_size)
    with torch.no_grad():
        model.fc_decode.bias[EOS_ID] += 5.0  # so that some replies end by themselves
    save_model_folder(path, model, tokenizer, GenerationConfig(max_new_tokens=9))
    return path


@pytest.fixture(scope="session", params=["float64", "float32"])
def engine(request: pytest.FixtureRequest, model_folder: Path) -> Engine:
    """The reference in float64, and what is chosen for float32 on this machine."""
    return mime_fast.load(model_folder, device="cpu", precision=request.param, threads=1)


def tolerance(engine: Engine) -> float:
    """Largest difference of a figure that is computed in another way."""
    return 1e-10 if engine.describe()["precision"] == "float64" else 1e-4
