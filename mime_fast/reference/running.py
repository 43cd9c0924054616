"""How this package lets PyTorch compute: no gradients, a number of threads, and safely in a forked child."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import mime_fast.needs_torch

import torch

# The process that imported this module. PyTorch's threads do not follow into a forked child, which would wait for them
# for ever: a child computes on the one thread that it has.
_parent = os.getpid()


@contextmanager
def torch_running(threads: int | None) -> Iterator[None]:
    """No gradients, and this number of threads (None: PyTorch's own), while the block runs."""
    with torch_threads(threads), torch.inference_mode():
        yield


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """This number of threads (None: PyTorch's own) while the block runs; one in a forked child."""
    before = torch.get_num_threads()
    # Setting it is process-wide: a thread that came while another one had it set must not set it back to that.
    wanted = 1 if os.getpid() != _parent else before if threads is None else threads
    if wanted != before:
        torch.set_num_threads(wanted)
    try:
        yield
    finally:
        if wanted != before:
            torch.set_num_threads(before)
