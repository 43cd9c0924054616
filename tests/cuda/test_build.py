"""Every .cu compiles by itself for the GPUs of the build; the extension knows what its stub names."""

from __future__ import annotations

import ast
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "csrc" / "cuda").glob("*.cu"))
HEADERS = sorted((ROOT / "csrc" / "include" / "mime_fast").glob("*.h"))


def nvcc() -> str:
    """The compiler that setup.py would take."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    places = [Path(home) / "bin" / "nvcc"] if home else [Path(shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc")]
    found = next((str(place) for place in places if place.is_file()), None)
    if found is None:
        pytest.skip("no nvcc here (CUDA_HOME, PATH, /usr/local/cuda)")
    return found


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_nvcc_compiles_each_file_alone(source: Path, tmp_path: Path) -> None:
    known = subprocess.run([nvcc(), "--list-gpu-arch"], capture_output=True, text=True, check=True).stdout.split()
    codes = [f"-gencode=arch=compute_{n},code=sm_{n}" for n in (80, 90, 100) if n < 100 or "compute_100" in known]
    command = [nvcc(), "-std=c++17", f"-I{ROOT}/csrc/include", "-Werror=all-warnings", *codes, "-c", str(source)]
    done = subprocess.run([*command, "-o", str(tmp_path / "object.o")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("header", [header for header in HEADERS if "beam" in header.name], ids=lambda path: path.name)
def test_headers_compile_alone(header: Path, tmp_path: Path) -> None:
    """With the compiler of the CPU, but for those that name CUDA's types."""
    compiler = nvcc() if "cuda" in header.name else shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler here")
    source = tmp_path / "alone.cpp"
    source.write_text(f'#include "mime_fast/{header.name}"\n')
    command = [compiler, "-std=c++17", f"-I{ROOT}/csrc/include", "-c", str(source), "-o", str(tmp_path / "object.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_there_is_something_to_compile() -> None:
    assert [source.name for source in SOURCES] == ["beam_step.cu"]


def test_the_stub_names_what_the_extension_has() -> None:
    try:
        extension = importlib.import_module("mime_fast._cuda")
    except ImportError as error:
        pytest.skip(f"mime_fast._cuda is not built ({error})")
    tree = ast.parse((ROOT / "mime_fast" / "_cuda.pyi").read_text())
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    declared = {
        node.target.id for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert defined | declared == {name for name in vars(extension) if not name.startswith("_")}
    assert extension.architectures == "sm_80 sm_90"
    assert isinstance(extension.why_not(), str)


def test_an_old_setuptools_builds_in_place_and_says_what_an_installation_needs() -> None:
    """It cannot read pyproject.toml's licence; a machine without a network may have no newer one."""
    program = """
import runpy, subprocess, sys, setuptools
setuptools.__version__ = "68.2.2"
def run(command, **_):
    print("ninja is asked for", *command)
    raise SystemExit(0)
subprocess.run = run
sys.argv = ["setup.py", *sys.argv[1:]]
runpy.run_path("setup.py")
"""
    done = {
        name: subprocess.run(
            [sys.executable, "-c", program, *name.split()], cwd=ROOT, capture_output=True, text=True, check=False
        )
        for name in ("build_ext --inplace", "bdist_wheel")
    }
    building, installing = done.values()
    assert building.returncode == 0 and "ninja is asked for" in building.stdout, building.stderr
    assert installing.returncode != 0
    assert "setuptools 68.2.2: 77 or newer is needed to install mime_fast" in installing.stderr
