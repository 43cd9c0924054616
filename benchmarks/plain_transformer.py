"""The peers' model: a plain encoder-decoder of MIME's size and vocabulary with random weights, for CTranslate2.

One layer each, width 300, MIME's heads, a feed-forward layer with as many weights as MIME's two convolutions.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ctranslate2.specs import transformer_spec

from benchmarks.peer_sizes import FFN, LOGIT_DEVIATION, POSITIONS, WIDTH, Attention, attention_of


def make_ctranslate2_model(cache: Path, mime: Path) -> Path:
    """The folder in `cache` of a model of the sizes and words of a MIME's; it is written unless it is there."""
    attention = attention_of(mime)
    folder = cache / f"ctranslate2-{mime.name}-{attention.heads}x{attention.head_dim}-1"
    if not folder.is_dir():
        scratch = folder.with_name(folder.name + ".tmp")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        _spec(words_of(mime / "tokenizer.json"), attention).save(str(scratch))
        scratch.rename(folder)
    return folder


def words_of(tokenizer: Path) -> list[str]:
    """The words of a tokenizer.json in id order."""
    vocabulary: dict[str, int] = json.loads(tokenizer.read_text("utf-8"))["model"]["vocab"]
    return sorted(vocabulary, key=vocabulary.__getitem__)


def _spec(words: list[str], attention: Attention) -> transformer_spec.TransformerSpec:
    """The words begin with MIME's special ones."""
    spec = transformer_spec.TransformerSpec(
        transformer_spec.TransformerEncoderSpec(1, attention.heads, head_dim=attention.head_dim),
        transformer_spec.TransformerDecoderSpec(1, attention.heads, head_dim=attention.head_dim),
    )
    weights = _Weights()
    table = weights.draw(len(words), WIDTH)
    for part, embeddings in ((spec.encoder, spec.encoder.embeddings[0]), (spec.decoder, spec.decoder.embeddings)):
        embeddings.weight = table
        part.position_encodings.encodings = weights.draw(POSITIONS, WIDTH)
        weights.norm(part.layer_norm)
        for layer in part.layer:
            weights.attention(layer.self_attention, attention.depth, own=True)
            if part is spec.decoder:
                weights.attention(layer.attention, attention.depth, own=False)
            weights.norm(layer.ffn.layer_norm)
            weights.linear(layer.ffn.linear_0, FFN, WIDTH)
            weights.linear(layer.ffn.linear_1, WIDTH, FFN)
    weights.linear(spec.decoder.projection, len(words), WIDTH, LOGIT_DEVIATION)
    spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = "UNK", "SOS", "EOS"
    spec.config.add_source_bos = spec.config.add_source_eos = False
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words)
    spec.validate()
    return spec


class _Weights:
    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)

    def draw(self, rows: int, columns: int, scale: float = 1.0) -> npt.NDArray[np.float32]:
        values = self.generator.standard_normal((rows, columns), dtype=np.float32)
        return values * np.float32(scale * columns**-0.5)

    def linear(self, layer: Any, rows: int, columns: int, scale: float = 1.0) -> None:
        layer.weight = self.draw(rows, columns, scale)
        layer.bias = np.zeros(rows, np.float32)

    def norm(self, layer: Any) -> None:
        layer.gamma, layer.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    def attention(self, layer: Any, depth: int, *, own: bool) -> None:
        self.norm(layer.layer_norm)
        for linear, rows in zip(layer.linear, (3 * depth,) if own else (depth, 2 * depth), strict=False):
            self.linear(linear, rows, WIDTH)
        self.linear(layer.linear[-1], WIDTH, depth)
