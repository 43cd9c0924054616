"""What the page is made of. tests/evaluation/human/test_browser.py uses it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

from mime_fast.evaluation.human.page import write_page
from mime_fast.evaluation.human.study import Study
from tests.evaluation.human.conftest import AWKWARD


class _Elements(HTMLParser):
    """Elements with their attributes, and what is inside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.raw.append("")

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}", {}))

    def handle_data(self, data: str) -> None:
        if self.found[-1:] and self.found[-1][0] in ("script", "style"):
            self.raw[-1] += data


def page(study: Study) -> str:
    return write_page(study, 1, {"ratings": study.sheets["ratings", 1], "ab": study.sheets["ab", 1]}).decode()


def data_of(text: str) -> Any:
    return json.loads(text.partition('id="data">')[2].partition("</script>")[0])


def test_nothing_comes_from_elsewhere(study: Study) -> None:
    elements = _Elements(page(study))
    assert not [name for tag, attributes in elements.found for name in attributes if name in ("src", "srcset", "href")]
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttp|WebSocket|innerHTML|eval\(", page(study))
    assert [tag for tag, _ in elements.found if tag in ("link", "img", "iframe", "object")] == []


def test_the_policy_allows_this_script_and_style_alone(study: Study) -> None:
    elements = _Elements(page(study))
    policy = next(attributes["content"] for tag, attributes in elements.found if "http-equiv" in attributes)
    style, _, script = elements.raw
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)]
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; base-uri 'none'; "
        "form-action 'none'"
    )


def test_texts_cannot_leave_their_block(study: Study) -> None:
    text = page(study)
    assert AWKWARD not in text and "<b>no" not in text and text.count("</script>") == 2
    rows = data_of(text)["parts"][0]["rows"]
    assert all(AWKWARD in row["turns"][0][1] and AWKWARD in row["replies"]["reply"] for row in rows)


def test_braces_in_a_dialogue_stay(study: Study) -> None:
    study.instances[0].context[0] = "{{data}} {{style}} {{x"
    assert {"{{data}} {{style}} {{x"} <= {row["turns"][0][1] for row in data_of(page(study))["parts"][0]["rows"]}


def test_a_page_of_one_part(study: Study) -> None:
    data = data_of(write_page(study, 4, {"ratings": [], "ab": study.sheets["ab", 4][:2]}).decode())
    assert [(part["kind"], part["file"], len(part["rows"])) for part in data["parts"]] == [("ab", "ab-4.csv", 2)]
