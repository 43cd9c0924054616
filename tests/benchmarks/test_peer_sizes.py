"""The peers' model has the attention of the MIME beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peer_sizes import WIDTH, Attention, attention_of
from benchmarks.random_mime import make_random_mime
from mime_fast.engine.load import find_model


def test_attention_is_read_from_the_model(tmp_path: Path) -> None:
    assert attention_of(make_random_mime(tmp_path / "random", 40)) == Attention(2, 20)
    assert attention_of(find_model(None)) == Attention(4, 40)


def test_ctranslate2_gets_it() -> None:
    pytest.importorskip("ctranslate2", reason="CTranslate2 is not installed")
    from benchmarks.plain_transformer import _spec

    spec = _spec(["UNK", "PAD", "EOS", "SOS", "USR", "SYS", "CLS", "hello"], Attention(4, 40))
    own, memory = spec.decoder.layer[0].self_attention, spec.decoder.layer[0].attention
    assert [int(part.num_heads.numpy()) for part in (spec.encoder, spec.decoder)] == [4, 4]
    assert own.linear[0].weight.numpy().shape == (3 * 160, WIDTH)
    assert [linear.weight.numpy().shape for linear in memory.linear] == [(160, WIDTH), (320, WIDTH), (WIDTH, 160)]
