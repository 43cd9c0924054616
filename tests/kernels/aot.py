"""Compiles for a GPU, without one, what the launchers would launch: prints a JSON list, one entry a kernel and target.

Run as a program with a target (80: sm_80), in a process where Triton is not imported for its interpreter; a second word
chooses the cases whose names begin with it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MimeConfig
from mime_fast.kernels.decoder_attention import memory_attention, self_attention
from mime_fast.kernels.decoder_step import decoder_step
from mime_fast.kernels.encoder import encoder
from mime_fast.kernels.encoder_weights import EncoderWeights
from mime_fast.kernels.gate_fusion import gate_fusion
from mime_fast.kernels.plain import Draws, History, Sequences
from mime_fast.kernels.response_emotion import response_emotion
from mime_fast.kernels.sample_tokens import sample_tokens
from mime_fast.kernels.vocab_logits import vocab_logits
from mime_fast.kernels.vocab_score import vocab_score
from mime_fast.kernels.vocab_topk import vocab_topk
from mime_fast.kernels.weights import DecoderCache, DecoderWeights, PriorWeights, pack_vocab
from mime_fast.reference.mime import Mime

TYPES = {
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.int32: "*i32",
    torch.int64: "*i64",
    torch.uint8: "*u8",
}
TYPES_OF_WEIGHTS = (torch.float32, torch.float16, torch.bfloat16)
OPTIONS = ("num_warps", "num_stages", "enable_fp_fusion")


@dataclass(frozen=True)
class Built:
    """One kernel, compiled."""

    case: str
    kernel: str
    target: int  # 80: sm_80
    seconds: float
    shared: int  # bytes
    registers: int  # a thread
    spilled: int  # bytes of stack a thread
    threads: int
    instructions: dict[str, int]  # of the whole kernel: all, and those that matter to us by name
    variant: str  # equal where one compilation serves


@dataclass(frozen=True)
class Launch:
    """A launch that was caught instead of carried out."""

    kernel: Any
    arguments: dict[str, Any]
    options: dict[str, int]

    def build(self, case: str, target: int) -> Built:
        signature, constants, aligned = {}, {}, {}
        for place, parameter in enumerate(self.kernel.params):
            value = self.arguments[parameter.name]
            if parameter.is_constexpr:
                signature[parameter.name], constants[parameter.name] = "constexpr", value
            elif isinstance(value, Tensor):
                signature[parameter.name] = TYPES[value.dtype]
                aligned[(place,)] = [["tt.divisibility", 16]]  # as memory that torch allocates
            elif value == 1 and not parameter.do_not_specialize:  # Triton makes a constant of it
                signature[parameter.name], constants[parameter.name] = "constexpr", value
            elif isinstance(value, float):
                signature[parameter.name] = "fp32"
            else:
                signature[parameter.name] = "i32" if abs(value) < 2**31 else "i64"
        start = time.perf_counter()
        compiled = triton.compile(
            ASTSource(self.kernel, signature, constants, aligned), GPUTarget("cuda", target, 32), self.options
        )
        seconds = time.perf_counter() - start
        registers, spilled, counts = resources(compiled.asm["cubin"], compiled.metadata.name)
        return Built(
            case,
            self.kernel.__name__,
            target,
            round(seconds, 2),
            compiled.metadata.shared,
            registers,
            spilled,
            32 * compiled.metadata.num_warps,
            counts,
            repr((signature, constants, self.options)),
        )


COUNTED = (
    "HMMA",
    "HGMMA",
    "UTCHMMA",
    "FFMA",
    "MUFU.EX2",
    "MUFU.LG2",
    "LDGSTS",
    "LDG",
    "LDS",
    "LDSM",
    "SHFL",
    "BAR",
    "ISETP",
    "SEL",
)


def resources(cubin: bytes, kernel: str) -> tuple[int, int, dict[str, int]]:
    """Registers and bytes of stack of a thread, and counts of the kernel's instructions, by NVIDIA's own tool."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        tool = triton.knobs.nvidia.cuobjdump.path
        said, listed = (
            subprocess.run([tool, what, file.name], capture_output=True, text=True, check=True).stdout
            for what in ("-res-usage", "-sass")
        )
    found = re.search(rf"Function {kernel}:\s+REG:(\d+) STACK:(\d+)", said)
    assert found, said
    names = re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\d+ )?([A-Z0-9_.]+)", listed)
    counts = {name: sum(each == name or each.startswith(f"{name}.") for each in names) for name in COUNTED}
    return int(found[1]), int(found[2]), {"all": len(names)} | {name: n for name, n in counts.items() if n}


