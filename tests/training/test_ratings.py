"""Rated replies: what a file of them may be, and that a reranker learns to choose by them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mime_fast
from mime_fast.checkpoints.reranker import RERANKER
from mime_fast.data.empathetic_dialogues import read_pairs
from mime_fast.errors import CheckpointError, ConfigError, DataError
from mime_fast.reference.reranker import Reranker, Tower
from mime_fast.training.rated_replies import Lessons, _Learner
from mime_fast.training.ratings import context_hash, read_ratings
from mime_fast.training.run import train
from mime_fast.training.towers import arrays_of, tower_of
from tests.training.small_run import stage
from tests.training.tiny_encoder import write_encoder
from tools.rating_sheets import collect, draw
from tools.rating_sheets import main as rating_sheets

DRAWN = {"do_sample": True, "num_beams": 1, "max_new_tokens": 6, "suppress_tokens": [0, 1, 3, 4, 5, 6], "best_of": 8}


def line(data: Path, pair: int = 0, **changes: Any) -> dict[str, Any]:
    hashed = context_hash(read_pairs(data, "train")[pair])
    return {"pair": pair, "context": hashed, "replies": ["oh, the dog!", "yes."], "ratings": [7, 2.5]} | changes


def write(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="utf-8")
    return path


def test_a_good_file(data: Path, tmp_path: Path) -> None:
    pairs = read_pairs(data, "train")
    path = write(tmp_path / "ratings.jsonl", [line(data), line(data, 3, ratings=[0, -1])])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\n")  # as some editors save it
    first, second = read_ratings(path, pairs)
    assert (first.pair, first.replies, first.ratings) == (0, ("oh, the dog!", "yes."), (7.0, 2.5))
    assert (second.pair, second.ratings) == (3, (0.0, -1.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pair": 999}, r"line 2: pair=999: must be an integer from 0 to 44"),
        ({"pair": True}, r"pair=True: must be an integer"),
        ({"pair": "1"}, r"pair='1': must be an integer"),
        (
            {"context": "0123456789ab"},
            r"context='0123456789ab': pair 1 of this data has [0-9a-f]{12}; the ratings are of",
        ),
        ({"replies": []}, r"replies=\[\]: must be a list of texts"),
        ({"replies": ["yes.", " "]}, r"reply ' ' is blank; must be text with at least one word"),
        ({"replies": ["yes.", "\u200b"]}, r"reply '\\u200b' has 0 words; must have 1 to 999"),
        ({"replies": ["yes.", "no " * 1000]}, r"has 1000 words; must have 1 to 999"),
        ({"replies": ["yes.", "\ud800"]}, r"reply '\\ud800' .*surrogate"),
        ({"replies": ["yes.", 7]}, r"replies=\['yes.', 7\]: must be a list of texts"),
        ({"replies": ["yes.", "yes."]}, r"each must be there once"),
        ({"replies": "yes."}, r"replies='yes.': must be a list"),
        ({"ratings": [1]}, r"ratings=\[1\]: must be a list of 2 numbers"),
        ({"ratings": [1, "7"]}, r"'7' must be a number from -1e\+06 to 1e\+06"),
        ({"ratings": [1, float("nan")]}, r"nan must be a number"),
        ({"ratings": [1, 1e9]}, r"1000000000.0 must be a number"),
        ({"rating": [1, 2]}, r"keys .*'rating'; pair, context, replies, ratings are expected"),
    ],
)
def test_a_bad_line_is_named(data: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "ratings.jsonl", [line(data), line(data, 1) | changes])
    with pytest.raises(DataError, match=message) as caught:
        read_ratings(path, read_pairs(data, "train"))
    assert str(path) in str(caught.value)


def test_bad_files(data: Path, tmp_path: Path) -> None:
    pairs = read_pairs(data, "train")
    with pytest.raises(DataError, match=r"cannot be read: No such file"):
        read_ratings(tmp_path / "missing.jsonl", pairs)
    for name, lines in (
        ("empty", []),
        ("equal", [line(data, ratings=[3, 3])]),
        ("one", [line(data, replies=["yes."], ratings=[3])]),
    ):
        with pytest.raises(DataError, match=f"{len(lines)} rated contexts, no two replies .* nothing can be learnt"):
            read_ratings(write(tmp_path / f"{name}.jsonl", lines), pairs)
    with pytest.raises(DataError, match="line 2: pair=0 is in line 1, too"):
        read_ratings(write(tmp_path / "twice.jsonl", [line(data), line(data)]), pairs)
    for text, message in (
        (b"pair=1\n", r"line 1: not JSON"),
        (b"[1]\n", r"line 1: JSON of type list; an object with pair, context"),
        (b"\xff\n", r"line 1: not UTF-8 \(invalid start byte at byte 0\)$"),
        (json.dumps(line(data)).replace("2.5", "1e400").encode(), r"line 1: ratings=.*inf must be a number"),
    ):
        (tmp_path / "text.jsonl").write_bytes(text)
        with pytest.raises(DataError, match=message):
            read_ratings(tmp_path / "text.jsonl", pairs)


def test_towers_there_and_back() -> None:
    random = np.random.default_rng(3)
    shapes = (5, 8), (5,), (4, 5), (4,)
    arrays = Tower(*(random.normal(size=shape).astype(np.float32) for shape in shapes))
    vectors = torch.tensor(random.normal(2, 3, size=(30, 8)), dtype=torch.float32)
    tower = tower_of(arrays, vectors).eval()
    with torch.no_grad():
        out = torch.nn.functional.normalize(tower(vectors), dim=-1).numpy()
    np.testing.assert_allclose(out, arrays(vectors.numpy()), atol=1e-5)
    for part, again in zip(vars(arrays).values(), vars(arrays_of(tower)).values(), strict=True):
        np.testing.assert_allclose(again, part, atol=1e-5)


def lessons(ratings: list[list[float]], scale: float = 1.0) -> _Learner:
    """Of made-up vectors: two replies to each context, of which the first has the log-prob 0, the second -8."""
    random, count = torch.Generator().manual_seed(2), len(ratings)
    contexts, replies = torch.randn(count, 8, generator=random), torch.randn(2, 8, generator=random)
    parts = np.random.default_rng(4)
    wanted, given = (
        Tower(*(parts.normal(size=shape).astype(np.float32) for shape in ((5, 8), (5,), (4, 5), (4,)))) for _ in "ab"
    )
    return _Learner(
        Reranker(wanted, given, 0.0),
        Lessons(
            contexts,
            replies,
            [torch.tensor([0, 1])] * count,
            [torch.tensor([0.0, -8.0])] * count,
            [scale * torch.tensor(each) for each in ratings],
        ),
        seed=1,
    )


def test_the_loss_by_hand_whatever_the_scale() -> None:
    right, wrong = np.log1p(np.exp(-1.0)), np.log1p(np.exp(1.0))
    for scale in (1e-3, 1.0, 1e4):
        learner = lessons([[7.0, 1.0], [2.0, 9.0], [5.0, 5.0]], scale)
        assert learner.loss(torch.tensor([0])).item() == pytest.approx(right, rel=1e-5)
        assert learner.loss(torch.tensor([0, 1])).item() == pytest.approx((right + wrong) / 2, rel=1e-5)
        assert learner.loss(torch.tensor([2])).item() == 0


def test_the_order_by_hand() -> None:
    """Of 40 contexts the twentieth and the fortieth are held out."""
    ratings = [[5.0, 5.0]] * 40
    ratings[19], ratings[39] = [7.0, 1.0], [2.0, 4.0]
    assert lessons(ratings).order() == pytest.approx(6 / 8)
    assert lessons(ratings[:19]).order() is None
    assert lessons([[5.0, 5.0]] * 20).order() is None


def test_a_reranker_learns_what_is_rated_higher(data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of a run whose replies are all possible ones: those with an exclamation mark are made out to be better."""
    encoder = write_encoder(tmp_path / "encoder")
    last = stage(max_steps=8, generation=DRAWN, sentence_teacher_steps=1, reranker_contexts=45)
    train([last], data, tmp_path / "plain", sentence_encoder=encoder, show_progress=False)
    pairs = read_pairs(data, "train")
    plain = mime_fast.load(tmp_path / "plain", threads=1, device="cpu")
    contexts = [pair.context for pair in pairs]
    drawn = plain.generate(contexts, strict_turns=False, best_of=8, num_return_sequences=8)
    lines = []
    for number, reply in enumerate(drawn):
        texts = list(dict.fromkeys(one.text for one in reply.candidates if one.tokens))
        lines.append(line(data, number, replies=texts, ratings=[9.0 if "!" in text else 1.0 for text in texts]))
    assert any(len(set(each["ratings"])) == 2 for each in lines)
    ratings = write(tmp_path / "ratings.jsonl", lines)
    taught = last.replace(rating_epochs=60)
    train([taught], data, tmp_path / "rated", sentence_encoder=encoder, ratings=ratings, show_progress=True)
    assert "of what held-out ratings differ by is in the right order" in capfd.readouterr().err
    rated = mime_fast.load(tmp_path / "rated", threads=1, device="cpu")
    assert (tmp_path / "rated" / "model.safetensors").read_bytes() == (
        tmp_path / "plain" / "model.safetensors"
    ).read_bytes()

    def share(engine: mime_fast.Engine) -> float:
        return float(np.mean(["!" in reply.text for reply in engine.generate(contexts, strict_turns=False, seed=5)]))

    assert share(rated) > share(plain) + 0.1
    made = (tmp_path / "rated" / RERANKER).read_bytes()
    (tmp_path / "rated" / RERANKER).unlink()
    train([taught], data, tmp_path / "rated", sentence_encoder=encoder, ratings=ratings, show_progress=False)
    assert (tmp_path / "rated" / RERANKER).read_bytes() == made  # a function of the run
    other = write(tmp_path / "other.jsonl", lines[1:])
    with pytest.raises(CheckpointError, match="started with another ratings"):
        train([taught], data, tmp_path / "rated", sentence_encoder=encoder, ratings=other, show_progress=False)
    (tmp_path / "rated" / RERANKER).unlink()  # nothing else has learnt from them
    train([taught], data, tmp_path / "rated", sentence_encoder=encoder, ratings=other, show_progress=False)
    assert (tmp_path / "rated" / RERANKER).read_bytes() != made
    with pytest.raises(CheckpointError, match="started with another ratings"):
        train([taught], data, tmp_path / "rated", sentence_encoder=encoder, ratings=ratings, show_progress=False)


