"""The first thing to see on a GPU: every kernel against its twin, then twelve dialogues against the CPU, and two.

python tools/gpu_smoke.py kernel vocab_topk bfloat16    one kernel
python tools/gpu_smoke.py generate                      one eager `generate` of a small model, for a sanitizer
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402  (the root is in the path only now)
from torch import Tensor  # noqa: E402

from mime_fast.config.generation import GenerationConfig  # noqa: E402
from mime_fast.kernels import plain  # noqa: E402
from mime_fast.kernels.encoder_weights import EncoderWeights  # noqa: E402
from mime_fast.kernels.weights import VOCAB_TILES, DecoderCache, DecoderWeights, PriorWeights, pack_vocab, wide  # noqa: E402
from mime_fast.reference.mime import Mime  # noqa: E402
from tests.kernels.cases import Random, move  # noqa: E402
from tests.parity import BOUNDS  # noqa: E402
from tools.gpu_setting import Setting  # noqa: E402

NAMES = (
    "decoder_step",
    "encoder",
    "vocab_topk",
    "vocab_logits",
    "sample_tokens",
    "vocab_score",
    "gate_fusion",
    "response_emotion",
    "beam_step",
)
PRECISIONS = ("float32", "bfloat16")
ALWAYS_FLOAT32 = ("beam_step", "sample_tokens")
Row = dict[str, Any]


def all_kernels(setting: Setting) -> Iterator[Row]:
    """A row of each kernel and dtype, as they come; each in a process of its own, which compiles for the cache."""
    wanted = [(name, precision) for name in NAMES for precision in PRECISIONS[: 1 if name in ALWAYS_FLOAT32 else 2]]
    dry = ["--dry-run"] * setting.dry
    processes = min(16, os.cpu_count() or 1)

    def run(name: str, precision: str) -> Row:
        if setting.dry and name != NAMES[0]:
            return kernel(setting, name, precision)
        command = [sys.executable, __file__, "kernel", name, precision, *dry]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        lines = done.stdout.strip().splitlines()
        if done.returncode or not lines:
            why = (done.stderr or done.stdout)[-1500:]
            return {"kernel": name, "precision": precision, "result": "failed", "why": why}
        row: Row = json.loads(lines[-1])
        return row

    with ThreadPoolExecutor(1 if setting.dry else processes) as pool:
        for future in [pool.submit(run, *each) for each in wanted]:
            yield future.result()


def kernel(setting: Setting, name: str, precision: str) -> Row:
    """Run it twice, and compare it with its twin in float64: at most twice the twin's own error, and a bound."""
    row: Row = {"kernel": name, "precision": precision}
    if name == "beam_step":
        from tools import gpu_beam_steps

        steps = sum(gpu_beam_steps.check(way, 0, setting.device) for way in gpu_beam_steps.WAYS)
        return {**row, "steps": steps, "result": "passed"}
    dtype: torch.dtype = getattr(torch, precision)
    inputs, call = CASES[name](setting, dtype)
    given = move(inputs, dtype, setting.device)
    times = []
    for _ in range(2):
        begun = time.perf_counter()
        found = call(getattr(setting.ops, name), given)
        if not setting.dry:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    twin = getattr(plain, name)
    usual, exact = call(twin, given), call(twin, move(given, torch.float64, setting.device))
    error, theirs = (_farthest(each, exact) for each in (found, usual))
    allowed = 2 * theirs + BOUNDS[dtype]
    row |= {"error": error, "allowed": allowed, "first s": round(times[0], 2), "then ms": round(times[1] * 1e3, 3)}
    return {**row, "result": "passed" if error <= allowed else "failed"}


def _farthest(found: list[Tensor], exact: list[Tensor]) -> float:
    """NaN counts as infinitely far."""
    pairs = zip(found, exact, strict=True)
    errors = [
        torch.where(one == best, 0.0, (one.double() - best).abs()).nan_to_num(nan=torch.inf) for one, best in pairs
    ]
    return max(float(error.max()) for error in errors)


Case = tuple[Any, Callable[[Callable[..., Any], Any], list[Tensor]]]  # float64 inputs, and what calls an op with them


