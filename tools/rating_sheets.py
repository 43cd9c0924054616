"""Sheets on which people rate a model's draws, and the file of ratings that `mime-fast train --ratings` learns from.

python -m tools.rating_sheets draw DATA SHEETS --model MODEL --contexts 640 --raters 8 --skip 0
python -m tools.rating_sheets collect DATA SHEETS RATINGS.jsonl

`draw` writes SHEETS/rater-N with instructions and conversations of the train split, each with up to eight replies: the
one that the model's own search would choose, more of its best ones, and others as they were drawn. Give each rater a
copy of one folder and nothing else; each writes a file `ratings.txt` into it, a line for each conversation. `collect`
reads them, what is not rated or not readable being an error, and writes JSON lines without any text of the data: the
number of a training pair, a hash of its context, the replies, the ratings. Contexts of files that are there already
(RATINGS.jsonl exists) are kept, and added to.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import mime_fast
from mime_fast.data.empathetic_dialogues import Pair, read_pairs
from mime_fast.errors import DataError, MimeFastError
from mime_fast.evaluation.human.sampling import shuffled
from mime_fast.files import write_bytes
from mime_fast.training.ratings import Rated, context_hash, read_ratings

SEED = 20
DRAWS, HOTTER = 32, 0.15  # replies as the model's own options draw them, and half as many at a higher temperature
REPLIES = 8
BEST, AMONG = 4, 8  # of the replies that are rated: so many of the so many best
NAMES = "abcdefgh"
REPLIES_FILE = "replies.json"
INSTRUCTIONS = """\
dialogues.txt has conversations between a Speaker, who tells of something in their life, and a Listener. Each ends with
the speaker. Below it are up to eight possible next replies of the listener, a) to h).

Rate each reply from 0 to 10 by one question: how good a reply is it, as a whole, for that speaker at that moment?
A good reply has understood what happened and what the speaker feels, fits what was said, and says what a kind,
attentive person would say. Bad are: the wrong feeling (glad about bad news), asking what was just told, speaking of
things nobody spoke of, contradicting itself, the wrong person or tense, broken wording, a wish that does not fit. A
short, plain reply that fits is better than a long one that goes astray; one that fits and is specific to what was told
is better than one that would fit anything. Use the whole scale, and make differences within a conversation wherever you
see one: 0 harmful or nonsense, 3 poor, 5 passable, 7 good, 10 as good as a kind human being.

