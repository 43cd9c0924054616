"""The Python of README, the tutorial and the API pages is right for a type checker, as strict as it can be."""

from __future__ import annotations

from pathlib import Path

import mypy.api
import pytest

from tools.docs_blocks import ROOT, blocks_of

PAGES = [ROOT / "README.md", ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "api").glob("*.md"))]
PYTHON = {page: [block for block in blocks_of(page) if block.language == "python"] for page in PAGES}


def checked(folder: Path, sources: dict[str, str]) -> str:
    """What mypy says of some files in a folder that knows the package as an installed one."""
    for name, text in sources.items():
        (folder / name).write_text(text)
    options = ["--strict", "--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    out, err, _ = mypy.api.run([*options, *(str(folder / name) for name in sources)])
    assert err == ""
    return out


def test_blocks_pass_mypy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert PYTHON[ROOT / "README.md"]
    sources = {
        f"{page.stem}_page.py": "".join(block.code for block in blocks) for page, blocks in PYTHON.items() if blocks
    }
    assert "Success" in (out := checked(tmp_path, sources)), out


def test_arrays_are_integers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    source = "import mime_fast\nimport numpy as np\n"
    source += 'mime_fast.load().generate([["Hello!"]], seed=np.arange(1), request_ids=np.arange(1, dtype=np.uint64))\n'
    assert "Success" in (out := checked(tmp_path, {"arrays.py": source})), out


def test_a_wrong_option_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    calls = 'generate([["Hello!"]], num_beams="5")', 'explain(["Hello!"], n=1)'
    source = "import mime_fast\n" + "".join(f"mime_fast.load().{call}\n" for call in calls)
    out = checked(tmp_path, {"wrong.py": source})
    assert 'wrong.py:2: error: Argument "num_beams"' in out
    assert 'wrong.py:3: error: Unexpected keyword argument "n"' in out