def _vocab(setting: Setting, dtype: torch.dtype, name: str) -> Case:
    random, config = Random(1), setting.config
    size, words, rows = config.hidden_size, config.vocab_size, 5 if setting.dry else 160
    weight, bias = pack_vocab(random(words, size, scale=2 * size**-0.5), random(words), dtype)
    hidden = torch.nn.functional.pad(random(rows, size), (0, weight.shape[1] - size))
    inputs, active = (hidden, weight.double(), bias.double()), torch.ones(rows // 5, dtype=torch.int32)
    if name == "vocab_topk":
        banned = random.ids(words + 1, rows, 1) - 1
        return (*inputs, banned, active), lambda op, x: [op(*x[:3], None, x[3], 10, x[4])[i] for i in (0, 2)]
    more = random.ids(words, rows) if name == "vocab_score" else active
    return (*inputs, more), lambda op, x: [op(*x)]


def _sample_tokens(setting: Setting, _: torch.dtype) -> Case:
    """The shipped model's options, with a ban in every row."""
    random, rows, words = Random(5), 5 if setting.dry else 160, setting.config.vocab_size
    keys, fed = torch.arange(rows), random.ids(words, rows, 31)
    banned, history = random.ids(words + 1, rows, 31) - 1, plain.History(fed, fed, random.ids(31, rows))
    options = GenerationConfig(num_beams=1, do_sample=True, top_p=0.5, temperature=0.6)
    active = torch.ones(rows, dtype=torch.int32)
    inputs = (random(rows, words, scale=3.0), plain.Draws(keys, keys, keys), history, banned, active)
    return inputs, lambda op, x: list(op(*x[:3], options, None, x[3], None, x[4]))


def _gate_fusion(setting: Setting, _: torch.dtype) -> Case:
    random, size, rows = Random(2), setting.config.hidden_size, 5 if setting.dry else 1000
    shapes = ((rows, size), (rows, size), (2 * size, 2 * size), (2 * size,), (size, 2 * size), (size,))
    return tuple(random(*shape, scale=size**-0.5 if shape[0] != rows else 1.0) for shape in shapes), _plainly


def _response_emotion(setting: Setting, _: torch.dtype) -> Case:
    random, rows = Random(3), 5 if setting.dry else 128
    prior = PriorWeights.pack(_model(setting), setting.config, torch.float64, "cpu")
    keys = torch.arange(rows)
    inputs = (random(rows, setting.config.hidden_size), keys, keys, random.ids(32, rows), prior)
    return inputs, lambda op, x: list(op(*x, True))


def _decoder_step(setting: Setting, dtype: torch.dtype) -> Case:
    """Three steps of two dialogues with five beams, each beam its own parent."""
    random, config, beams = Random(4), setting.config, 5
    state = _model(setting)
    columns = -(-config.hidden_size // VOCAB_TILES[dtype][0]) * VOCAB_TILES[dtype][0]
    words = random.ids(config.vocab_size - 7, 2 * beams, 17) + 7
    memory = [random(2, 9, config.num_heads, config.attention_depth // config.num_heads) for _ in range(2)]

    def call(op: Callable[..., Tensor], given: Any) -> list[Tensor]:
        tensors, words, keys, values, like = given
        full = {name: x.to(wide(like.dtype)) for name, x in zip(state, tensors, strict=True)}
        weights = DecoderWeights.pack(full, config, like.dtype, words.device, columns)
        caches = tuple(DecoderCache.empty(config, 2 * beams, 17, 2, 9, like) for _ in weights.layers)
        for cache in caches:
            cache.memory_keys.copy_(keys)
            cache.memory_values.copy_(values)
        ancestry = (torch.arange(2 * beams, device=words.device) % beams).int()[:, None].expand(-1, 17).contiguous()
        masked = torch.zeros(2, 9, dtype=torch.uint8, device=words.device)
        lengths, active = (torch.tensor(x, dtype=torch.int32, device=words.device) for x in ([9, 4], [1, 1]))
        found = []
        for step in range(3):
            positions = torch.full((2 * beams,), step, dtype=torch.int32, device=words.device)
            found.append(op(plain.History(words, ancestry, positions), masked, lengths, weights, caches, active))
        return found

    return (tuple(state.values()), words, *memory, torch.zeros(1, dtype=torch.float64)), call


def _encoder(setting: Setting, dtype: torch.dtype) -> Case:
    """M and M~ of dialogues of 1 to 120 words, and of none."""
    random, config = Random(6), setting.config
    lengths = torch.tensor([3, 0, 1]) if setting.dry else random.ids(121, 64)
    ends, size = lengths.cumsum(0).int(), config.hidden_size
    rows, starts, state = int(ends[-1]), ends - lengths.int(), _model(setting)
    columns = -(-size // VOCAB_TILES[dtype][0]) * VOCAB_TILES[dtype][0]
    encoders = 1 if config.shared_response_encoder else 2
    names = [f"response_encoders.{i}" for i in range(encoders)]

    def call(op: Callable[..., Any], given: Any) -> list[Tensor]:
        tensors, first, a, second, b, starts, ends, seen = given
        full = {name: x.to(wide(first.dtype)) for name, x in zip(state, tensors, strict=True)}
        made = EncoderWeights.pack(full, config, names, config.num_layers, first.dtype, seen.device, columns)
        return list(op(first, a, second, b, plain.Sequences(starts, ends, seen, 128), made))

    tables = random(40, size), random.ids(40, 2, rows), random(7, size), random.ids(7, 2, rows)
    return (tuple(state.values()), *tables, starts, ends, (random.ids(5, rows) > 0).to(torch.uint8)), call


def _plainly(op: Callable[..., Any], given: Any) -> list[Tensor]:
    return list(op(*given))


def _model(setting: Setting) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return Mime(setting.config).double().state_dict()


CASES: dict[str, Callable[[Setting, torch.dtype], Case]] = {
    **{name: partial(_vocab, name=name) for name in ("vocab_topk", "vocab_logits", "vocab_score")},
    "sample_tokens": _sample_tokens,
    "gate_fusion": _gate_fusion,
    "response_emotion": _response_emotion,
    "decoder_step": _decoder_step,
    "encoder": _encoder,
}


def dialogues(setting: Setting) -> Iterator[Row]:
    """Made-up ones, without graphs, then with them; three times, so that the second call captures.

    Twelve go through the queue, two have graphs of their own.
    """
    import mime_fast
    from benchmarks.tasks import made_up_dialogues
    from tools import gpu_parity

    given, _ = made_up_dialogues(2 if setting.dry else 12)
    lengths: dict[str, Any] = {"max_new_tokens": 3} if setting.dry else {"max_new_tokens": 20}
    cpu = mime_fast.load(device="cpu")
    for graphs in (False, True) if setting.graphs else (False,):
        engine = gpu_parity.on_the_device(setting, "float32", graphs=graphs)
        for name, way in gpu_parity.WAYS.items():
            expected = cpu.generate(given, **way, **lengths)
            for call in ("first", "second", "third") if graphs else ("first",):
                for asked in (given, given[: 1 if setting.dry else 2]):
                    found = engine.generate(asked, **way, **lengths)
                    row = gpu_parity.compare(cpu, asked, found, expected[: len(asked)], name)
                    captures = engine.backend.describe()["cuda_graphs"]
                    yield {"search": name, "call": call, "cuda graphs": captures, **row}
                if graphs and captures != "on" and not setting.dry:
                    yield {"cuda graphs": captures, "result": "failed"}


def one_generate(setting: Setting) -> str:
    """A small model without graphs, all of whose kernels a sanitizer can watch in seconds."""
    from benchmarks.random_mime import random_mime
    from mime_fast.backends.gpu.backend import CudaBackend
    from tools import gpu_speed

    small = Setting.of(True).config
    backend = CudaBackend(random_mime(small).to(setting.device), torch.float32, 3, setting.ops, setting.captures(False))
    found = [gpu_speed.work(small, "beam 5", backend, count)()[1] for count in (5, 3)]  # by the queue, and without it
    return f"replies of {[len(each[0].token_ids) for replies in found for each in replies]} words"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one, generating = commands.add_parser("kernel"), commands.add_parser("generate")
    one.add_argument("name", choices=NAMES)
    one.add_argument("precision", choices=PRECISIONS)
    for each in (one, generating):
        each.add_argument("--dry-run", action="store_true", help="tiny sizes on the CPU")
    given = parser.parse_args()
    setting = Setting.of(given.dry_run)
    if given.command == "generate":
        print(one_generate(setting))
    else:
        print(json.dumps(kernel(setting, given.name, given.precision)))


if __name__ == "__main__":
    main()