Write ratings.txt, one line for each item, for instance:
17 a=3 b=7 c=5 d=0 e=6 f=6 g=2 h=4
"""


def draw(data: Path, sheets: Path, model: str, contexts: int, raters: int, skip: int) -> None:
    """Sheets for `contexts` training pairs, those after the first `skip` of an order that never changes."""
    if sheets.exists() and any(sheets.iterdir()):
        raise DataError(f"{sheets}: has files already; give another folder")
    pairs = read_pairs(data, "train")
    chosen = shuffled(range(len(pairs)), SEED, "rated")[skip : skip + contexts]
    replies = _replies(model, [pairs[number] for number in chosen])
    for rater in range(raters):
        folder = sheets / f"rater-{rater + 1}"
        folder.mkdir(parents=True)
        mine = [(number, replies[place]) for place, number in enumerate(chosen) if place % raters == rater]
        text = "\n".join(_item(number, pairs[number], texts) for number, texts in mine)
        write_bytes(folder / "dialogues.txt", text.encode())
        write_bytes(folder / "instructions.txt", INSTRUCTIONS.encode())
    write_bytes(sheets / REPLIES_FILE, json.dumps(dict(zip(chosen, replies, strict=True))).encode())


def collect(data: Path, sheets: Path, out: Path) -> int:
    """All that was rated, into one file; the number of its contexts."""
    pairs = read_pairs(data, "train")
    rated = {one.pair: one for one in read_ratings(out, pairs)} if out.exists() else {}
    shown = {int(number): texts for number, texts in json.loads((sheets / REPLIES_FILE).read_text("utf-8")).items()}
    for file in sorted(sheets.glob("rater-*/ratings.txt")):
        rated |= {one.pair: one for one in _read(file, shown)}
    missing = shown.keys() - rated.keys()
    if missing:
        raise DataError(f"{sheets}: {len(missing)} items have no rating, the first of them {min(missing)}")
    lines = [json.dumps(_line(rated[number], pairs), ensure_ascii=False) for number in sorted(rated)]
    write_bytes(out, "".join(f"{line}\n" for line in lines).encode())
    read_ratings(out, pairs)
    return len(lines)


def _replies(model: str, pairs: Sequence[Pair]) -> list[list[str]]:
    """Different replies to each context, in an order that says nothing."""
    engine = mime_fast.load(model, device="cpu", precision="int8")
    contexts, options = [pair.context for pair in pairs], engine.generation_config
    several = {"best_of": DRAWS, "num_return_sequences": DRAWS}
    hot = {"best_of": 1, "num_return_sequences": DRAWS // 2, "temperature": options.temperature + HOTTER}
    ranked, hotter = (engine.generate(contexts, seed=SEED, **search) for search in (several, hot))
    mixed = random.Random(SEED)
    found = []
    for own, other in zip(ranked, hotter, strict=True):
        best, more = (list(dict.fromkeys(one.text for one in reply.candidates if one.tokens)) for reply in (own, other))
        others = [text for text in dict.fromkeys([*best, *more]) if text not in best[:AMONG]]
        picked = best[:1] + mixed.sample(best[1:AMONG], min(BEST - 1, len(best[1:AMONG])))
        picked += mixed.sample(others, min(REPLIES - len(picked), len(others)))
        found.append(mixed.sample(picked, len(picked)))
    return found


def _item(number: int, pair: Pair, replies: Sequence[str]) -> str:
    turns = [f"{('Speaker', 'Listener')[place % 2]}: {text}" for place, text in enumerate(pair.context)]
    return "\n".join([f"=== item {number}", *turns, *(f"  {n}) {r}" for n, r in zip(NAMES, replies, strict=False)), ""])


def _read(file: Path, shown: dict[int, list[str]]) -> list[Rated]:
    found = []
    for row, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        item, *marks = line.split()
        texts = shown.get(int(item), []) if item.isdecimal() else []
        values = dict(mark.split("=") for mark in marks if re.fullmatch(r"[a-h]=\d+(\.\d+)?", mark))
        if not texts or len(values) < len(marks) or list(values) != list(NAMES[: len(texts)]):
            raise DataError(
                f"{file}, line {row}: {line[:60]!r}: must be an item's number and, for each of its replies from a on, "
                "the letter, '=' and a number"
            )
        found.append(Rated(int(item), tuple(texts), tuple(map(float, values.values()))))
    return found


def _line(rated: Rated, pairs: Sequence[Pair]) -> dict[str, object]:
    ratings = [int(value) if value.is_integer() else value for value in rated.ratings]
    hashed = context_hash(pairs[rated.pair])
    return {"pair": rated.pair, "context": hashed, "replies": list(rated.replies), "ratings": ratings}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    drawing, collecting = commands.add_parser("draw"), commands.add_parser("collect")
    for each in (drawing, collecting):
        each.add_argument("data", type=Path, help="EmpatheticDialogues as distributed")
        each.add_argument("sheets", type=Path, help="folder of the sheets")
    drawing.add_argument("--model", default="mime-ed", help="a shipped model's name, or a model folder")
    drawing.add_argument("--contexts", type=int, default=640)
    drawing.add_argument("--raters", type=int, default=8)
    drawing.add_argument("--skip", type=int, default=0, help="contexts that earlier sheets have")
    collecting.add_argument("out", type=Path, help="file to write, or to add to")
    given = parser.parse_args(arguments)
    try:
        if given.command == "draw":
            draw(given.data, given.sheets, given.model, given.contexts, given.raters, given.skip)
        else:
            print(f"{given.out}: {collect(given.data, given.sheets, given.out)} contexts")
    except MimeFastError as error:
        print(f"rating_sheets: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
