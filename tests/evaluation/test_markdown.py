"""Texts in Markdown."""

from __future__ import annotations

import pytest

from mime_fast.evaluation.markdown import item, safe


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("~~free~~ &copy; $x$", r"\~\~free\~\~ \&copy; \$x\$"),
        ("*a* _b_ `c` [d](e) <f> #g |", r"\*a\* \_b\_ \`c\` \[d\](e) \<f\> \#g \|"),
        ("a\\*b\nc\x1b[0m", r"a\\\*b c\\x1b\[0m"),
        ("it's 5 % off: (yes), no!", "it's 5 % off: (yes), no!"),
    ],
)
def test_text_stays_as_it_is(text: str, expected: str) -> None:
    assert safe(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+ mimicry: x", r"- \+ mimicry: x"),
        ("- x", r"- \- x"),
        ("-", r"- \-"),
        ("1. MIME: x", r"- 1\. MIME: x"),
        ("12) MIME", r"- 12\) MIME"),
        ("1.5 MIME", "- 1.5 MIME"),
        ("MIME - 1. x", "- MIME - 1. x"),
        ("+mimicry", "- +mimicry"),
    ],
)
def test_an_item_is_no_list_of_its_own(text: str, expected: str) -> None:
    assert item(text) == expected
