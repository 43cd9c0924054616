"""The CPU engine neither imports PyTorch nor needs it; what does need it says how to install it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HIDDEN = """
import importlib.abc, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "triton", "sympy"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {"torch", "triton"} else real(name, package)
"""
EVERYTHING = """
import json, pathlib, sys
import mime_fast
from mime_fast.cli.main import main
from mime_fast.engine.explanation import explain

folder, rows, out = map(pathlib.Path, sys.argv[1:])
for precision in ("float32", "bfloat16", "int8"):
    engine = mime_fast.load(folder, precision=precision)
    assert engine.describe()["backend"] == "native"
    engine.generate([["rain ."]])
    engine.generate([["rain ."]], num_beams=2, do_sample=False)
    list(engine.generate_iter([["rain ."]] * 3, window=1))
    engine.score([["rain ."]], ["bread ."])
    engine.classify([["rain ."]])
    explain(engine, ["rain ."])
common = ["--model", str(folder)]
for argv in (
    ["generate", str(rows), str(out / "replies.jsonl"), *common],
    ["score", str(rows), str(out / "scores.parquet"), *common],
    ["classify", str(rows), str(out / "emotions.jsonl"), *common],
    ["explain", "rain .", *common],
    ["chat", *common],
    ["info", *common],
):
    assert main(argv) == 0, argv
print(json.dumps([name for name in sys.modules if name.partition(".")[0] in {"torch", "triton", "sympy"}]))
"""

EVERY_MODULE = """
import json, pkgutil
import mime_fast
from mime_fast.errors import MissingPackage

imported, refused, other = 0, 0, {}
for module in pkgutil.walk_packages(mime_fast.__path__, "mime_fast.", onerror=lambda name: None):
    if module.name == "mime_fast.__main__" or module.name.startswith("mime_fast._cuda"):
        continue
    try:
        importlib.import_module(module.name)
        imported += 1
    except MissingPackage as error:
        assert "pip install 'mime-fast[" in str(error)
        refused += 1
    except ImportError as error:
        other[module.name] = str(error)
print(json.dumps({"imported": imported, "refused": refused, "other": other}))
"""


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    row = {"context": ["rain ."], "response": "bread ."}
    path.write_text("".join(json.dumps({"id": i, **row}) + "\n" for i in range(3)))
    return path


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, input="rain .\n/quit\n", timeout=120
    )


@pytest.mark.parametrize("hidden", ["", HIDDEN], ids=["installed", "absent"])
def test_nothing_of_the_native_path_imports_torch(hidden: str, model_folder: Path, rows: Path, tmp_path: Path) -> None:
    done = run(hidden + EVERYTHING, model_folder, rows, tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert "torch           PyTorch is not installed" in done.stdout or not hidden


@pytest.mark.parametrize(
    ("work", "extra"),
    [
        ("mime_fast.load(folder, backend='reference')", "torch"),
        ("mime_fast.load(folder, precision='float64')", "torch"),
        ("mime_fast.load(folder, device='cuda')", "torch"),
        ("mime_fast.load(folder, backend='cuda')", "torch"),
        ("mime_fast.load(folder, precision='float16')", "torch"),
        ("mime_fast.load(folder).model", "torch"),
        ("import mime_fast.training", "torch"),
        ("import mime_fast.kernels", "torch"),
        ("import mime_fast.checkpoints.convert", "torch"),
        ("import mime_fast.reference.mime", "torch"),
    ],
)
def test_what_needs_torch_says_which_extra(work: str, extra: str, model_folder: Path) -> None:
    """Quoted, since a bracket alone is a pattern for zsh."""
    program = f"{HIDDEN}\nimport sys, mime_fast\nfolder = sys.argv[1]\n{work}\n"
    done = run(program, model_folder)
    assert done.returncode == 1
    assert f"(pip install 'mime-fast[{extra}]')" in done.stderr.splitlines()[-1]


def test_every_module_can_be_imported_or_says_which_extra() -> None:
    program = HIDDEN + EVERY_MODULE
    done = run(program)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("other") == {}
    assert found["imported"] > 100 and found["refused"] > 20  # both kinds were met


@pytest.mark.parametrize(
    "argv",
    [
        ["train", "--recipe", "recipe.toml", "--data", ".", "--out", "o"],
        ["evaluate", "--data", "."],
        ["convert", "x.pt", "--vocab", "v.json", "out"],
        ["generate", "-", "--backend", "reference"],
        ["generate", "-", "--device", "cuda"],
    ],
    ids=lambda argv: argv[0],
)
def test_a_command_that_needs_torch_says_which_extra(argv: list[str]) -> None:
    program = f"{HIDDEN}\nimport sys\nfrom mime_fast.cli.main import main\nsys.exit(main({argv!r}))"
    done = run(program)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("mime-fast: error: ")
    assert "pip install 'mime-fast[torch]'" in done.stderr
