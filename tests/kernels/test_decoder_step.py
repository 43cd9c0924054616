"""The decoder's step: the Triton kernels against their twins, over several steps with beams that part and die."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from typing import Any

import pytest
import torch
from torch import Tensor

from mime_fast.config.model import MimeConfig
from mime_fast.kernels import plain
from mime_fast.kernels.plain import History
from mime_fast.kernels.weights import DecoderCache, DecoderWeights
from mime_fast.reference.mime import Mime
from mime_fast.text.special import PAD_ID, SOS_ID
from tests.kernels.cases import DTYPES, Random, check_exactness, move
from tests.parity import assert_as_exact

triton = pytest.importorskip("triton", reason="Triton is not installed")
from mime_fast.kernels.decoder_attention import memory_attention, self_attention  # noqa: E402  (needs Triton)
from mime_fast.kernels.decoder_step import decoder_step  # noqa: E402  (needs Triton)

LENGTH = 19  # positions, more than a block of them
CONFIGS: list[dict[str, Any]] = [
    {"hidden_size": 12, "attention_depth": 8, "ffn_channels": 5, "num_layers": 2},
    {"hidden_size": 66, "attention_depth": 39, "num_heads": 3, "ffn_channels": 17, "unbiased_norm": True},
    {"final_relu": True},
]


def histories(dialogues: int, beams: int, vocab_size: int) -> list[History]:
    """A beam search's words and ancestries at each step; what lies beyond the positions is odd on purpose."""
    random, rows = Random(beams), dialogues * beams
    words, ancestry = (torch.full((rows, LENGTH), 9_999, dtype=torch.int32) for _ in range(2))
    tokens = torch.full((rows,), SOS_ID, dtype=torch.int32)
    steps = []
    for step in range(LENGTH):
        words[:, step], ancestry[:, step] = tokens, torch.arange(rows) % beams
        steps.append(History(words, ancestry, torch.full((rows,), step, dtype=torch.int32)))
        parents = random.ids(beams, rows) + torch.arange(rows) // beams * beams
        words, ancestry = words[parents], ancestry[parents]
        tokens = torch.where(random.ids(4, rows) == 0, PAD_ID, random.ids(vocab_size, rows))
    return steps


@dataclass
class Case:
    """One decoder in three forms: the kernel's and its twin's in `dtype`, and the twin's in float64."""

    masked: Tensor
    lengths: Tensor
    weights: DecoderWeights
    caches: tuple[DecoderCache, ...]

    @classmethod
    def random(
        cls,
        config: MimeConfig,
        beams: int,
        lengths: list[int],
        dtype: torch.dtype,
        device: str,
        columns: int | None = None,
    ) -> Case:
        """Caches have NaN where nothing was written, and are views of larger ones."""
        torch.manual_seed(0)
        weights = DecoderWeights.pack(Mime(config).double().state_dict(), config, dtype, device, columns)
        random, source, rows = Random(0), max(lengths), len(lengths) * beams
        like = torch.zeros(0, dtype=dtype, device=device)
        caches = []
        for _ in range(config.num_layers):
            cache = DecoderCache.empty(config, rows + 3, LENGTH, len(lengths), source, like)
            for tensor in (cache.keys, cache.values, cache.taps, cache.hiddens):
                tensor.fill_(nan)
            for tensor in (cache.memory_keys, cache.memory_values):
                tensor.copy_(random(*tensor.shape))
                tensor[torch.arange(source) >= torch.tensor(lengths)[:, None]] = nan
            own = (t[:, :rows] for t in (cache.keys, cache.values, cache.taps, cache.hiddens))
            caches.append(DecoderCache(*(*own, cache.memory_keys, cache.memory_values)))
        masked = (random.ids(4, len(lengths), source) == 0).to(device=device, dtype=torch.uint8)
        return cls(masked, torch.tensor(lengths, dtype=torch.int32, device=device), weights, tuple(caches))

    def exact(self) -> Case:
        """The same numbers in float64; caches are copies."""
        return move(self, torch.float64, self.masked.device.type)  # type: ignore[no-any-return]

    def step(self, step: Callable[..., Tensor], history: History) -> Tensor:
        return step(history, self.masked, self.lengths, self.weights, self.caches)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("changes", "lengths", "beams", "steps", "columns"),
    [
        (CONFIGS[0], [5, 18, 1], 6, 5, 64),
        (CONFIGS[1], [3, 2], 2, 4, None),
        (CONFIGS[1], [2], 2, 3, 67),
        (CONFIGS[2], [17], 3, 4, 320),
    ],
    ids=["two layers", "odd sizes", "odd padding", "shipped sizes"],
)
def test_as_exact_as_pytorch(
    changes: dict[str, Any],
    lengths: list[int],
    beams: int,
    steps: int,
    columns: int | None,
    dtype: torch.dtype,
    device: str,
) -> None:
    config = MimeConfig.paper(29, **changes)
    kernel, usual = (Case.random(config, beams, lengths, dtype, device, columns) for _ in range(2))
    exact = kernel.exact()
    for history in histories(len(lengths), beams, 29)[:steps]:
        moved = move(history, dtype, device)
        outs = (kernel.step(decoder_step, moved), usual.step(plain.decoder_step, moved))
        assert_as_exact(*outs, exact.step(plain.decoder_step, moved))
        assert outs[0].shape[1] == (columns or config.hidden_size) and not outs[0][:, config.hidden_size :].any()


