"""Sheets on which people rate a model's draws, and the file of ratings that `mime-fast train --ratings` learns from.

python -m tools.rating_sheets draw DATA SHEETS --model MODEL --contexts 640 --raters 8 --skip 0
python -m tools.rating_sheets collect DATA SHEETS RATINGS.jsonl

`draw` writes SHEETS/rater-N with instructions and conversations of the train split, each with up to eight replies: the
one that the model's own search would choose, more of its best ones, and others as they were drawn. Give each rater a
copy of one folder and nothing else; each writes a file `ratings.txt` into it, a line for each conversation. `collect`
reads them, what is not rated, not readable or drawn from other data being an error, and writes JSON lines without any
text of the data: the number of a training pair, a hash of its context, the replies, the ratings. What RATINGS.jsonl has
already stays there; a context that was rated again has the new ratings.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import mime_fast
from mime_fast.data.empathetic_dialogues import Pair, read_pairs
from mime_fast.errors import ConfigError, DataError, MimeFastError
from mime_fast.evaluation.human.sampling import shuffled
from mime_fast.files import naming, write_bytes
from mime_fast.training.ratings import Rated, context_hash, read_ratings
from tools.arguments import at_least

SEED = 20
DRAWS, HOTTER = 32, 0.15  # replies as the model's own options draw them, and half as many at a higher temperature
REPLIES = 8
BEST, AMONG = 4, 8  # of the replies that are rated: so many of the so many best
NAMES, LARGEST = "abcdefgh", 10.0
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


def draw(data: Path, sheets: Path, model: str, contexts: int, raters: int, skip: int) -> int:
    """Sheets for `contexts` training pairs, those after the first `skip` of an order that never changes.

    Returns:
        how many there are: a context to which the model draws no word has no sheet.

    Raises:
        DataError: the data has not so many pairs, or the folder has files already or cannot be written.
        ConfigError: the model does not sample by its own options, or has no reranker.
    """
    pairs = read_pairs(data, "train")
    if contexts + skip > len(pairs):
        raise DataError(f"contexts={contexts} after skip={skip}: the train split has {len(pairs)} pairs")
    if raters > contexts:
        raise DataError(f"raters={raters} for contexts={contexts}: must not be more")
    with naming(sheets):
        if sheets.exists() and (not sheets.is_dir() or any(sheets.iterdir())):
            raise DataError(f"{sheets}: is a file, or has files already; give another folder")
    chosen = shuffled(range(len(pairs)), SEED, "rated")[skip : skip + contexts]
    engine = _engine(model)
    with naming(sheets):  # before the draws, which take long
        sheets.mkdir(parents=True, exist_ok=True)
    drawn = _replies(engine, [pairs[number] for number in chosen])
    shown = {number: replies for number, replies in zip(chosen, drawn, strict=True) if replies}
    for rater in range(raters):
        folder = sheets / f"rater-{rater + 1}"
        with naming(folder):
            folder.mkdir()
        mine = [number for place, number in enumerate(shown) if place % raters == rater]
        text = "\n".join(_item(number, pairs[number], shown[number]) for number in mine)
        write_bytes(folder / "dialogues.txt", text.encode())
        write_bytes(folder / "instructions.txt", INSTRUCTIONS.encode())
    items = {number: {"context": context_hash(pairs[number]), "replies": shown[number]} for number in shown}
    write_bytes(sheets / REPLIES_FILE, json.dumps(items).encode())
    return len(shown)


def collect(data: Path, sheets: Path, out: Path) -> int:
    """All that was rated, into one file; the number of its contexts.

    Raises:
        DataError: the sheets were drawn from other data, or a file of them, or `out`, cannot be read, is not of its
            form or cannot be written.
    """
    pairs = read_pairs(data, "train")
    before = {one.pair: one for one in read_ratings(out, pairs, to_learn=False)} if out.exists() else {}
    shown = _shown(sheets / REPLIES_FILE, pairs)
    new: dict[int, Rated] = {}
    for file in sorted(sheets.glob("rater-*/ratings.txt")):
        for one in _read(file, shown):
            if one.pair in new:
                raise DataError(f"{file}: item {one.pair} is rated twice, here or by another rater; must be once")
            new[one.pair] = one
    missing = shown.keys() - new.keys()
    if missing:
        raise DataError(f"{sheets}: {len(missing)} items have no rating, the first of them {min(missing)}")
    rated = before | new
    lines = [json.dumps(_line(rated[number], pairs), ensure_ascii=False) for number in sorted(rated)]
    write_bytes(out, "".join(f"{line}\n" for line in lines).encode())
    return len(lines)


def _engine(model: str) -> mime_fast.Engine:
    engine = mime_fast.load(model, device="cpu", precision="int8")
    if not engine.generation_config.do_sample or engine.reranker is None:
        raise ConfigError(f"{model}: must sample by its own options (do_sample) and have a reranker")
    return engine


def _replies(engine: mime_fast.Engine, pairs: Sequence[Pair]) -> list[list[str]]:
    """Different replies to each context, in an order that says nothing."""
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
    listed = [f"  {name}) {reply}" for name, reply in zip(NAMES[: len(replies)], replies, strict=True)]
    return "\n".join([f"=== item {number}", *turns, *listed, ""])


def _shown(file: Path, pairs: Sequence[Pair]) -> dict[int, list[str]]:
    """The replies of each item, by the number of its pair, whose context is the one that they were drawn for."""
    text = _text(file)
    try:
        items = {int(number): (item["context"], list(item["replies"])) for number, item in json.loads(text).items()}
    except (ValueError, AttributeError, KeyError, TypeError):
        raise DataError(f"{file}: not what draw wrote, a context's hash and the replies of each item") from None
    for number, (hashed, _) in items.items():
        if not 0 <= number < len(pairs) or context_hash(pairs[number]) != hashed:
            raise DataError(f"{file}: item {number} was drawn from other data; DATA must be what draw was given")
    return {number: replies for number, (_, replies) in items.items()}


def _read(file: Path, shown: Mapping[int, Sequence[str]]) -> list[Rated]:
    """What one rater wrote: the letters of an item in any order, large or small."""
    found = []
    for row, line in enumerate(_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        item, *marks = line.split()
        texts = shown.get(int(item), []) if re.fullmatch("[0-9]{1,9}", item) else []
        parts = [re.fullmatch(r"([a-h])=([0-9]{1,4}(?:\.[0-9]{1,4})?)", mark.lower()) for mark in marks]
        values = {part[1]: float(part[2]) for part in parts if part}
        names = NAMES[: len(texts)]
        if not texts or len(marks) != len(texts) or set(values) != set(names) or max(values.values()) > LARGEST:
            raise DataError(
                f"{file}, line {row}: {line[:60]!r}: must be an item's number and, for each of its replies "
                f"({', '.join(names) or 'no such item'}), the letter, '=' and a number from 0 to {LARGEST:g}"
            )
        found.append(Rated(int(item), tuple(texts), tuple(values[name] for name in names)))
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 ({error.reason} at byte {error.start})") from None


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
    drawing.add_argument("--contexts", type=at_least(1), default=640)
    drawing.add_argument("--raters", type=at_least(1), default=8)
    drawing.add_argument("--skip", type=at_least(0), default=0, help="contexts that earlier sheets have")
    collecting.add_argument("out", type=Path, help="file to write, or to add to")
    given = parser.parse_args(arguments)
    try:
        if given.command == "draw":
            several = given.model, given.contexts, given.raters, given.skip
            print(f"{given.sheets}: {draw(given.data, given.sheets, *several)} contexts")
        else:
            print(f"{given.out}: {collect(given.data, given.sheets, given.out)} contexts")
    except MimeFastError as error:
        print(f"rating_sheets: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
