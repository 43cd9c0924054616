"""Where the kernels run: on a GPU if there is one, else in Triton's interpreter."""

from __future__ import annotations

import os
import sys

import pytest
import torch

if not torch.cuda.is_available() and "triton" not in sys.modules:
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported, which only the kernels' modules do


@pytest.fixture(scope="session")
def device() -> str:
    """The device of kernels under test."""
    from mime_fast.kernels.tiles import INTERPRETED

    assert INTERPRETED or torch.cuda.is_available(), "Triton was imported before its interpreter was asked for"
    return "cpu" if INTERPRETED else "cuda"