def test_more_positions_than_a_block(device: str) -> None:
    config = MimeConfig.paper(29, **CONFIGS[0])
    kernel, usual = (Case.random(config, 2, [3, 1], torch.float32, device) for _ in range(2))
    exact = kernel.exact()
    for history in histories(2, 2, 29):
        moved = move(history, torch.float32, device)
        outs = (kernel.step(decoder_step, moved), usual.step(plain.decoder_step, moved))
        assert_as_exact(*outs, exact.step(plain.decoder_step, moved))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("depth", [5, 20])
def test_attentions(depth: int, dtype: torch.dtype, device: str) -> None:
    random, beams, lengths = Random(depth), 6, [18, 3, 1]
    rows, heads = beams * len(lengths), 3
    query = random(rows, heads, depth)
    cache, memory = ((random(n, m, heads, depth), random(n, m, heads, depth)) for n, m in ((LENGTH, rows), (3, 18)))
    words = random.ids(4, rows, LENGTH)  # PAD among them
    history = History(words, random.ids(beams, rows, LENGTH), random.ids(LENGTH, rows))
    check_exactness(self_attention, plain.self_attention, (query, *cache, history, len(lengths)), dtype, device)
    masked = (random.ids(3, len(lengths), 18) == 0).to(torch.uint8)
    masked[1] = 1  # all of them: uniform
    for given in (lengths, [18, 3, 0]):
        inputs = (query, *memory, masked, torch.tensor(given, dtype=torch.int32))
        check_exactness(memory_attention, plain.memory_attention, inputs, dtype, device)


@pytest.mark.usefixtures("products_in_order")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_dialogue_depends_on_itself_alone(dtype: torch.dtype, device: str) -> None:
    """Dialogues change places, leave, and are at different positions."""
    config, beams, lengths = MimeConfig.paper(29, **CONFIGS[1]), 4, [5, 18, 1, 2, 7]
    case = Case.random(config, beams, lengths, dtype, device)
    for cache in case.caches:
        for tensor in (cache.keys, cache.values, cache.taps, cache.hiddens):
            tensor.copy_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1)))
    history = move(histories(len(lengths), beams, 29)[-1], dtype, device)
    history.positions[:4], history.positions[4:8], history.positions[8:12] = 0, 1, 17
    order = [3, 0, 2]
    rows = torch.tensor([b * beams + r for b in order for r in range(beams)], device=device)
    some = Case(
        case.masked[order],
        case.lengths[order],
        case.weights,
        tuple(
            DecoderCache(c.keys[:, rows], c.values[:, rows], c.taps[:, rows], c.hiddens[:, rows],
                         c.memory_keys[order], c.memory_values[order])
            for c in case.caches
        ),
    )  # fmt: skip
    own = History(history.words[rows], history.ancestry[rows], history.positions[rows])
    assert torch.equal(case.step(decoder_step, history)[rows], some.step(decoder_step, own))
    for cache, other in zip(case.caches, some.caches, strict=True):
        for name in ("keys", "values", "taps", "hiddens"):
            assert torch.equal(getattr(cache, name)[:, rows], getattr(other, name)), name


def test_rows_of_inactive_dialogues_are_left_alone(device: str) -> None:
    """Where a program has no others; those of active ones get the same bits beside them."""
    config, beams, lengths = MimeConfig.paper(29, **CONFIGS[0]), 8, [5, 18, 1, 2, 7]
    every, some = (Case.random(config, beams, lengths, torch.float32, device) for _ in range(2))
    history = move(histories(len(lengths), beams, 29)[0], torch.float32, device)
    active = torch.tensor([1, 0, 0, 0, 1], dtype=torch.int32, device=device)
    expected = every.step(decoder_step, history)
    given = (history, some.masked, some.lengths, some.weights, some.caches)
    found = decoder_step(*given, active)
    rows = active.repeat_interleave(beams) != 0
    assert torch.equal(found[rows], expected[rows])
    for one, other in zip(some.caches, every.caches, strict=True):
        for name in ("keys", "values", "taps", "hiddens"):
            mine, all_of_them = getattr(one, name)[0], getattr(other, name)[0]
            assert torch.equal(mine[rows], all_of_them[rows])
            assert mine[16:32].isnan().all() and not all_of_them[16:32].isnan().any()


def test_a_nan_of_a_convolution_stays_one(device: str) -> None:
    config = MimeConfig.paper(29, **CONFIGS[1])
    case = Case.random(config, 2, [3, 2], torch.float32, device)
    case.weights.layers[-1].conv1_bias[1] = nan
    history = move(next(iter(histories(2, 2, 29))), torch.float32, device)
    found, expected = (case.step(step, history) for step in (decoder_step, plain.decoder_step))
    assert torch.equal(found.isnan(), expected.isnan()) and expected.isnan().any()


def test_a_cache_beyond_32_bit_offsets_is_too_much_memory() -> None:
    """It is refused before it is made, and the back end tries again with a smaller batch."""
    config = MimeConfig.paper(29, max_positions=1024, **CONFIGS[2])
    with pytest.raises(torch.cuda.OutOfMemoryError, match=r"a cache of [\d,]+ numbers; kernels reach 2\^31"):
        DecoderCache.empty(config, 1024 * 60, 1001, 1024, 100, torch.zeros(0))
    with pytest.raises(torch.cuda.OutOfMemoryError, match="kernels reach"):
        DecoderCache.empty(config, 1, 31, 65_536, 1008, torch.zeros(0))
