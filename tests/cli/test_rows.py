"""Rows for people: what a terminal shows in place of JSON lines."""

from __future__ import annotations

import dataclasses
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mime_fast.cli.chat import describe
from mime_fast.cli.rows import row_text
from mime_fast.data.dialogues import Row
from mime_fast.emotions import LABELS
from mime_fast.engine.records import record
from mime_fast.engine.results import Candidate, Classification, EmotionMixture, Reply, Score
from mime_fast.evaluation.cases.cases import Case, SystemReplies
from mime_fast.evaluation.cases.sheet import format_cases
from mime_fast.evaluation.systems import System
from mime_fast.terminal import Look, columns
from tests.cli.conftest import Run, json_lines

PROBS = dict.fromkeys(LABELS, 0.001) | {"sad": 0.7, "lonely": 0.25, "angry": 0.004}
MIXTURE = EmotionMixture(
    {"caring": 0.9964, "joyful": 0.0036}, {"sad": 0.75, "lonely": 0.25, "afraid": 0.0}, "negative", 0.6
)
ROW = Row(1, 0, "lost-dog", ["My dog died.", "Oh no!", ["the", "house", "is", "quiet"]], "So sorry!", None, None)


def reply(*texts: str) -> Reply:
    return Reply([Candidate(text, [], [], [-0.5], -0.5, -0.5, "eos") for text in texts], "sad", PROBS, MIXTURE)


CASE = Case("lost-dog", 0, None, list(ROW.context), None)
ANSWERS: list[Any] = [
    reply("i am so sorry to hear that."),
    reply("one", "two"),
    Score(["so", "sorry", "!"], [-1.0] * 4, "sad", PROBS, MIXTURE),
    Classification("sad", PROBS, "negative"),
]


def test_a_reply() -> None:
    assert row_text(ROW, record(ANSWERS[0], top_emotions=3), Look(60)).splitlines() == [
        "lost-dog",
        "speaker     My dog died.",
        "listener    Oh no!",
        "speaker     the house is quiet",
        "reply       i am so sorry to hear that.",
        "emotion     sad           ███████████████████▋          70 %",
        "            lonely        ███████                       25 %",
        "mimics      negative      ████████████████▊             60 %",
        "with        sad 75%, lonely 25%",
        "and         caring 100%",
        "",
    ]


def test_without_mimicry_no_group_is_named() -> None:
    answer = dataclasses.replace(ANSWERS[0], mixture=dataclasses.replace(MIXTURE, polarity=None))
    assert row_text(ROW, record(answer), Look(60)).splitlines()[-4:] == [
        "mimics      nothing",
        "with        caring 100%",
        "and         sad 75%, lonely 25%",
        "",
    ]
    assert "answers  caring 100%, sad 75%, lonely 25%\n" in describe(answer)


def test_nothing_is_shown_as_0_per_cent() -> None:
    """Half a per cent is rounded to the even number."""
    half = EmotionMixture({"caring": 0.995, "joyful": 0.005}, {"sad": 1.0}, "negative", 0.6)
    answer = dataclasses.replace(ANSWERS[0], emotion_probs=PROBS | {"angry": 0.005}, mixture=half)
    for text in (row_text(ROW, record(answer), Look(60)), describe(answer)):
        assert "joyful" not in text and " 0%" not in text and " 0 %" not in text
    heaviest = format_cases([CASE], [SystemReplies(System("A", "a", {}), [answer], True)], top=3)
    assert "joyful" not in heaviest and "caring" in heaviest


def test_a_score_and_a_classification() -> None:
    score = row_text(ROW, record(ANSWERS[2]), Look(60)).splitlines()
    assert score[4:6] == ["response    So sorry!", "perplexity  2.7 over 4 tokens"]
    classified = row_text(ROW, record(ANSWERS[3], top_emotions=0), Look(60)).splitlines()
    assert classified[-2:] == ["emotion     sad", ""]


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("answer", ANSWERS)
def test_lines_fit_and_colour_adds_nothing(answer: Any, width: int) -> None:
    hard = Row(1, 0, "id " * 50, ["猫が走って逃げました " * 9 + "\x1b[2J" + "x" * 130], "猫" * 70, None, None)
    plain = row_text(hard, record(answer), Look(width))
    painted = row_text(hard, record(answer), Look(width, colour=True))
    assert all(columns(line) <= width for line in plain.splitlines())
    assert "\x1b" not in plain and re.sub(r"\x1b\[\d+m", "", painted) == plain != painted
    assert row_text(hard, record(answer), Look(width, unicode=False)).count("#") > 3


def on_terminal(*argv: str, columns: int, stdin: bytes = b"") -> str:
    """What a command shows on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "mime_fast", *argv],
        stdin=subprocess.PIPE,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"COLUMNS": str(columns), "NO_COLOR": "1", "PYTHONUTF8": "1"},
    )
    os.close(theirs)
    assert done.stdin is not None
    done.stdin.write(stdin)
    done.stdin.close()
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # the end, on Linux
        pass
    os.close(ours)
    assert done.wait() == 0
    return shown.decode().replace("\r\n", "\n")


def test_a_terminal_shows_rows_and_a_pipe_gets_json(run: Run, model_dir: Path) -> None:
    rows = json_lines([{"id": "a", "context": ["my cat ran away ."]}, {"context": ["i passed the test !"]}])
    options = ("generate", "-", "--model", str(model_dir))
    shown = on_terminal(*options, columns=40, stdin=rows.encode())
    first, second, summary = shown.split("\n\n")
    piped = run(*options, stdin=rows)
    texts = [json.loads(line)["text"] for line in piped.out.splitlines()]
    assert first.startswith("a\nspeaker     my cat ran away .\nreply ") and second.startswith("1\nspeaker     i passed")
    for one, text in zip((first, second), texts, strict=True):
        assert "".join(text.split()) in "".join(one.split())
    assert re.fullmatch(r"mime-fast: loaded in .* s; 2 replies in .* s, [\d,]+ per second\n", summary)
    assert run(*options, "--format", "text", stdin=rows).out.startswith("a\nspeaker     my cat ran away .\nreply")
    assert on_terminal(*options, "--format", "json", columns=80, stdin=rows.encode()).startswith('{"id": "a"')


def test_a_format_is_for_standard_output_only(run: Run, model_dir: Path, tmp_path: Path) -> None:
    outcome = run("classify", "-", tmp_path / "out.csv", "--model", model_dir, "--format", "text", stdin="")
    assert outcome.code == 2 and "--format text: the name of OUT says its format" in outcome.err
    assert not list(tmp_path.iterdir())


def test_one_is_singular(run: Run, model_dir: Path) -> None:
    row = json_lines([{"context": ["my cat"], "response": "so sorry"}])
    said = {"generate": "1 reply in", "score": "1 response scored in", "classify": "1 dialogue classified in"}
    for command, words in said.items():
        assert f"; {words} " in run(command, "-", "--model", model_dir, stdin=row).err
    assert "; 0 replies in " in run("generate", "-", "--model", model_dir, stdin="{}\n").err
    assert "; 1 bad row left out" in run("generate", "-", "--model", model_dir, stdin="{}\n").err
