"""Threads that begin when there is no memory left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.native.random_models import SANITIZED

# The threads of the first call leave their stacks to those of the second, which begin though the memory is used up.
SCRIPT = """
import resource, sys
from mime_fast.config.model import MimeConfig
from tests.native.random_models import SMALL, native_model, random_dialogues, random_tensors, running

config = MimeConfig.paper(60, **SMALL)
model, asked = native_model(config, random_tensors(config)), random_dialogues(config, [20] * 64)
expected, kept, size = model.classify(asked.contexts, **running(3)).tolist(), [], 1 << 24
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used, hard))
while size >= int(sys.argv[1]):
    try:
        kept.append(bytearray(size))
    except MemoryError:
        size //= 2
try:
    found = model.classify(asked.contexts, **running(3))
except MemoryError:
    found = None
kept.clear()
resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
assert found is None or found.tolist() == expected
"""


@pytest.mark.skipif(SANITIZED or sys.platform != "linux", reason="memory cannot be limited as it is here")
@pytest.mark.parametrize("left", [4096, 16_384])  # bytes in one piece, about
def test_a_thread_without_memory_never_ends_the_process(left: int) -> None:
    command = [sys.executable, "-c", SCRIPT, str(left)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
