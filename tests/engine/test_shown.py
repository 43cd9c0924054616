"""Results and engines that show themselves: repr, HTML, JSON, the likeliest emotions; explain; progress."""

from __future__ import annotations

import html.parser
import inspect
import json
import re
from dataclasses import replace
from typing import Any

import pytest

import mime_fast
from mime_fast.engine.engine import Engine
from mime_fast.engine.explanation import Explanation, explain
from mime_fast.engine.html import answer_html
from mime_fast.engine.load import LoadOptions
from mime_fast.engine.records import record
from mime_fast.engine.results import Candidate, Classification, EmotionMixture, Reply, Score
from mime_fast.errors import ConfigError
from tests.engine.conftest import DIALOGUES

PROBS = dict.fromkeys(mime_fast.EMOTIONS, 0.01) | {"sad": 0.5, "angry": 0.19}
MIXTURE = EmotionMixture({"joyful": 0.75, "proud": 0.25, "caring": 0.0}, {"sad": 1.0}, "negative", 0.625)


def candidate(text: str) -> Candidate:
    return Candidate(text, text.split(), [7] * len(text.split()), [-0.5], -0.5, -0.25, "eos")


REPLY = Reply([candidate("i am sorry <b>&")], "sad", PROBS, MIXTURE)
SCORE = Score(["oh", "no"], [-1.0, -2.0, -3.0], "sad", PROBS, MIXTURE)
CLASSIFIED = Classification("sad", PROBS, "negative")
EXPLANATION = Explanation([["my"]], [[0.5]], REPLY, "sad", mimicry=True)


def test_reprs_are_short() -> None:
    assert repr(REPLY) == "Reply('i am sorry <b>&', emotion='sad' (50%), mimics='negative' (62%), score=-0.250)"
    assert repr(SCORE) == (
        "Score(perplexity=7.39, logprob=-6.000, 2 tokens, emotion='sad' (50%), mimics='negative' (62%))"
    )
    assert repr(CLASSIFIED) == "Classification(emotion='sad' (50%), polarity='negative')"
    assert repr(MIXTURE) == (
        "EmotionMixture(polarity='negative', mimic_share=0.625, "
        "positive={'joyful': 0.750, 'proud': 0.250, ...}, negative={'sad': 1.000})"
    )
    long = Reply([candidate("word " * 50), candidate("no")], "sad", PROBS, None)
    assert len(repr(long)) < 140 and repr(long).endswith("...', emotion='sad' (50%), score=-0.250, 2 candidates)")


def test_the_likeliest_emotions_by_name() -> None:
    for answer in (REPLY, SCORE, CLASSIFIED):
        assert answer.top(2) == [("sad", 0.5), ("angry", 0.19)] and len(answer.top(40)) == 32
        assert answer.emotion_probs["angry"] == 0.19 and answer.polarity == "negative"
    assert MIXTURE.top(1) == [("sad", 1.0)] and MIXTURE.top(2, "positive") == [("joyful", 0.75), ("proud", 0.25)]


@pytest.mark.parametrize("count", [-1, "x", 1.0, True])
def test_a_count_is_an_integer(count: Any) -> None:
    for call in (REPLY.top, SCORE.top, CLASSIFIED.top, MIXTURE.top):
        with pytest.raises(ConfigError, match=f"k={count!r}: must be an integer of 0 or more"):
            call(count)
    for answer in (REPLY, SCORE, CLASSIFIED, EXPLANATION):
        for wrong in (count, 33):
            with pytest.raises(ConfigError, match=f"top_emotions={wrong!r}: must be an integer of 0 to 32"):
                answer.to_dict(wrong)


def test_a_group_is_one_of_the_two() -> None:
    for group in ("foo", "", 0, ["positive"]):
        with pytest.raises(ConfigError, match=re.escape(f"group={group!r}: must be one of positive, negative")):
            MIXTURE.top(2, group)  # type: ignore[arg-type]


def test_without_mimicry_nothing_is_mimicked() -> None:
    mixture = replace(MIXTURE, polarity=None)
    assert mixture.top(2) == [("sad", 1.0), ("joyful", 0.75)] and mixture.top(2, "negative") == [("sad", 1.0)]
    for answer in (replace(REPLY, mixture=mixture), replace(SCORE, mixture=mixture)):
        assert "mimic" not in repr(answer) and "mimicked" not in Checked(answer._repr_html_()).words
        assert answer.to_dict()["mixture"]["polarity"] is None