def test_ratings_come_with_a_recipe_that_wants_them(data: Path, tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "encoder")
    asking = stage(max_steps=2, generation=DRAWN, sentence_teacher_steps=1, reranker_contexts=2, rating_epochs=1)
    with pytest.raises(
        ConfigError, match=r"rating_epochs in the recipe, but no file of ratings: give it \(--ratings\)"
    ):
        train([asking], data, tmp_path / "out", sentence_encoder=encoder, show_progress=False)
    path = write(tmp_path / "ratings.jsonl", [line(data)])
    with pytest.raises(ConfigError, match=r"ratings.jsonl: no stage of the recipe has rating_epochs; leave it out"):
        train([stage(max_steps=2)], data, tmp_path / "out", ratings=path, show_progress=False)
    with pytest.raises(ConfigError, match="rating_epochs=3 with reranker_contexts=0"):
        stage(rating_epochs=3)
    assert asking.replace(rating_epochs=9).replace(max_steps=4).rating_epochs == 4
    train([asking], data, tmp_path / "out", sentence_encoder=encoder, ratings=path, show_progress=True)
    assert (tmp_path / "out" / RERANKER).is_file()


def fill(sheets: Path, letter: str = "a", end: str = "\n") -> dict[str, list[str]]:
    """Rate the first reply 0, the second 1, ...; what was shown by item."""
    shown: dict[str, list[str]] = {}
    for folder in sheets.glob("rater-*"):
        lines = []
        for item in (folder / "dialogues.txt").read_text("utf-8").split("=== item ")[1:]:
            number, *rest = item.strip().splitlines()
            shown[number] = [text.split(") ", 1)[1] for text in rest if text.startswith("  ")]
            marks = [f"{chr(ord(letter) + i)}={i}" for i in range(len(shown[number]))]
            lines.append(" ".join([number, *reversed(marks)]))
        (folder / "ratings.txt").write_bytes(f"\ufeff{end.join(lines)}{end}".encode())
    return shown


