"""Encoders of flattened sequences: the twin against the reference's encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mime_fast.config.model import MimeConfig
from mime_fast.kernels import plain
from mime_fast.kernels.encoder_weights import EncoderWeights
from mime_fast.kernels.plain import Sequences
from mime_fast.reference.layers import Encoder
from mime_fast.reference.mime import Mime
from tests.cuda.no_reads import NoReads
from tests.kernels.cases import Random

LENGTHS = [70, 17, 1, 0, 16]
CONFIGS: list[dict[str, Any]] = [
    {"hidden_size": 12, "attention_depth": 8, "ffn_channels": 5, "num_layers": 2},
    {"hidden_size": 66, "attention_depth": 39, "num_heads": 3, "ffn_channels": 17, "unbiased_norm": True},
    {"final_relu": True, "context_layers": 2},
]
Given = tuple[Any, ...]


def sequences_of(lengths: list[int], gap: int = 0, seed: int = 0) -> Sequences:
    """One after the other, `gap` rows of none before each and behind the last; a fifth of the rows are not seen."""
    ends = (torch.tensor(lengths) + gap).cumsum(0).int()
    starts = ends - torch.tensor(lengths, dtype=torch.int32)
    seen = (Random(seed)(int(ends[-1]) + gap + 3) > -0.8).to(torch.uint8)
    seen[starts.long()] = 1
    return Sequences(starts, ends, seen, 128)


def inputs(changes: dict[str, Any], encoders: int, streams: int, sequences: Sequences, onward: int = 0) -> Given:
    """Tensors in float64 that `call` takes."""
    config = MimeConfig.paper(9, max_positions=200, shared_response_encoder=encoders == 1, **changes)
    torch.manual_seed(1)
    state = {name: x + 0.1 * torch.randn_like(x) for name, x in Mime(config).double().state_dict().items()}
    random, size, rows = Random(2), config.hidden_size, len(sequences.seen)
    tables = random(40, size, scale=2.0), random(7, size)
    ids = random.ids(40, streams, rows), random.ids(7, streams, rows)
    matrix = random(onward, size, scale=size**-0.5) if onward else None
    return (tables, ids, tuple(state.values()), matrix, sequences, config, tuple(state), encoders)


def names_of(encoders: int) -> list[str]:
    return [f"response_encoders.{i}" for i in range(encoders)]


def call(op: Callable[..., Any], *given: Any) -> tuple[Tensor, Tensor]:
    """`op` of them, each row of no sequence 0, and so each vector of none."""
    (first, second), (a, b), tensors, matrix, sequences, config, names, encoders = given
    state = dict(zip(names, tensors, strict=True))
    columns = config.hidden_size + (-config.hidden_size % 64 if first.dtype != torch.float32 else 0)
    packed = EncoderWeights.pack(
        state, config, names_of(encoders), config.num_layers, first.dtype, first.device, columns, matrix
    )
    found, vectors = op(first, a, second, b, sequences, packed)
    outside, nothing = sequences.owners()[1] < 0, sequences.starts == sequences.ends
    return found.masked_fill(outside[:, None], 0.0), vectors.masked_fill(nothing[:, None], 0.0)


@pytest.mark.parametrize("changes", CONFIGS, ids=str)
def test_the_twin_is_the_reference_s_encoder(changes: dict[str, Any]) -> None:
    """Of each sequence by itself, without padding."""
    sequences = sequences_of(LENGTHS, gap=1)
    given = inputs(changes, 2, 2, sequences)
    (first, second), (a, b), tensors, _, _, config, names, _ = given
    found, vectors = call(plain.encoder, *given)
    state = dict(zip(names, tensors, strict=True))
    for g, name in enumerate(names_of(2)):
        encoder = Encoder(config, config.hidden_size, config.num_layers).double()
        own = {key.removeprefix(f"{name}."): x for key, x in state.items() if key.startswith(name)}
        encoder.load_state_dict({key: x for key, x in own.items() if key != "projection.weight"}, strict=False)
        encoder.projection.weight.data = torch.eye(config.hidden_size, dtype=torch.float64)
        for i, (start, end) in enumerate(zip(sequences.starts.tolist(), sequences.ends.tolist(), strict=True)):
            if start < end:
                rows = slice(start, end)
                x = first[a[g, rows].long()] + second[b[g, rows].long()]
                expected = encoder(x[None], sequences.seen[None, rows] != 0)[0]
                torch.testing.assert_close(found[g, rows], expected, atol=1e-10, rtol=0)
                torch.testing.assert_close(vectors[g, i], expected[0], atol=1e-10, rtol=0)


def test_onward_is_one_more_product() -> None:
    sequences = sequences_of([3, 5])
    given = inputs(CONFIGS[0], 1, 1, sequences, onward=7)
    onward, vectors = call(plain.encoder, *given)
    found, same = call(plain.encoder, *given[:3], None, *given[4:])
    torch.testing.assert_close(onward, found @ given[3].T)
    assert torch.equal(vectors, same)


def test_the_twin_reads_nothing_back() -> None:
    """The same operations whatever the lengths are."""
    ran = []
    for lengths in ([5, 20, 7], [30, 1, 1]):
        given = inputs(CONFIGS[0], 2, 2, sequences_of(lengths))
        with NoReads() as mode:
            call(plain.encoder, *given)
        ran.append(mode.ops)
    assert ran[0] == ran[1]
