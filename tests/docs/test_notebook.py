"""The notebook of the examples runs, and shows what it keeps."""

from __future__ import annotations

import pytest

from tools.docs_blocks import ROOT, agrees
from tools.docs_notebook import executed, outputs, read

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


def test_the_notebook_shows_what_it_keeps() -> None:
    for module in ("nbclient", "ipykernel"):
        pytest.importorskip(module)
    kept, found = outputs(read(NOTEBOOK)), outputs(executed(NOTEBOOK))
    assert len(kept) >= 5 and any(kept)
    for number, (shown, printed) in enumerate(zip(kept, found, strict=True)):
        assert agrees(printed, shown), (
            f"code cell {number} shows:\n{printed}\nand is kept with:\n{shown}\n"
            f"python -m tools.docs_notebook examples/{NOTEBOOK.name} writes it anew"
        )


def test_the_notebook_is_small_and_names_no_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 100_000
    assert str(ROOT) not in text and '"execution"' not in text and "language_info" not in text
