"""Answers in notebooks: HTML with its own styles, readable on light and on dark pages.

Text takes the page's colour; bars and shades are translucent, and every one has its figure beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from mime_fast.emotions import Polarity
from mime_fast.engine.explanation import SPEAKERS, Explanation
from mime_fast.engine.results import Classification, EmotionMixture, Reply, Score

COLOURS = {"positive": "0,150,170", "negative": "215,140,0", "word": "170,80,190", "plain": "128,128,128"}
TOP = 5  # emotions of a list
LEAST = 0.0005  # weights below it would be shown as 0.0 %
_BOX = "font-family:inherit;line-height:1.5;max-width:48em"
_CELL = "text-align:left;padding:0 .8em 0 0;border:0;background:none"


def answer_html(answer: Reply | Score | Classification) -> str:
    """An answer: its text or figures, the user's likeliest emotions, the mixture's weights."""
    blocks = [_head(answer), _bars("recognised", answer.top(TOP), "plain")]
    if not isinstance(answer, Classification) and answer.mixture is not None:
        blocks += _mixture(answer.mixture)
    return _box(blocks)


def explanation_html(found: Explanation) -> str:
    """A reply with both groups of weights, and every word of the dialogue with its share of the gate."""
    side = f"the mimicked ({found.mixture.polarity}) side" if found.mimicry else "the first side"
    blocks = [_head(found.reply), _bars("recognised", found.reply.top(TOP), "plain")]
    blocks += _mixture(found.mixture)
    blocks.append(f"<div>share of {side} in the gate, word by word:</div>")
    blocks += (_words(turn, *pair) for turn, pair in enumerate(zip(found.words, found.shares, strict=True)))
    return _box(blocks)


def table_html(title: str, rows: Iterable[tuple[str, object]]) -> str:
    """Names and values."""
    cells = "".join(f"<tr>{_cell(name)}{_cell(str(value))}</tr>" for name, value in rows)
    return _box([f"<div><b>{escape(title)}</b></div>", f'<table style="border:0">{cells}</table>'])


def _box(blocks: Iterable[str]) -> str:
    return f'<div style="{_BOX}">{"".join(blocks)}</div>'


def _head(answer: Reply | Score | Classification) -> str:
    if isinstance(answer, Reply):
        texts = [one.text for one in answer.candidates]
        return "".join(f"<div><b>{escape(text)}</b></div>" for text in texts)
    if isinstance(answer, Score):
        return f"<div><b>perplexity {answer.perplexity:.2f}</b>, log-prob {answer.logprob:.3f}</div>"
    return f"<div><b>{escape(answer.emotion)}</b> ({answer.polarity})</div>"


def _mixture(mixture: EmotionMixture) -> Iterable[str]:
    groups: tuple[Polarity, Polarity] = ("positive", "negative")
    for group in groups:
        role = f", mimicked ({100 * mixture.mimic_share:.1f} % of the gate)" if group == mixture.polarity else ""
        yield _bars(f"{group} emotions{role}", mixture.top(len(mixture.positive | mixture.negative), group), group)


def _bars(title: str, values: Sequence[tuple[str, float]], colour: str) -> str:
    shown = [item for item in values if item[1] >= LEAST]
    rows = "".join(_bar(name, value, colour) for name, value in shown)
    rest = f" <i>and {len(values) - len(shown)} below 0.05 %</i>" if len(shown) < len(values) else ""
    return f'<div style="margin-top:.4em">{escape(title)}{rest}</div><table style="border:0;margin:0">{rows}</table>'


def _bar(name: str, value: float, colour: str) -> str:
    bar = f"display:inline-block;height:.8em;width:{16 * value:.2f}em;background:rgba({COLOURS[colour]},.75)"
    figure = _cell(f"{100 * value:.1f} %", "min-width:4em")
    drawn = f'<td style="{_CELL}"><span style="{bar}"></span></td>'
    return f'<tr style="background:none">{_cell(name, "min-width:8em")}{figure}{drawn}</tr>'


def _cell(text: str, style: str = "") -> str:
    return f'<td style="{_CELL};{style}">{escape(text)}</td>'


def _words(turn: int, words: Sequence[str], shares: Sequence[float]) -> str:
    shown = " ".join(_word(word, share) for word, share in zip(words, shares, strict=True))
    return f'<div style="margin-top:.3em"><i>{SPEAKERS[turn % 2]}</i> {shown}</div>'


def _word(word: str, share: float) -> str:
    """Shaded from nothing at 25 % or less to the full colour at 75 % or more."""
    depth = min(1.0, max(0.0, 2 * share - 0.5))
    shade = f"background:rgba({COLOURS['word']},{0.6 * depth:.2f})"
    style = f"{shade};border-radius:.2em;padding:0 .15em;white-space:nowrap"
    return f'<span style="{style}">{escape(word)}<sub style="opacity:.75"> {100 * share:.0f}</sub></span>'
