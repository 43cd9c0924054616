"""Philox 4x32-10 in Triton; docs/random.md has the definition."""

# Kernels take pointers and blocks, which Triton gives no types:
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Ten rounds on uint32 words."""
    for _ in tl.static_range(10):
        upper, lower = tl.umulhi(c2, 0xCD9E8D57), c2 * 0xCD9E8D57
        c2, c3 = tl.umulhi(c0, 0xD2511F53) ^ c3 ^ k1, c0 * 0xD2511F53
        c0, c1 = upper ^ c1 ^ k0, lower
        k0 += 0x9E3779B9
        k1 += 0xBB67AE85
    return c0, c1, c2, c3
