"""Hooks of mkdocs.yml: the README is the home page, the parsers give the page of commands, and no link leaves the site.

The pages in docs/ link to each other and to other files of the repository as they do on a code host. Files outside
docs/ that they, or the README, link to are published under repository/, and the links follow.
"""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # MkDocs runs this file by its path

from tools.docs_commands import commands_page  # noqa: E402

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

HOME, COMMANDS = "index.md", "commands.md"
OUTSIDE = "repository/"
_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)(?=[)\s#])")
_CODE = re.compile(r"(```.*?^\s*```|`[^`\n]+`)", re.S | re.M)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the home page, the page of commands and all that pages link to outside docs/."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, COMMANDS, content=commands_page()))
    files.append(File.generated(config, HOME, abs_src_path=str(ROOT / "README.md")))
    for path in sorted(linked_outside()):
        files.append(File.generated(config, OUTSIDE + path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links between files of the repository as links between pages of the site."""
    here = page.file.src_uri
    return with_links(markdown, repository_path(here), here)


def repository_path(src_uri: str) -> str:
    """Where the repository has the file of a page."""
    if src_uri == HOME:
        return "README.md"
    return src_uri.removeprefix(OUTSIDE) if src_uri.startswith(OUTSIDE) else f"docs/{src_uri}"


def site_path(path: str) -> str:
    """Where the site has a file of the repository."""
    if path == "README.md":
        return HOME
    return path.removeprefix("docs/") if path.startswith("docs/") else OUTSIDE + path


def with_links(markdown: str, path: str, src_uri: str) -> str:
    """The text of the repository's file `path`, its links as the site's page `src_uri` needs them."""

    def follow(link: re.Match[str]) -> str:
        target = _target(path, link[1])
        return posixpath.relpath(site_path(target), posixpath.dirname(src_uri) or ".")

    return "".join(part if part.startswith("`") else _LINK.sub(follow, part) for part in _CODE.split(markdown))


def linked_outside() -> set[str]:
    """Files outside docs/ that the pages of the site link to, and what those link to in turn."""
    found: set[str] = set()
    left = ["README.md", *(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))]
    while left:
        path = left.pop()
        for target in _links(path):
            if site_path(target).startswith(OUTSIDE) and target not in found and (ROOT / target).is_file():
                found.add(target)
                left += [target] if target.endswith(".md") else []
    return found


def _links(path: str) -> Iterator[str]:
    for part in _CODE.split((ROOT / path).read_text(encoding="utf-8")):
        if not part.startswith("`"):
            yield from (_target(path, link[1]) for link in _LINK.finditer(part))


def _target(path: str, link: str) -> str:
    """The file of the repository that a link in `path` names."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
