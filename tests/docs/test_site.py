"""The hooks of the site: the page of commands, and links that stay within it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mime_fast.cli.main import COMMANDS
from tools.docs_commands import commands_page
from tools.docs_site import ROOT, linked_outside, repository_path, site_path, with_links


def test_the_page_of_commands_has_every_command_and_option() -> None:
    page = commands_page()
    assert [f"mime-fast {command.name}" for command in COMMANDS] == re.findall(r"^## (.*)$", page, re.M)
    assert "### mime-fast plot embeddings" in page
    generate = page.split("## mime-fast generate")[1].split("\n## ")[0]
    for shown in ("usage: mime-fast generate", "`--num-beams N`", "`-o, --out OUT`", "mime-fast generate examples/"):
        assert shown in generate
    assert "%(" not in page
    assert not re.search(r"\| `[^`]*[^\\]\|[^`]*` \|", page)  # a bar within a cell ends it


@pytest.mark.parametrize(
    ("path", "src_uri", "link", "expected"),
    [
        ("docs/cli.md", "cli.md", "corpora.md#input", "corpora.md#input"),
        ("docs/api/engine.md", "api/engine.md", "../corpora.md", "../corpora.md"),
        (
            "docs/engine.md",
            "engine.md",
            "../benchmarks/results/cpu-avx2.md",
            "repository/benchmarks/results/cpu-avx2.md",
        ),
        ("README.md", "index.md", "docs/gpu.md", "gpu.md"),
        ("README.md", "index.md", "https://arxiv.org/abs/2010.01454", "https://arxiv.org/abs/2010.01454"),
        ("CONTRIBUTING.md", "repository/CONTRIBUTING.md", "docs/random.md", "../random.md"),
        ("examples/README.md", "repository/examples/README.md", "../README.md", "../../index.md"),
    ],
)
def test_links_follow_their_files(path: str, src_uri: str, link: str, expected: str) -> None:
    assert with_links(f"see [it]({link}).", path, src_uri) == f"see [it]({expected})."
    assert repository_path(src_uri) == path and site_path(path) == src_uri


def test_code_is_no_link() -> None:
    text = "`[a](../b.md)` and\n\n```\n[a](../b.md)\n```\n"
    assert with_links(text, "docs/cli.md", "cli.md") == text


def test_all_that_pages_link_to_is_published() -> None:
    found = linked_outside()
    assert {"benchmarks/results/cpu-avx512.md", "benchmarks/results/cpu-avx512.png"} <= found
    assert all((ROOT / path).is_file() for path in found)


def test_every_page_is_in_the_navigation() -> None:
    named = set(re.findall(r"[\w/.-]+\.md", Path(ROOT / "mkdocs.yml").read_text()))
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert pages | {"index.md", "commands.md"} == named
