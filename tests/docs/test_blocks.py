"""Every Python and shell block of the tutorial and the how-tos, and what they show; and the runner that does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.docs_blocks import LANGUAGES, ROOT, Block, Runner, agrees, anew, blocks_of, lacking, rewrite

PAGES = [
    ROOT / "README.md",
    ROOT / "docs" / "tutorial.md",
    *(ROOT / "docs" / name for name in ("cli.md", "evaluation.md")),
    ROOT / "docs" / "api" / "corpora.md",
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
]
BLOCKS = [block for page in PAGES for block in blocks_of(page)]


@pytest.fixture(scope="module")
def runners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runner]:
    return {page: Runner(tmp_path_factory.mktemp("page")) for page in dict.fromkeys(block.page for block in BLOCKS)}


@pytest.mark.parametrize("block", BLOCKS, ids=[f"{Path(block.page).stem}-{block.line}" for block in BLOCKS])
def test_a_block_prints_what_its_page_shows(block: Block, runners: dict[str, Runner]) -> None:
    if reason := lacking(block):
        pytest.skip(reason)
    printed = runners[block.page].run(block)
    assert block.printed is None or agrees(printed, block.printed), (
        f"{block.page}, line {block.line} prints:\n{printed}\nand the page shows:\n{block.printed}\n"
        f"python -m tools.docs_blocks {block.page} writes it anew"
    )


def test_every_block_is_found() -> None:
    for page in PAGES:
        fences = [line for line in page.read_text().splitlines() if line.removeprefix("```") in LANGUAGES]
        assert len(fences) == len(blocks_of(page)), page
    assert len([block for block in BLOCKS if not block.not_run]) >= 40


PAGE = """# A page

```python
word = "one"
print(word, 1 / 3)
```

```text
one 0.33
```

<!-- needs: no_such_package -->
```python
import no_such_package
```

<!-- not run: it would fail -->
```sh
exit 3
```

```sh
test -t 1 && echo "a terminal, $COLUMNS columns"
printf '1\\n2\\n3\\n4\\n' | tee numbers
```

```text
a terminal, 84 columns
...
4
```
"""


def test_a_page_is_run_in_order_and_written_anew(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    blocks = blocks_of(page)
    assert [(block.line, block.language, bool(lacking(block))) for block in blocks] == [
        (3, "python", False),
        (13, "python", True),
        (18, "sh", True),
        (22, "sh", False),
    ]
    assert rewrite(page) == ["page.md:13: no_such_package is not installed", "page.md:18: it would fail"]
    assert page.read_text() == PAGE.replace("one 0.33\n", "one 0.3333333333333333\n")


def test_what_fails_is_raised_with_what_it_said(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    with pytest.raises(RuntimeError, match=r"(?s)exit code 2:.*MODEL.*no model at 'nowhere'"):
        runner.run(Block("page.md", 1, "sh", "MODEL=nowhere; mime-fast info --model $MODEL | cat\n", None))
    with pytest.raises(ZeroDivisionError):
        runner.run(Block("page.md", 1, "python", "1 / 0\n", None))


@pytest.mark.parametrize(
    ("printed", "shown", "same"),
    [
        ("a 1.25 b\n", "a 1.27 b\n", True),
        ("a 1.25 b\n", "a 1.28 b\n", False),
        ("a 12 b\n", "a 13 b\n", False),
        ("in 0.7 s (17 rows/s)\n", "in 12.1 s (2 rows/s)\n", True),
        ("a\nb\nc\n", "a\n...\n", True),
        ("a\nb\nc\nd\n", "a\n...\nc\n...\nd\n", True),
        ("a\nb\nd\n", "a\n...\nc\n...\nd\n", False),
        ("a\n", "a\n...\na\n", False),
        ("", "a\n", False),
        ("a \n\n", "a\n", True),
    ],
)
def test_what_agrees(printed: str, shown: str, same: bool) -> None:
    assert agrees(printed, shown) is same


def test_output_written_anew_keeps_what_is_left_out() -> None:
    assert anew("x\n...\ny\n", "1\n2\n3\n4\n") == "1\n...\n4\n"
    assert anew("x\n...\n", "1\n2\n3\n") == "1\n...\n"
    assert anew("x\n", "1\n2\n") == "1\n2\n"
