"""What a model says to the card's twenty dialogues, drawn and not picked: python -m tools.card_samples MODEL CARD.md.

The dialogues in tools/card_dialogues.jsonl were made up before the weights were trained. The replies are those of the
model's own search with seed 0; they take the place of what stands between the card's marks.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import mime_fast

DIALOGUES = Path(__file__).resolve().parent / "card_dialogues.jsonl"
BEGIN, END = "<!-- samples: python -m tools.card_samples -->", "<!-- end of samples -->"


def samples(model: str) -> str:
    """The table of all dialogues, as Markdown."""
    rows = [json.loads(line) for line in DIALOGUES.read_text(encoding="utf-8").splitlines()]
    dialogues = [row["context"] for row in rows]
    replies = mime_fast.load(model, device="cpu").generate(dialogues, seed=0)
    lines = ["| dialogue | recognised | reply |", "|---|---|---|"]
    for turns, reply in zip(dialogues, replies, strict=True):
        said = " / ".join(turn if i % 2 == 0 else f"*{turn}*" for i, turn in enumerate(turns))
        lines.append(f"| {_cell(said)} | {reply.emotion} | {_cell(reply.text)} |")
    return "\n".join(lines)


def with_samples(card: str, table: str) -> str:
    """The card with this table between its marks.

    Raises:
        ValueError: the marks are not there, once and in order.
    """
    before, begin, rest = card.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise ValueError(f"the card must have {BEGIN!r} and then {END!r}, each once")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a shipped model's name, or a model folder")
    parser.add_argument("card", type=Path, help="a file with both marks")
    given = parser.parse_args(arguments)
    card = given.card.read_text(encoding="utf-8")
    given.card.write_text(with_samples(card, samples(given.model)), encoding="utf-8")


if __name__ == "__main__":
    main()
