"""`mime-fast explain`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mime_fast.emotions import LABELS
from tests.cli.conftest import Run, json_lines

ROWS = [
    {"id": "a", "context": ["my cat ran away ."]},
    {"id": 7, "context": ["i passed the test !", "so happy !", "you did it ?"], "seed": 11, "emotion": "sad"},
    {"id": "b", "context": ["x", "y"]},
]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text(json_lines(ROWS))
    return path


def test_bars(run: Run, model_dir: Path) -> None:
    outcome = run("explain", "my cat ran away .", "--model", model_dir, "--threads", 1)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert [line.split()[0] for line in lines[:1]] == ["emotion"]
    assert "\x1b" not in outcome.out and max(map(len, lines)) <= 80
    assert all(any(line.startswith(f"{label} ") for line in lines) for label in LABELS)
    assert [line.split()[0] for line in lines[-5:]] == ["my", "cat", "ran", "away", "."]


@pytest.mark.parametrize(
    ("no_colour", "term", "painted"), [("", "xterm", True), ("1", "xterm", False), ("", "dumb", False)]
)
def test_colour_is_for_terminals(
    run: Run, model_dir: Path, monkeypatch: pytest.MonkeyPatch, no_colour: str, term: str, painted: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_colour)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True)
    outcome = run("explain", "my cat ran away .", "--model", model_dir, "--threads", 1)
    assert ("\x1b[" in outcome.out) == painted
    assert any(len(line) > 100 for line in outcome.out.splitlines())


def test_a_row_is_answered_as_generate_answers_it(run: Run, model_dir: Path, rows: Path) -> None:
    options = ("--model", model_dir, "--seed", 3, "--threads", 1, "--emotion-column", "emotion")
    said = {str(line["id"]): line for line in run("generate", rows, *options).lines}
    for name in ("a", "7"):
        outcome = run("explain", "--input", rows, "--id", name, "--json", "--top", 2, *options)
        found = json.loads(outcome.out)
        assert found["text"] == said[name]["text"] and found["emotion"] == said[name]["emotion"]
        assert found["mixture"]["mimic_share"] == pytest.approx(said[name]["mixture"]["mimic_share"], abs=1e-4)
        assert len(found["emotion_probs"]) == 2
    assert (found["mimicked"], found["mixture"]["polarity"]) == ("sad", "negative")


def test_a_picture(run: Run, model_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "picture.png"
    outcome = run("explain", "so happy !", "--model", model_dir, "--out", out, "--width", 480, "--threads", 1)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert int.from_bytes(out.read_bytes()[16:20]) == 480


def test_without_block_characters(run: Run, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", open_ascii := _Ascii(sys.stdout))
    run("explain", "so happy !", "--model", model_dir, "--threads", 1)
    assert "".join(open_ascii.written).isascii() and "#" in "".join(open_ascii.written)


class _Ascii:
    encoding = "ascii"

    def __init__(self, stream: object) -> None:
        self.written: list[str] = []

    def write(self, text: str) -> int:
        self.written.append(text)
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ((), "give the utterances of one dialogue, or --input FILE with --id ID"),
        (("hi", "--input", "x", "--id", "a"), "give the utterances"),
        (("--input", "x"), "give the utterances"),
        (("hi", "--id", "a"), "give the utterances"),
        (("hi", "--json", "--out", "a.png"), "one of the two"),
        (("hi", "--out", "a.gif"), "suffix '.gif'"),
        (("hi", "--top", "0"), "--top 0"),
        (("hi", "--width", "1"), "--width 1"),
        (("hi", "--turns", "all"), "--turns is of a file: it goes with --input FILE"),
        (("hi", "--delimiter", ";"), "--delimiter is of a file"),
        (("hi", "--width", "800"), "it goes with --out FILE.png"),
        (("--input", "none.jsonl", "--id", "a"), "none.jsonl: cannot be read"),
        (("hi", "you"), "has 2 turns"),
        (("hi", "you"), "must have an odd number (any number with --no-strict-turns)"),
        (("cat " * 60, "so ?", "yes"), "must have at most 39 (--truncation oldest drops early turns in pairs)"),
        (("cat " * 60,), "dialogue 0: its last utterance alone has 60 words; must have at most 39\n"),
        (("hi", "--num-beams", "0"), "--num-beams 0"),
    ],
)
def test_wrong_usage(
    run: Run, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run("explain", *argv, "--model", model_dir, "--threads", 1)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("mime-fast: error: ") and told in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("z", "no row with the id 'z'"),
        ("b", "line 3: context has 2 turns"),
        ("a", "more than one row has the id 'a' (IN, line 1 and IN, line 4); ids must differ"),
    ],
)
def test_a_row_that_is_not_there_or_bad(run: Run, model_dir: Path, rows: Path, name: str, told: str) -> None:
    rows.write_text(rows.read_text() + json_lines([{"id": "a", "context": ["x"]}]))
    outcome = run("explain", "--input", rows, "--id", name, "--model", model_dir, "--threads", 1)
    assert outcome.code == 2 and told.replace("IN", str(rows)) in outcome.err
