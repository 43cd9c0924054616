"""What `import mime_fast` gives, and what it does not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mime_fast


def test_every_public_name_is_there() -> None:
    everything: dict[str, object] = {}
    exec("from mime_fast import *", everything)
    del everything["__builtins__"]
    assert set(everything) == set(mime_fast.__all__) == set(dir(mime_fast))
    wanted = {"load", "tokenize", "Engine", "Reply", "Reading", "Columns", "MimeFastError", "__version__"}
    assert wanted <= set(everything)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'mime_fast' has no attribute 'lod'"):
        mime_fast.lod  # noqa: B018 - the look-up is what fails


def test_the_import_alone_is_light() -> None:
    program = (
        "import sys, mime_fast; print(*sorted({'torch', 'numpy', 'tokenizers', 'safetensors'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.split() == []
