"""Philox 4x32-10 and its normals in plain PyTorch, on any device; docs/random.md has the definition."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mime_fast.reference.philox import BLOCK_BITS, PURPOSE_BITS, Purpose

STEP_SHIFT, SEQUENCE_SHIFT, TOKEN = BLOCK_BITS, PURPOSE_BITS, int(Purpose.TOKEN)
ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
LOW = 0xFFFFFFFF


def philox4x32(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Ten rounds on words from 0 to 2^32 - 1 held in int64, broadcast against each other: four words.

    A product of two words wraps around in int64, but its 64 bits are right, and nothing else is read of it.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        first, second = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1 = ((second >> 32) & LOW) ^ c1 ^ k0, second & LOW
        c2, c3 = ((first >> 32) & LOW) ^ c3 ^ k1, first & LOW
        k0, k1 = (k0 + WEYL[0]) & LOW, (k1 + WEYL[1]) & LOW
    return c0, c1, c2, c3


def standard_normal(seeds: Tensor, request_ids: Tensor, purpose: int, size: int) -> Tensor:
    """Normals of step 0 and sequence 0, float64 [B, size].

    Args:
        seeds, request_ids: the bits of unsigned 64-bit integers, int64 [B].
        purpose: below 2^8.
        size: numbers a request.
    """
    blocks = torch.arange(-(-size // 4), device=seeds.device)[None]
    seed, request = seeds[:, None], request_ids[:, None]
    words = philox4x32(
        (blocks, torch.full_like(blocks, purpose), request & LOW, (request >> 32) & LOW),
        (seed & LOW, (seed >> 32) & LOW),
    )
    u = [((word >> 9).double() + 0.5) * 2.0**-23 for word in words]  # each [B, blocks]
    normals = []
    for a, b in ((u[0], u[1]), (u[2], u[3])):
        radius, angle = torch.sqrt(-2.0 * torch.log(a)), 2.0 * math.pi * b
        normals += [radius * torch.cos(angle), radius * torch.sin(angle)]
    return torch.stack(normals, dim=-1).flatten(1)[:, :size]


def gumbel(seeds: Tensor, request_ids: Tensor, sequences: Tensor, steps: Tensor, size: int) -> Tensor:
    """Gumbel numbers of the tokens 0 to size - 1, float64 [N, size].

    Args:
        seeds, request_ids: the bits of unsigned 64-bit integers, int64 [N].
        sequences, steps: int64 [N].
    """
    blocks = torch.arange(-(-size // 4), device=steps.device)[None]
    seed, request = seeds[:, None], request_ids[:, None]
    words = philox4x32(
        (
            (steps[:, None] << STEP_SHIFT) | blocks,
            (sequences[:, None] << SEQUENCE_SHIFT) | TOKEN,
            request & LOW,
            (request >> 32) & LOW,
        ),
        (seed & LOW, (seed >> 32) & LOW),
    )
    uniforms = torch.stack([((word >> 9).double() + 0.5) * 2.0**-23 for word in words], dim=-1)  # [N, blocks, 4]
    return -torch.log(-torch.log(uniforms.flatten(1)[:, :size]))
