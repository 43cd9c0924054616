"""Runs a notebook and writes its outputs anew: python -m tools.docs_notebook examples/quickstart.ipynb"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def read(path: Path) -> Any:
    """The notebook as it is kept."""
    import nbformat

    return nbformat.read(path, as_version=4)


def executed(path: Path) -> Any:
    """The notebook with the outputs of a fresh run in its own folder; what a cell raises is raised."""
    from nbclient import NotebookClient

    notebook = read(path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}})
    client.execute(env=environment)
    notebook.metadata.pop("language_info", None)  # names the version of Python
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata.pop("execution", None)  # has the time of day
    return notebook


def outputs(notebook: Any) -> list[str]:
    """What each code cell shows, as plain text."""
    return ["".join(map(_text, cell.outputs)) for cell in notebook.cells if cell.cell_type == "code"]


def _text(output: Any) -> str:
    return str(output.text if output.output_type == "stream" else output.data["text/plain"] + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    given = parser.parse_args()
    import nbformat

    for path in given.notebooks:
        nbformat.write(executed(path.resolve()), path)


if __name__ == "__main__":
    main()