def test_to_dict_is_what_the_command_line_writes() -> None:
    assert REPLY.to_dict() == record(REPLY, top_emotions=3) and len(REPLY.to_dict()["emotion_probs"]) == 3
    assert SCORE.to_dict(5) == record(SCORE, top_emotions=5)
    assert CLASSIFIED.to_dict() == record(CLASSIFIED) and len(CLASSIFIED.to_dict()["emotion_probs"]) == 32
    json.dumps([REPLY.to_dict(), SCORE.to_dict(), CLASSIFIED.to_dict()], allow_nan=False)


class Checked(html.parser.HTMLParser):
    """Tags that are closed in their order, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("div", "table", "tr", "td", "span", "b", "i", "sub")
        assert [name for name, _ in attrs] in ([], ["style"])
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_html_is_escaped_and_leaves_the_pages_colours() -> None:
    for answer in (REPLY, SCORE, CLASSIFIED, Reply([candidate("a")], "sad", PROBS, None)):
        text = answer._repr_html_()
        assert "sad50.0 %" in Checked(text).words
        assert not re.search(r"(?<!-)\bcolor:", text) and "http" not in text and "<script" not in text
    page = Checked(answer_html(REPLY)).words
    assert "i am sorry <b>&" in page and "joyful75.0 %" in page and "62.5 % of the gate" in page
    assert "caring" not in page and "and 1 below 0.05 %" in page
    assert "perplexity 7.39" in Checked(SCORE._repr_html_()).words


def test_an_engine_shows_what_it_is(engine: Engine) -> None:
    facts = engine.describe()
    assert repr(engine).startswith(f"Engine({engine.name!r}, backend={facts['backend']!r}, device='cpu', precision=")
    assert len(repr(engine)) < 120 + len(engine.name)
    page = Checked(engine._repr_html_()).words
    assert f"precision{facts['precision']}" in page and f"vocab_size{facts['vocab_size']}" in page


def test_explain_is_a_call_of_the_engine(engine: Engine) -> None:
    found = engine.explain(DIALOGUES[1], seed=3, num_beams=2, stochastic=False)
    assert found == explain(engine, DIALOGUES[1], seed=3, stochastic=False, search={"num_beams": 2})
    (reply,) = engine.generate([DIALOGUES[1]], seed=3, num_beams=2, stochastic=False)
    assert found.reply.token_ids == reply.token_ids
    with pytest.raises(ConfigError, match="num_beam=2: no option of this name; did you mean num_beams"):
        engine.explain(DIALOGUES[1], num_beam=2)  # type: ignore[call-arg]
    page = Checked(found._repr_html_()).words
    for words, shares in zip(found.words, found.shares, strict=True):
        assert all(f"{word} {100 * share:.0f}" in page for word, share in zip(words, shares, strict=True))
    hostile = replace(found, words=[["<img src=x>"]], shares=[[0.5]])
    assert "<img" not in hostile._repr_html_() and "<img src=x> 50" in Checked(hostile._repr_html_()).words
    assert repr(found).startswith("Explanation(Reply(") and len(repr(found)) < 240


def test_from_pretrained_is_load(engine: Engine) -> None:
    precision = engine.describe()["precision"]
    same = mime_fast.Engine.from_pretrained(engine.name, device="cpu", precision=precision, threads=1)
    assert same.describe() == engine.describe()
    assert mime_fast.load("mime-ed").describe() == mime_fast.Engine.from_pretrained().describe()
    assert list(LoadOptions.__annotations__) == list(inspect.signature(mime_fast.load).parameters)[1:]


def test_a_bar_shows_progress_and_changes_no_answer(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    many = DIALOGUES * 30
    silent = engine.generate(many), engine.classify(many), engine.score(many, ["oh no !"] * len(many))
    assert capsys.readouterr() == ("", "")
    shown = (
        engine.generate(many, show_progress=True),
        engine.classify(many, show_progress=True),
        engine.score(many, ["oh no !"] * len(many), show_progress=True),
    )
    out, err = capsys.readouterr()
    assert out == "" and err.count(f"{len(many)}/{len(many)}") == 3
    assert [reply.tokens for reply in shown[0]] == [reply.tokens for reply in silent[0]]
    if engine.backend.name == "native":  # the reference's last digits depend on the batch
        assert shown == silent
    with pytest.raises(ConfigError, match="show_progress=1: must be true or false"):
        engine.classify(many, show_progress=1)  # type: ignore[arg-type]


def test_the_emotions_are_public() -> None:
    assert sorted(mime_fast.POSITIVE + mime_fast.NEGATIVE) == sorted(mime_fast.EMOTIONS)
    assert (len(mime_fast.POSITIVE), len(mime_fast.NEGATIVE)) == (13, 19)