@pytest.mark.parametrize(("letter", "end"), [("a", "\n"), ("A", "\r\n")])
def test_sheets_become_ratings(data: Path, tmp_path: Path, letter: str, end: str) -> None:
    sheets, more, out = tmp_path / "sheets", tmp_path / "more", tmp_path / "ratings.jsonl"
    assert draw(data, sheets, "mime-ed", contexts=6, raters=2, skip=0) == 6
    pairs = read_pairs(data, "train")
    with pytest.raises(DataError, match="6 items have no rating"):
        collect(data, sheets, out)
    shown = fill(sheets, letter, end)
    assert collect(data, sheets, out) == 6
    found = read_ratings(out, pairs)
    assert {str(one.pair): list(one.replies) for one in found} == shown
    assert all(one.ratings == tuple(range(len(one.replies))) and len(one.replies) <= 8 for one in found)
    draw(data, more, "mime-ed", contexts=3, raters=1, skip=6)
    others = fill(more)
    assert not others.keys() & shown.keys()
    assert collect(data, more, out) == 9
    first = next(iter(shown))
    file = next(file for file in sheets.glob("*/ratings.txt") if f"{first} " in file.read_text("utf-8-sig"))
    before = out.read_bytes()
    for text, message in (
        (f"{first} a=3 b=x\n", r"ratings.txt, line 1: .* must be an item's number and"),
        (f"{first} a=3\n", r"must be an item's number and, for each of its replies \(a, b"),
        ("999 a=3\n", r"no such item"),
        (f"{first} " + " ".join(f"{'abcdefgh'[i]}=11" for i in range(len(shown[first]))), r"a number from 0 to 10"),
        (file.read_text("utf-8-sig") * 2, r"is rated twice"),
        ("", r"items have no rating"),  # although the file of ratings has some
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            collect(data, sheets, out)
        assert out.read_bytes() == before
    file.write_bytes("nüll".encode("utf-16"))
    with pytest.raises(DataError, match="not UTF-8"):
        collect(data, sheets, out)


def test_sheets_of_other_data_are_refused(data: Path, tmp_path: Path) -> None:
    """Of the same conversations in another order, where every item's number is some pair's, and of fewer."""
    sheets, out, other = tmp_path / "sheets", tmp_path / "ratings.jsonl", tmp_path / "other"
    draw(data, sheets, "mime-ed", contexts=6, raters=1, skip=0)
    fill(sheets)
    header, *rows = (data / "train.csv").read_text("utf-8").splitlines(keepends=True)
    rest = [row for row in rows if row.split(",")[0] != rows[0].split(",")[0]]
    other.mkdir()
    for kept in (rest + rows[: -len(rest)], rest[:2]):
        (other / "train.csv").write_text("".join([header, *kept]), encoding="utf-8")
        with pytest.raises(
            DataError, match=r"replies.json: item \d+ was drawn from other data; DATA must be what draw"
        ):
            collect(other, sheets, out)
    assert not out.exists() and collect(data, sheets, out) == 6


def test_sheets_that_cannot_be(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*given: str) -> str:
        assert rating_sheets([given[0], str(data), *given[1:]]) == 1
        return capsys.readouterr().err

    sheets = str(tmp_path / "sheets")
    assert "contexts=99 after skip=0: the train split has 45 pairs" in run("draw", sheets, "--contexts", "99")
    assert "raters=3 for contexts=2" in run("draw", sheets, "--contexts", "2", "--raters", "3")
    (tmp_path / "file").write_text("mine")
    assert "is a file, or has files already" in run("draw", str(tmp_path / "file"), "--contexts", "2", "--raters", "1")
    under = str(tmp_path / "file" / "sheets")
    error = run("draw", under, "--contexts", "2", "--raters", "1")
    assert error == f"rating_sheets: {under}: cannot be written: Not a directory\n"
    missing, out = Path(sheets) / "replies.json", str(tmp_path / "out.jsonl")
    assert run("collect", sheets, out) == f"rating_sheets: {missing}: cannot be read: No such file or directory\n"
    missing.parent.mkdir()
    for text in ("[1]", "oh", '{"1": ["yes."]}', '{"1": {"context": "0123456789ab"}}'):
        missing.write_text(text)
        assert f"{missing}: not what draw wrote, a context's hash" in run("collect", sheets, out)
    missing.unlink()
    train([stage(max_steps=2)], data, tmp_path / "greedy", show_progress=False)
    small = ("--contexts", "2", "--raters", "1", "--model", str(tmp_path / "greedy"))
    assert "must sample by its own options" in run("draw", sheets, *small)
    for wrong in ("-3", "0", "x"):
        with pytest.raises(SystemExit):
            rating_sheets(["draw", str(data), sheets, "--contexts", wrong])
        assert f"argument --contexts: '{wrong}': must be an integer of 1 or more" in capsys.readouterr().err
    capsys.readouterr()
