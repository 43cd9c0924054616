"""Rows of `generate`, `score` and `classify` for people: the dialogue, the answer, and the emotions as bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mime_fast.data.dialogues import Row
from mime_fast.emotions import INDEX, Polarity, polarity
from mime_fast.engine.explanation import SPEAKERS
from mime_fast.terminal import Look, columns, printable, wrapped

MARGIN = 12  # columns of the names on the left
NAME = 14  # columns of an emotion
FIGURE = len(" 100 %")
MOST = 3  # emotions, and weights of a group, that are shown
LEAST = 0.005  # probabilities and weights that are no more are left out: they would be shown as 0 %


def row_text(row: Row, record: Mapping[str, Any], look: Look) -> str:
    """One row, with an empty line after it; `record` is what the JSON line would be."""
    draw = _Draw(look)
    lines = [look.paint(look.clipped(printable(str(row.id)), look.width), "bold")]
    for turn, said in enumerate(row.context):
        lines += draw.text(SPEAKERS[turn % 2], said if isinstance(said, str) else " ".join(said))
    lines += _answer(row, record, draw)
    lines += draw.bars("emotion", record["emotion_probs"] or {record["emotion"]: None}, _group)
    if record.get("mixture"):
        lines += _mixture(record["mixture"], draw)
    return "\n".join(lines) + "\n\n"


def _answer(row: Row, record: Mapping[str, Any], draw: _Draw) -> Iterator[str]:
    for one in record.get("candidates", [record] if "text" in record else []):
        yield from draw.text("reply", one["text"], style="bold")
    if "perplexity" in record:
        response = row.response if isinstance(row.response, str) else " ".join(row.response or ())
        yield from draw.text("response", response, style="bold")
        perplexity = "infinite" if record["perplexity"] is None else f"{record['perplexity']:.1f}"
        count = len(record["token_logprobs"])
        yield from draw.text("perplexity", f"{perplexity} over {count} {'token' if count == 1 else 'tokens'}")


def _mixture(mixture: Mapping[str, Any], draw: _Draw) -> Iterator[str]:
    """The gate's share as a bar, and the heaviest weights of the group that is mimicked, then of the other."""
    mimicked: Polarity = mixture["polarity"] or "positive"
    if mixture["polarity"]:
        yield from draw.bars("mimics", {mimicked: mixture["mimic_share"]}, lambda _: mimicked)
    else:
        yield from draw.text("mimics", "nothing")
    for name, group in (("with", mimicked), ("and", "negative" if mimicked == "positive" else "positive")):
        heaviest = sorted(mixture[group].items(), key=lambda item: -item[1])[:MOST]
        yield from draw.text(name, ", ".join(f"{name} {value:.0%}" for name, value in heaviest if value > LEAST))


def _group(emotion: str) -> Polarity:
    return polarity(INDEX[emotion])


class _Draw:
    """Lines with a name on the left."""

    def __init__(self, look: Look) -> None:
        self.look = look

    def text(self, name: str, text: str, style: str = "") -> Iterator[str]:
        for line in wrapped(printable(text), self.look.width - MARGIN):
            yield self._named(name, self.look.paint(line, style) if style else line)
            name = ""

    def bars(self, name: str, values: Mapping[str, float | None], group: Callable[[str], Polarity]) -> Iterator[str]:
        """The largest values, one a line, all on the scale from 0 to 100 %; the first one whatever it is."""
        space = self.look.width - MARGIN - NAME - FIGURE
        ranked: Sequence[tuple[str, float | None]] = sorted(values.items(), key=lambda item: -(item[1] or 0))[:MOST]
        for place, (label, value) in enumerate(ranked):
            if place and (value or 0) <= LEAST:
                return
            bar = "" if value is None else self.look.bar(value, space)
            figure = "" if value is None else f"{100 * value:>{FIGURE - 2}.0f} %"
            yield self._named(
                name, f"{label:<{NAME}}{self.look.paint(bar, group(label))}{' ' * (space - len(bar))}{figure}"
            )
            name = ""

    def _named(self, name: str, rest: str) -> str:
        return f"{self.look.paint(name, 'soft')}{' ' * (MARGIN - columns(name))}{rest}".rstrip()
