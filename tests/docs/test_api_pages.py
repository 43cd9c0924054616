"""The pages of the Python API: what they name is there, and what a documented call returns is on a page, too."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pydoc import locate
from typing import Any

from tools.docs_blocks import ROOT

PAGES = sorted((ROOT / "docs" / "api").glob("*.md"))
ELSEWHERE = {"Any", "Dataset", "DialogueModel", "Iterator", "None", "Self"}  # of Python, of Ray, the reference's model
LITERALS = {"FinishReason", "Polarity"}  # which a page shows as such
ENTRY = re.compile(r"^::: (\S+)\n(?: {4}options:\n((?: {6}.*\n)+))?", re.M)


def entries() -> Iterator[tuple[str, list[str], bool]]:
    """Names with the patterns of members that a page hides, and whether it shows any."""
    for page in PAGES:
        for name, options in ENTRY.findall(page.read_text(encoding="utf-8") + "\n"):
            yield name, re.findall(r'"!([^"]+)"', options) or ["^_"], "members: false" not in options


def callables(name: str, hidden: list[str], shows_members: bool) -> Iterator[tuple[str, Any]]:
    found: Any = locate(name)
    if inspect.isfunction(found):
        yield name, found
    if not shows_members or not (inspect.isclass(found) or inspect.ismodule(found)):
        return
    for member, value in vars(found).items():
        if not any(re.search(pattern, member) for pattern in hidden):
            plain = value.fget if isinstance(value, property) else inspect.unwrap(getattr(value, "__func__", value))
            if inspect.isfunction(plain):
                yield f"{name}.{member}", plain


def test_every_name_is_there() -> None:
    names = [name for name, _, _ in entries()]
    assert len(names) > 20
    assert [name for name in names if locate(name) is None] == []


def test_what_a_documented_call_returns_is_documented() -> None:
    known = {name.rsplit(".", 1)[-1] for name, _, _ in entries()} | ELSEWHERE | LITERALS
    missing = [
        (name, word)
        for entry in entries()
        for name, function in callables(*entry)
        for word in re.findall(r"\b[A-Z]\w+", str(function.__annotations__.get("return", "")))
        if word not in known
    ]
    assert missing == []
