"""Beam steps on random candidates full of ties, compared with the plain twin; few enough for a sanitizer.

compute-sanitizer --tool memcheck python tools/gpu_beam_steps.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mime_fast.config.generation import GenerationConfig
from mime_fast.kernels.beam_state import BeamSizes, BeamState
from mime_fast.kernels.select import device_beam_step, plain_beam_step

VOCABULARY = 50
SLOTS = 7
WAYS = (
    GenerationConfig(num_beams=5, num_return_sequences=5, max_new_tokens=9, no_repeat_ngram_size=2, min_new_tokens=2),
    GenerationConfig(num_beams=5, max_new_tokens=9, search="mime"),
    GenerationConfig(num_beams=1, max_new_tokens=9),
    GenerationConfig(num_beams=40, max_new_tokens=5, length_penalty=0.3),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", dest="device", action="store_const", const="cpu", default="cuda", help="no GPU")
    device = parser.parse_args().device
    steps = sum(check(options, seed, device) for seed in range(2) for options in WAYS)
    print(f"{steps} steps of {len(WAYS)} searches agree with the plain twin on {device}")


def check(options: GenerationConfig, seed: int, device: str) -> int:
    """Steps taken until every search is over; the same candidates go to both."""
    source = torch.Generator().manual_seed(seed)
    sizes = BeamSizes.of(options, VOCABULARY)
    states = [BeamState.empty(sizes, SLOTS, options.length_penalty, place) for place in (device, "cpu")]
    for state in states:
        state.start(torch.arange(SLOTS, device=state.active.device))
    tested = (plain_beam_step if device == "cpu" else device_beam_step)(states[0])
    twin = plain_beam_step(states[1])
    steps = 0
    while int(states[1].live_count):
        offer = candidates(len(states[1].positions), sizes.candidates, source)
        log_probs, ids = offer
        tested(SLOTS, *(x.to(device) for x in (log_probs, ids, 1.5 * log_probs)))
        twin(SLOTS, log_probs, ids, 1.5 * log_probs)
        steps += 1
        for name in ("active", "live", "pool_sizes"):
            one, other = (getattr(state, name).cpu() for state in states)
            assert torch.equal(one, other), f"step {steps}: {name} {one.tolist()} instead of {other.tolist()}"
        _compare_pools(states)
    return steps


def candidates(rows: int, count: int, source: torch.Generator) -> tuple[Tensor, Tensor]:
    """Different words in each row, log-probs out of few values in order."""
    ids = torch.rand(rows, VOCABULARY, generator=source).argsort(dim=1)[:, :count].int()
    values = -torch.randint(1, 5, (rows, count), generator=source).float()
    return values.sort(dim=1, descending=True).values.contiguous(), ids.contiguous()


def _compare_pools(states: list[BeamState]) -> None:
    counts = states[1].pool_counts
    there = torch.arange(counts.shape[1]) < states[1].pool_sizes[:, None]
    for name in ("pool_counts", "pool_sums", "pool_scores"):
        one, other = (getattr(state, name).cpu()[there] for state in states)
        assert torch.equal(one, other), name
    words = torch.arange(states[1].pool_words.shape[2]) < counts[:, :, None]
    for name in ("pool_words", "pool_log_probs"):
        one, other = (getattr(state, name).cpu()[words & there[:, :, None]] for state in states)
        assert torch.equal(one, other), name


if __name__ == "__main__":
    main()
