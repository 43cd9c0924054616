"""The code blocks of pages in docs/: runs them, compares what they print with what the page shows, or writes that anew.

    python -m tools.docs_blocks docs/tutorial.md docs/how-to/*.md    writes anew what the blocks print

A page's blocks run one after the other in one folder, which has `examples/` and `recipes/`: `python` in one namespace,
`sh` by bash on a terminal of 84 columns without colours. A `text` block after one of them is what it prints on
standard output; a line `...` in it is for any lines. A comment before a block says which package it needs,
`<!-- needs: ray -->`, or why it is never run, `<!-- not run: WHY -->`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mime_fast.extras import installed

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 84  # as many as a block of the site is wide
LANGUAGES = ("python", "sh")
_FENCE = re.compile(
    r"(?:^<!-- (?P<kind>needs|not run): (?P<why>.*?) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```\n"
    r"(?:\n*^```text\n(?P<printed>.*?)^```\n)?",
    re.S | re.M,
)
_RATE = re.compile(r"\d[\d,.]*(?=\s?(?:s|ms|rows/s|tokens/s|it/s|(?:replies |rows |pairs )?(?:a|per) second)\b)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Block:
    """One code block; `line` counts from 1, `printed` is None where the page shows no output."""

    page: str
    line: int
    language: str
    code: str
    printed: str | None
    needs: str = ""
    not_run: str = ""
    span: tuple[int, int] = (0, 0)  # of the output in the page's text


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        if fence["language"] not in LANGUAGES:
            continue
        notes = {fence["kind"]: fence["why"]}
        line = text.count("\n", 0, fence.start("code"))
        found.append(
            Block(
                str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else page.name,
                line,
                fence["language"],
                fence["code"],
                fence["printed"],
                notes.get("needs", ""),
                notes.get("not run", ""),
                fence.span("printed"),
            )
        )
    return found


def lacking(block: Block) -> str:
    """Why a block is not run; empty if it is."""
    if block.needs and not installed(block.needs):
        return f"{block.needs} is not installed"
    return block.not_run


class Runner:
    """Runs the blocks of one page in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "__main__"}
        for name in ("examples", "recipes"):
            (folder / name).symlink_to(ROOT / name)
        programs = folder / ".programs"
        programs.mkdir()
        for name, arguments in (("mime-fast", "-m mime_fast "), ("python", "")):
            (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments}"$@"\n')
            (programs / name).chmod(0o755)

    def run(self, block: Block) -> str:
        """What the block prints. RuntimeError: a command failed; what the code raises is raised."""
        return self._python(block) if block.language == "python" else self._shell(block.code)

    def _python(self, block: Block) -> str:
        output = io.StringIO()
        code = compile("\n" * block.line + block.code, block.page, "exec")
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(output):
            exec(code, self.names)
        return output.getvalue()

    def _shell(self, code: str) -> str:
        leader, follower = pty.openpty()
        environment = {
            **os.environ,
            "PATH": f"{self.folder / '.programs'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": str(COLUMNS),
            "NO_COLOR": "1",
        }
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", code],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=follower,
                stderr=errors,
            )
            os.close(follower)
            printed = b"".join(iter(lambda: _read(leader), b""))
            os.close(leader)
            if process.wait():
                errors.seek(0)
                raise RuntimeError(f"exit code {process.returncode}:\n{code}\n{errors.read().decode()}")
        return printed.decode().replace("\r\n", "\n")


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 65536)
    except OSError:  # Linux: the other end is closed
        return b""


def agrees(printed: str, shown: str) -> bool:
    """Equal but for seconds and rates, and decimals within two units of the last place; `...` is for any lines."""
    pieces = [_lines(piece) for piece in re.split(r"^\.\.\.$\n?", shown, flags=re.M)]
    lines = _lines(printed)
    if len(pieces) == 1:
        return _same(lines, pieces[0])
    head, tail = pieces[0], pieces[-1]
    if len(lines) < len(head) + len(tail) or not _same(lines[: len(head)], head):
        return False
    if tail and not _same(lines[-len(tail) :], tail):
        return False
    place = len(head)
    for piece in pieces[1:-1]:
        starts = range(place, len(lines) - len(tail) - len(piece) + 1)
        place = next((at + len(piece) for at in starts if _same(lines[at : at + len(piece)], piece)), -1)
        if place < 0:
            return False
    return True


def _lines(text: str) -> list[str]:
    return [_RATE.sub("N", line.rstrip()) for line in text.rstrip().split("\n")] if text.strip() else []


def _same(lines: list[str], others: list[str]) -> bool:
    return len(lines) == len(others) and all(_close(*pair) for pair in zip(lines, others, strict=True))


def _close(line: str, other: str) -> bool:
    if _NUMBER.split(line) != _NUMBER.split(other):
        return False
    pairs = zip(_NUMBER.findall(line), _NUMBER.findall(other), strict=True)
    return all(a == b or ("." in a and "." in b and _near(a, b)) for a, b in pairs)


def _near(a: str, b: str) -> bool:
    places = len(a.partition(".")[2])
    return places == len(b.partition(".")[2]) and abs(float(a) - float(b)) <= 2.001 / 10**places


def anew(shown: str, printed: str) -> str:
    """The output to show: as many lines before and after `...` as now, or all of it."""
    lines = [line.rstrip() for line in printed.rstrip().split("\n")]
    if not re.search(r"^\.\.\.$", shown, re.M):
        return "\n".join(lines) + "\n"
    head, *_, tail = re.split(r"^\.\.\.$\n?", shown, flags=re.M)
    first, last = head.count("\n"), tail.count("\n")
    return "\n".join([*lines[:first], "...", *(lines[-last:] if last else [])]) + "\n"


def rewrite(page: Path) -> list[str]:
    """Runs a page and writes its outputs anew; returns what was not run, and why."""
    text, left = page.read_text(encoding="utf-8"), []
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(Path(folder))
        changes = []
        for block in blocks_of(page):
            if reason := lacking(block):
                left.append(f"{block.page}:{block.line}: {reason}")
                continue
            printed = runner.run(block)
            if block.printed is not None and not agrees(printed, block.printed):
                changes.append((block.span, anew(block.printed, printed)))
    for (start, end), shown in reversed(changes):
        text = text[:start] + shown + text[end:]
    page.write_text(text, encoding="utf-8")
    return left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE")
    for page in parser.parse_args().pages:
        print(*rewrite(page.resolve()), sep="\n", end="")


if __name__ == "__main__":
    main()
