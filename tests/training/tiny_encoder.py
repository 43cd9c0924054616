"""A BERT of a few thousand parameters, in a folder as the pretrained ones are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

pytest.importorskip("transformers", reason="the sentence encoder is a BERT of transformers")
from transformers import BertConfig, BertModel

WORDS = [
    "my",
    "is",
    "today",
    "oh",
    "the",
    "again",
    "yes",
    ",",
    ".",
    "!",
    "dog",
    "cat",
    "house",
    "rain",
    "sun",
    "river",
    "bread",
]
WIDTH = 16


def write_encoder(folder: Path, words: list[str] = WORDS, **sizes: int) -> Path:
    """Weights drawn with seed 0, word pieces that are whole words; `sizes` in place of the config's."""
    folder.mkdir(parents=True)
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    usual = {"vocab_size": len(vocabulary), "max_position_embeddings": 128}
    config = BertConfig(
        **(usual | sizes),
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"] == "bert"
    return folder
