"""Installs dist's wheel into a fresh virtual environment with no compiler at hand, and uses what must be in it.

Run `make wheel` first, then `.venv/bin/python tools/check_wheel.py [pip options, such as --extra-index-url URL]`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterable
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
assert reply.text and mime_fast.load().reranker is not None and "torch" not in __import__("sys").modules
files = [str(file) for file in importlib.metadata.files("mime-fast")]
names = {pathlib.PurePath(file).name for file in files}
assert {"page.html", "page.css", "page.js"} <= names, "the rating page is missing"
assert any(file.endswith("licenses/LICENSE") for file in files), "the code's licence is missing"
models = sorted(folder.name for folder in (package / "pretrained").iterdir())
print("mime_fast", importlib.metadata.version("mime-fast"), "with models:", ", ".join(models) or "none")
"""


def lacking(packed: Iterable[str]) -> list[str]:
    """What models in this tree have, and a wheel of these files has not."""
    needed = [path for path in (ROOT / "mime_fast" / "pretrained").rglob("*") if path.is_file()]
    return sorted({path.relative_to(ROOT).as_posix() for path in needed} - set(packed))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    _, options = parser.parse_known_args()
    wheels = sorted((ROOT / "dist").glob("mime_fast-*.whl"))
    if len(wheels) != 1:
        sys.exit(f"dist holds {len(wheels)} wheels of mime_fast; run `make clean wheel` first")
    with zipfile.ZipFile(wheels[0]) as wheel:
        if missing := lacking(wheel.namelist()):
            sys.exit(f"{wheels[0].name} lacks {', '.join(missing)}")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"CC": "/bin/false", "CXX": "/bin/false"}
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        install = ["-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), *options, str(wheels[0])]
        subprocess.run([python, *install], check=True, env=environment)
        subprocess.run([python, "-c", PROBE], check=True, env=environment, cwd=folder)
        subprocess.run([str(Path(folder) / "bin" / "mime-fast"), "--help"], check=True, env=environment, cwd=folder)


if __name__ == "__main__":
    main()
