"""Encoders of flattened sequences: the twin against the reference's encoder, the Triton kernel against the twin."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
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
from tests.kernels.cases import DTYPES, Random, check_exactness, move

KERNEL = "there is no kernel without Triton"
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason=KERNEL)
LENGTHS = [70, 17, 1, 0, 16]
CONFIGS: list[dict[str, Any]] = [
    {"hidden_size": 12, "attention_depth": 8, "ffn_channels": 5, "num_layers": 2},
    {"hidden_size": 66, "attention_depth": 39, "num_heads": 3, "ffn_channels": 17, "unbiased_norm": True},
    {"final_relu": True, "context_layers": 2},
]
Given = tuple[Any, ...]


def kernel() -> Callable[..., Any]:
    from mime_fast.kernels.encoder import encoder

    return encoder


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


def arguments(*given: Any) -> tuple[Any, ...]:
    """What an op takes."""
    (first, second), (a, b), tensors, matrix, sequences, config, names, encoders = given
    state = dict(zip(names, tensors, strict=True))
    columns = config.hidden_size + (-config.hidden_size % 64 if first.dtype != torch.float32 else 0)
    packed = EncoderWeights.pack(
        state, config, names_of(encoders), config.num_layers, first.dtype, first.device, columns, matrix
    )
    return first, a, second, b, sequences, packed


def call(op: Callable[..., Any], *given: Any) -> tuple[Tensor, Tensor]:
    """`op` of them; what is of no sequence is 0."""
    found, vectors = op(*arguments(*given))
    sequences = given[4]
    assert not found[:, sequences.owners()[1] < 0].any() and not vectors[:, sequences.starts == sequences.ends].any()
    return found, vectors


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
        given = arguments(*inputs(CONFIGS[0], 2, 2, sequences_of(lengths)))
        with NoReads() as mode:
            plain.encoder(*given)
        ran.append(mode.ops)
    assert ran[0] == ran[1]


@needs_triton
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("changes", "encoders", "onward", "lengths"), [(CONFIGS[0], 2, 0, LENGTHS), (CONFIGS[1], 1, 99, [1, 35])]
)
def test_as_exact_as_pytorch(
    changes: dict[str, Any], encoders: int, onward: int, lengths: list[int], dtype: torch.dtype, device: str
) -> None:
    given = inputs(changes, encoders, 2, sequences_of(lengths, gap=1), onward)
    check_exactness(partial(call, kernel()), partial(call, plain.encoder), given, dtype, device)


@needs_triton
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_shipped_sizes(dtype: torch.dtype, device: str) -> None:
    given = inputs(CONFIGS[2], 1, 1, sequences_of([3]), 300)
    check_exactness(partial(call, kernel()), partial(call, plain.encoder), given, dtype, device)


@needs_triton
def test_a_nan_of_a_convolution_stays_one(device: str) -> None:
    given = move(inputs(CONFIGS[0], 1, 1, sequences_of([3, 5])), torch.float32, device)
    named = dict(zip(given[6], given[2], strict=True))
    next(x for name, x in named.items() if name.startswith("response_encoders.0") and "conv1.bias" in name)[1] = (
        torch.nan
    )
    (found, _), (expected, _) = (call(op, *given) for op in (kernel(), plain.encoder))
    assert torch.equal(found.isnan(), expected.isnan()) and expected.isnan().any()


@needs_triton
@pytest.mark.usefixtures("products_in_order")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_sequence_depends_on_itself_alone(dtype: torch.dtype, device: str) -> None:
    """Bit for bit: alone, and among others wherever it lies; what lies outside of all may be NaN."""
    lengths = [20, 3, 66]
    sequences = sequences_of(lengths)
    given = move(inputs(CONFIGS[0], 2, 2, sequences), dtype, device)
    found, vectors = call(kernel(), *given)
    for i, (start, end) in enumerate(zip(sequences.starts.tolist(), sequences.ends.tolist(), strict=True)):
        (first, second), ids, *others = given
        before = 5 * i
        a, b = (torch.nn.functional.pad(x[:, start:end], (before, 9)) for x in ids)
        broken = torch.cat([first, torch.full_like(first[:1], torch.nan)])
        a[:, :before] = a[:, -9:] = len(first)
        bounds = torch.tensor([[before], [end - start + before]], dtype=torch.int32, device=device)
        seen = torch.nn.functional.pad(given[4].seen[start:end], (before, 9), value=1)
        alone = Sequences(bounds[0], bounds[1], seen, 128)
        again, vector = call(kernel(), (broken, second), (a, b), *others[:2], alone, *others[3:])
        assert torch.equal(again[:, before : before + end - start], found[:, start:end])
        assert torch.equal(vector[:, 0], vectors[:, i])
