"""The conversation in the terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mime_fast
from mime_fast.cli import chat
from mime_fast.emotions import LABELS
from mime_fast.evaluation.explanation.bars import format_explanation
from mime_fast.terminal import Look
from tests.cli.conftest import Run
from tests.mixtures import mixture_of

SAY = "i passed the test !\n"


def test_piped_chat_shows_emotions_mixture_and_reply(run: Run, model_dir: Path) -> None:
    outcome = run("chat", "--model", model_dir, stdin=SAY)
    engine = mime_fast.load(model_dir)
    (reply,) = engine.generate([[SAY.strip()]])
    assert outcome.code == 0
    assert outcome.err == ""
    mixture = mixture_of(reply)
    assert mixture.polarity is not None
    emotion, answers, said = outcome.out.splitlines()
    three = r"\w+ \d+%, \w+ \d+%, \w+ \d+%"
    assert re.fullmatch(rf"emotion  {reply.emotion} \d+%, \w+ \d+%, \w+ \d+% \((positive|negative)\)", emotion)
    assert re.fullmatch(rf"answers  {mixture.polarity} \d+%: {three}", answers)
    assert said == f"mime     {reply.text}"
    group = getattr(mixture, mixture.polarity)
    assert f": {max(group, key=group.get)} {max(group.values()):.0%}, " in answers


def test_history_is_kept_and_reset(run: Run, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[str], int, int]] = []
    generate = mime_fast.Engine.generate

    def record(self: mime_fast.Engine, dialogues: list[list[str]], **options: object) -> list[mime_fast.Reply]:
        assert isinstance(options["request_ids"], list) and isinstance(options["seed"], int)
        seen.append((list(dialogues[0]), options["seed"], options["request_ids"][0]))
        return generate(self, dialogues, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(mime_fast.Engine, "generate", record)
    stdin = "my cat ran away\n\nso sorry\n/seed 9\n/reset\nmy dog\n/quit\nnot read\n"
    outcome = run("chat", "--model", model_dir, "--min-new-tokens", 2, "--max-new-tokens", 4, stdin=stdin)
    assert outcome.code == 0
    said = [line.removeprefix("mime     ") for line in outcome.out.splitlines() if line.startswith("mime     ")]
    assert seen == [
        (["my cat ran away"], 0, 0),
        (["my cat ran away", said[0], "so sorry"], 0, 1),
        (["my dog"], 9, 0),
    ]
    assert "seed 9\n" in outcome.out
    assert "forgotten\n" in outcome.out
    assert "nothing was answered yet" in run("chat", "--model", model_dir, stdin="my cat\n/reset\n/explain\n").out


def test_commands_and_bad_lines(run: Run, model_dir: Path) -> None:
    stdin = "/help\n/sing\n/seed x\n" + "cat " * 60 + "\nmy cat\n"
    outcome = run("chat", "--model", model_dir, stdin=stdin)
    assert outcome.code == 0
    assert all(f"\n{name}" in "\n" + outcome.out for name in ("/explain", "/seed N", "/reset", "/help", "/quit"))
    assert "unknown command '/sing'" in outcome.out
    assert "seed 'x': must be an integer from 0 to 2^64 - 1" in outcome.out
    assert "not answered: " in outcome.out
    assert outcome.out.count("\nmime     ") == 1


def test_a_long_conversation_goes_on_without_its_oldest_turns(run: Run, model_dir: Path) -> None:
    stdin = "cat " * 30 + "\n" + "dog " * 30
    outcome = run("chat", "--model", model_dir, "--min-new-tokens", 2, stdin=stdin)
    assert "not answered" not in outcome.out
    assert outcome.out.count("\nmime     ") == 2


def test_a_given_emotion_is_mimicked(run: Run, model_dir: Path) -> None:
    for emotion, group in (("joyful", "positive"), ("sad", "negative")):
        outcome = run("chat", "--model", model_dir, "--emotion", emotion, stdin=SAY)
        assert f"; given {emotion}\nanswers  {group} " in outcome.out


def test_prompts_on_a_terminal_only(run: Run, model_dir: Path) -> None:
    assert "you " not in run("chat", "--model", model_dir, stdin="/help\n").out
    outcome = run("chat", "--model", model_dir, stdin="/help\n", terminal=True)
    assert outcome.out.startswith("Say how you feel.")
    assert outcome.out.count("\nyou      ") == 2


def test_the_last_reply_is_explained(run: Run, model_dir: Path) -> None:
    outcome = run("chat", "--model", model_dir, "--seed", 4, stdin="/explain\n" + SAY + "and now ?\n/explain\n")
    assert outcome.out.startswith("nothing was answered yet\n")
    said = [line.removeprefix("mime     ") for line in outcome.out.splitlines() if line.startswith("mime     ")]
    found = mime_fast.load(model_dir).explain([SAY.strip(), said[0], "and now ?"], seed=4, request_id=1)
    assert found.reply.text == said[1]
    assert outcome.out.endswith(format_explanation(found, top=3, look=Look()) + "\n")


@pytest.mark.parametrize("word", ["exit", "quit", "/quit", "/exit", "EXIT"])
def test_a_word_ends_it(run: Run, model_dir: Path, word: str) -> None:
    outcome = run("chat", "--model", model_dir, stdin=f"{word}\nmy cat\n", terminal=True)
    assert (outcome.code, "mime     " in outcome.out) == (0, False)


def test_the_keys_that_end_it(run: Run, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = run("chat", "--model", model_dir, stdin="", terminal=True)
    assert ended.code == 0 and ended.out.endswith("you      \n")

    def interrupted(prompt: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupted)
    outcome = run("chat", "--model", model_dir, stdin="", terminal=True)
    assert (outcome.code, outcome.err) == (0, "") and outcome.out.endswith("ends.\n\n")
    assert run("chat", "--model", model_dir, stdin="").code == 130  # a pipe is stopped as any command is


def test_lines_fit_and_show_no_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    mixture = mime_fast.EmotionMixture({"joyful": 1.0}, {"sad": 1.0}, "positive", 0.5)
    long = mime_fast.Candidate("so sorry " * 12 + "\x1b[2J", [], [], [-0.5], -0.5, -0.5, "eos")
    reply = mime_fast.Reply([long], "joyful", dict.fromkeys(LABELS, 1 / 32), mixture)
    lines = list(chat._fitting(chat.describe(reply), Look(40)))
    assert all(len(line) <= 40 for line in lines) and "\\x1b[2J" in lines[-1] and len(lines) > 5
    assert [line[:9] for line in lines if not line.startswith(" ")] == ["emotion  ", "answers  ", "mime     "]


def test_broken_bytes_do_not_end_it(run: Run, model_dir: Path) -> None:
    outcome = run("chat", "--model", model_dir, stdin=b"my cat \xff ran\nmy dog\n")
    assert outcome.code == 0
    assert outcome.out.count("mime     ") == 2


def test_bad_search_options_end_it_before_it_begins(run: Run, model_dir: Path) -> None:
    outcome = run("chat", "--model", model_dir, "--do-sample", "--num-beams", 5, stdin=SAY, terminal=True)
    assert (outcome.code, outcome.out) == (2, "") and "--do-sample with --num-beams 5" in outcome.err


@pytest.mark.parametrize("kind", [mime_fast.BackendError, mime_fast.ConfigError])
def test_a_turn_that_cannot_be_answered_does_not_end_it(
    run: Run, model_dir: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    generate = mime_fast.Engine.generate

    def failing(self: mime_fast.Engine, dialogues: list[list[str]], **options: object) -> list[mime_fast.Reply]:
        if dialogues[0][-1] == "boom":
            raise kind("out of memory")
        return generate(self, dialogues, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(mime_fast.Engine, "generate", failing)
    outcome = run("chat", "--model", model_dir, stdin=f"{SAY}boom\n{SAY}")
    assert outcome.code == 0 and "not answered: out of memory" in outcome.out
    assert outcome.out.count("mime     ") == 2


def test_an_empty_reply_leaves_the_history_alone() -> None:
    class Silent:
        def generate(self, dialogues: list[list[str]], **_: object) -> list[mime_fast.Reply]:
            assert dialogues == [["hello"]]
            mixture = mime_fast.EmotionMixture({"joyful": 1.0}, {"sad": 1.0}, "positive", 0.5)
            nothing = mime_fast.Candidate("", [], [], [-0.5], -0.5, -0.5, "eos")
            return [mime_fast.Reply([nothing], "joyful", dict.fromkeys(LABELS, 1 / 32), mixture)]

    args = chat_arguments()
    conversation = chat.Conversation(Silent(), args)  # type: ignore[arg-type]
    for _ in range(2):
        assert conversation.answer("hello").endswith("mime     ")


def chat_arguments() -> object:
    from mime_fast.cli.main import make_parser

    return make_parser().parse_args(["chat"])
