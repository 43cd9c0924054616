"""An explanation as text: bars that fit the terminal, coloured where that is wanted."""

from __future__ import annotations

from mime_fast.emotions import INDEX, Polarity, polarity
from mime_fast.engine.explanation import SPEAKERS, Explanation
from mime_fast.terminal import Look, columns, printable, wrapped

NAME_WIDTH = 14
LEAST_REACH = 0.05  # shares nearer to a half than this do not fill their bars


def format_explanation(found: Explanation, *, top: int, look: Look) -> str:
    """Lines of at most `look.width` columns; `top` recognised emotions are named."""
    draw = _Bars(look)

    def title(text: str) -> list[str]:
        return ["", *(look.paint(line, "bold") for line in _wrapped("", text, look.width))]

    lines = _summary(found, top, look)
    most = max(weight for weights in found.weights.values() for _, weight in weights)
    for group, weights in found.weights.items():
        lines += title(f"{group} emotions, {len(weights)} weights{_role(found, group)}")
        lines += [draw.line(name, weight, weight / most, group) for name, weight in weights]
    reach = max(LEAST_REACH, *(abs(share - 0.5) for turn in found.shares for share in turn))
    side = f"the mimicked ({polarity(INDEX[found.mimicked])})" if found.mimicry else "the first"
    ends = f"{50 - 100 * reach:.0f} or {50 + 100 * reach:.0f} %"
    lines += title(f"share of {side} side in the gate; bars from 50 % to {ends}")
    for turn, (words, shares) in enumerate(zip(found.words, found.shares, strict=True)):
        lines.append(look.paint(SPEAKERS[turn % 2], "soft"))
        pairs = zip(words, shares, strict=True)
        lines += [draw.line(word, share, (share - 0.5) / reach, "word", two_sided=True) for word, share in pairs]
    return "\n".join(lines)


def _summary(found: Explanation, top: int, look: Look) -> list[str]:
    emotions = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found.emotions[:top])
    group = polarity(INDEX[found.mimicked])
    share = f"{100 * found.mixture.mimic_share:.1f} % of the gate"
    given = "" if found.mimicked == found.reply.emotion else f" (given: {found.mimicked})"
    mimics = f"{group}{given}, {share}" if found.mimicry else f"nothing (a model without mimicry); first side {share}"
    lines = _wrapped("emotion", emotions or found.reply.emotion, look.width)
    lines += _wrapped("mimics", mimics, look.width) + _wrapped("reply", found.reply.text, look.width)
    return [look.paint(line[:8], "bold") + line[8:] if line[:1].strip() else line for line in lines]


def _role(found: Explanation, group: Polarity) -> str:
    if not found.mimicry:
        return ""
    return " (mimicked)" if group == polarity(INDEX[found.mimicked]) else " (the other side)"


class _Bars:
    """Lines of a name, a bar and a percentage."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self.space = look.width - NAME_WIDTH - len("  100.0 %") - 1

    def line(self, name: str, value: float, part: float, colour: str, *, two_sided: bool = False) -> str:
        """`part` of a bar, 0 to 1; where it is two-sided, -1 to 1 from the middle on."""
        shown = self.look.clipped(printable(name), NAME_WIDTH)
        bar = self._two_sided(part) if two_sided else self.look.bar(part, self.space)
        left, blanks = " " * (NAME_WIDTH - columns(shown)), " " * (self.space - len(bar))
        return f"{shown}{left} {self.look.paint(bar, colour)}{blanks} {100 * value:6.1f} %"

    def _two_sided(self, part: float) -> str:
        half = (self.space - 1) // 2
        left = ("█" if self.look.unicode else "#") * round(max(0.0, -part) * half)
        return f"{left.rjust(half)}{'│' if self.look.unicode else '|'}{self.look.bar(part, half)}"


def _wrapped(name: str, text: str, width: int) -> list[str]:
    """Text of whole words after a name of 8 columns (none: no margin)."""
    margin = 8 if name else 0
    lines = wrapped(printable(text), width - margin)
    return [f"{'' if place else name:<{margin}}{line}".rstrip() for place, line in enumerate(lines)]