@contextmanager
def caught() -> Iterator[list[Launch]]:
    """The launches that happen inside; none is carried out, so that results are whatever was in memory."""
    launches: list[Launch] = []

    def run(kernel: Any, *arguments: Any, grid: Any, warmup: bool, **named: Any) -> None:
        options = {name: named.pop(name) for name in OPTIONS if name in named}
        names = [parameter.name for parameter in kernel.params]
        given = dict(zip(names, arguments, strict=False)) | named
        launches.append(Launch(kernel, given, options))

    original = JITFunction.run
    JITFunction.run = run
    try:
        yield launches
    finally:
        JITFunction.run = original


def cases(dtype: torch.dtype, more: bool) -> Iterator[tuple[str, Callable[[], object]]]:
    """Every launcher with the sizes of the shipped models, as a search calls it; `more`: other options, too."""
    size, words = 300, 24_704

    def real(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=dtype)

    def ids(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.int32)

    gate = (real(2 * size, 2 * size), real(2 * size), real(size, 2 * size), real(size))
    yield "gate_fusion", lambda: gate_fusion(real(9, size), real(9, size), *gate)
    torch.manual_seed(0)
    paper = MimeConfig.paper(11, context_layers=2, attention_depth=160, num_heads=4)
    prior = PriorWeights.pack(Mime(paper).state_dict(), paper, dtype, "cpu")
    keys = torch.zeros(9, dtype=torch.int64)

    def mixed(stochastic: bool) -> object:
        return response_emotion(real(9, size), keys, keys, ids(9), prior, stochastic)

    for stochastic in (True, False)[: 1 + more]:
        yield f"response_emotion stochastic={stochastic}", partial(mixed, stochastic)
    weight, bias = pack_vocab(torch.zeros(24_640, size), torch.zeros(24_640), dtype)
    columns = weight.shape[1]

    def best(rows: int, k: int, suppressed: Tensor | None, banned: Tensor | None) -> object:
        return vocab_topk(real(rows, columns), weight, bias, suppressed, banned, k, ids(-(-rows // 5)))

    for rows, k, bans in ((5120, 10, 1), (5, 10, 0), (1024, 1, 0), (160, 32, 30), (640, 10, 1), (5, 10, 1))[
        : 1 + 5 * more
    ]:
        ban = (torch.zeros(words, dtype=torch.uint8), ids(rows, bans)) if bans else (None, None)
        yield f"vocab_topk N={rows} k={k} bans={bans}", partial(best, rows, k, *ban)
    yield "vocab_logits", lambda: vocab_logits(real(9, columns), weight, bias, ids(9))
    yield "vocab_score", lambda: vocab_score(real(9, columns), weight, bias, ids(9))
    if dtype == torch.float32:  # whatever the weights are
        yield from sampling_cases()
    config = MimeConfig.released(11, num_layers=2) if more else paper
    yield f"decoder_step {config.preset}", decoder_case(config, dtype)
    for config in (paper, MimeConfig.released(11))[: 1 + more]:
        for part in ("context", "response"):
            yield f"encoder {part} {config.preset}", encoder_case(part, config, dtype)
    query, history = real(10, 2, 20), History(ids(10, 17), ids(10, 17), ids(10))
    yield "self_attention", lambda: self_attention(query, real(17, 10, 2, 20), real(17, 10, 2, 20), history, 2)
    masked, memory = torch.zeros((2, 9), dtype=torch.uint8), real(2, 9, 2, 20)
    yield "memory_attention", lambda: memory_attention(query, memory, memory, masked, ids(2))


def sampling_cases() -> Iterator[tuple[str, Callable[[], object]]]:
    """The shipped model's own options and words; then all options, with the words of the released vocabulary."""
    words_fed = torch.zeros(9, 31, dtype=torch.int32)
    draws, history = Draws.empty(9, "cpu"), History(words_fed, words_fed, words_fed[:, 0].contiguous())
    for words, way in (
        (16_128, {"top_p": 0.5, "temperature": 0.6}),
        (16_128, {"top_p": 0.9, "temperature": 1e-3}),
        (16_128, {}),
        (24_704, {"top_k": 40, "top_p": 0.9, "temperature": 0.7, "repetition_penalty": 1.2}),
    ):
        options = GenerationConfig(num_beams=1, do_sample=True, **way)  # type: ignore[arg-type]
        masks = torch.zeros(words, dtype=torch.uint8), torch.zeros(9, 31, dtype=torch.int32)
        logits = torch.zeros(9, words)
        name = f"sample_tokens V={words} {' '.join(f'{key}={value}' for key, value in way.items())}".strip()
        yield name, partial(sample_tokens, logits, draws, history, options, *masks, None, words_fed[:, 0])


def decoder_case(config: MimeConfig, dtype: torch.dtype) -> Callable[[], object]:
    """A step of the decoder, all its layers."""
    weights = DecoderWeights.pack(
        Mime(config).state_dict(), config, dtype, "cpu", 304 if dtype == torch.float32 else 320
    )
    cache = DecoderCache.empty(config, 10, 17, 2, 9, torch.empty(0, dtype=dtype))
    words, ancestry = (torch.zeros((10, 17), dtype=torch.int32) for _ in range(2))
    history = History(words, ancestry, torch.zeros(10, dtype=torch.int32))
    masked, lengths = torch.zeros((2, 9), dtype=torch.uint8), torch.zeros(2, dtype=torch.int32)
    return lambda: decoder_step(history, masked, lengths, weights, (cache,) * config.num_layers, lengths)


def encoder_case(part: str, config: MimeConfig, dtype: torch.dtype) -> Callable[[], object]:
    """The encoder of contexts, from tables of float32, or those of m and m~, from what it gives."""
    size, columns, tensors = config.hidden_size, 304 if dtype == torch.float32 else 320, Mime(config).state_dict()
    encoders = 1 if config.shared_response_encoder else 2
    names, layers, streams = ["context_encoder"], config.num_context_layers, 1
    onward: Tensor | None = torch.zeros(encoders * size, size)
    first, second = torch.zeros(11, size), torch.zeros(7, size)
    if part == "response":
        names, layers, streams, onward = [f"response_encoders.{i}" for i in range(encoders)], config.num_layers, 2, None
        first = torch.zeros(11, size, dtype=dtype)
    weights = EncoderWeights.pack(tensors, config, names, layers, dtype, "cpu", columns, onward)
    rows, (starts, ends) = torch.zeros(streams, 96, dtype=torch.int32), torch.zeros(2, 3, dtype=torch.int32)
    sequences = Sequences(starts, ends, torch.zeros(96, dtype=torch.uint8), 64)
    return lambda: encoder(first, rows, second, rows, sequences, weights)


def main(target: int, chosen: str = "") -> None:
    built = []
    for dtype in TYPES_OF_WEIGHTS:
        for name, launch in cases(dtype, more=dtype == torch.bfloat16):
            if not name.startswith(chosen):
                continue
            with caught() as launches:
                launch()
            assert launches, f"{name} launches nothing"
            case = f"{name} {str(dtype).removeprefix('torch.')}"
            built += [one.build(case, target) for one in launches]
    json.dump([asdict(one) for one in built], sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
