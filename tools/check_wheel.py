"""Installs dist's wheel into a fresh virtual environment with no compiler at hand, and uses what must be in it.

Run `make wheel` first, then `.venv/bin/python tools/check_wheel.py [pip options, such as --extra-index-url URL]`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PROBE = """
import importlib.metadata, pathlib
import mime_fast
from mime_fast import _native

package = pathlib.Path(mime_fast.__file__).parent
assert "site-packages" in package.parts, package
assert (package / "py.typed").is_file() and (package / "_native.pyi").is_file()
assert not list(package.glob("_native_dev*")), "a wheel has what only tests call"
reply = mime_fast.load().generate([["I lost my wallet on the bus."]])[0]
assert reply.text and "torch" not in __import__("sys").modules
files = [str(file) for file in importlib.metadata.files("mime-fast")]
models = sorted({pathlib.PurePath(file).parent for file in files if "pretrained/" in file and "dist-info" not in file})
names = {pathlib.PurePath(file).name for file in files}
assert {"page.html", "page.css", "page.js"} <= names, "the rating page is missing"
assert any(file.endswith("licenses/LICENSE") for file in files), "the code's licence is missing"
for model in models:
    there = {pathlib.PurePath(file).name for file in files if pathlib.PurePath(file).parent == model}
    needed = {"config.json", "generation_config.json", "tokenizer.json", "model.safetensors", "README.md", "LICENSE"}
    assert needed <= there, (model, needed - there)
names = ", ".join(model.name for model in models)
print("mime_fast", importlib.metadata.version("mime-fast"), "with models:", names or "none")
"""


def main() -> None:
    wheels = sorted((ROOT / "dist").glob("mime_fast-*.whl"))
    if len(wheels) != 1:
        sys.exit(f"dist holds {len(wheels)} wheels of mime_fast; run `make clean wheel` first")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"CC": "/bin/false", "CXX": "/bin/false"}
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        install = ["-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), *sys.argv[1:], str(wheels[0])]
        subprocess.run([python, *install], check=True, env=environment)
        subprocess.run([python, "-c", PROBE], check=True, env=environment, cwd=folder)
        subprocess.run([str(Path(folder) / "bin" / "mime-fast"), "--help"], check=True, env=environment, cwd=folder)


if __name__ == "__main__":
    main()
