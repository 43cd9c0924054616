"""`mime-fast chat`: a conversation in the terminal."""

from __future__ import annotations

import contextlib
import io
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from mime_fast.cli.command import Command
from mime_fast.cli.options import (
    add_model_options,
    add_noise_options,
    add_search_options,
    load_engine,
    search_arguments,
    seed,
)
from mime_fast.emotions import INDEX, LABELS, polarity
from mime_fast.errors import MimeFastError
from mime_fast.streams import flush_output
from mime_fast.terminal import Look, is_terminal, printable, wrapped

if TYPE_CHECKING:
    from mime_fast.engine.engine import Engine
    from mime_fast.engine.results import EmotionMixture, Reply

EXAMPLE = """  mime-fast chat --seed 7
  echo 'I passed my driving test!' | mime-fast chat"""
HELP = """/explain  show what made the last reply
/seed N   draw from another seed
/reset    forget what was said
/help     this list
/quit     end (so do exit, Ctrl-D and Ctrl-C)"""
GREETING = "Say how you feel. /explain, /seed N, /reset and /help are commands; /quit, exit or Ctrl-D ends."
ENDS = ("/quit", "/exit", "quit", "exit")
TOP = 3
LEAST = 0.005  # no more would be shown as 0 %
MARGIN = 9  # columns of the names on the left


def add_arguments(parser: ArgumentParser) -> None:
    add_search_options(parser, one_reply=True)
    add_noise_options(parser)
    add_model_options(parser)


def run(args: Namespace) -> int:
    conversation = Conversation(load_engine(args), args)
    conversation.engine.search_options(search_arguments(args))
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    if not is_terminal(sys.stdin):
        for line in _lines(""):
            _say(conversation, line)
        return 0
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - makes the input line editable
    print("\n".join(wrapped(GREETING, conversation.look.width)))
    try:
        for line in _lines("\nyou      "):
            _say(conversation, line)
    except KeyboardInterrupt:
        print()
    return 0


def _lines(prompt: str) -> Iterator[str]:
    """What is typed or piped, until it ends or a line says so."""
    while True:
        try:
            line = input(prompt).strip()
        except EOFError:
            if prompt:
                print()
            return
        if line.lower() in ENDS:
            return
        if line:
            yield line


def _say(conversation: Conversation, line: str) -> None:
    print(conversation.answer(line))
    flush_output()


class Conversation:
    """Turns so far, the user's first; every reply has the history in view."""

    def __init__(self, engine: Engine, args: Namespace) -> None:
        self.engine = engine
        self.args = args
        self.seed: int = args.seed
        self.turns: list[str] = []
        self.look = Look.of(sys.stdout)
        self._last: dict[str, Any] = {}  # what the last reply was asked for with

    def answer(self, line: str) -> str:
        """What to show for one line: a reply, or a command's answer."""
        if not line.startswith("/"):
            return self._reply(line)
        name, _, value = line.partition(" ")
        if name == "/reset":
            self.turns, self._last = [], {}
            return "forgotten"
        if name == "/seed":
            return self._set_seed(value.strip())
        if name == "/explain":
            return self._explain()
        return HELP if name == "/help" else f"unknown command {name!r}; there are:\n{HELP}"

    def _set_seed(self, text: str) -> str:
        try:
            self.seed = seed(text)
        except ArgumentTypeError as error:
            return f"seed {error}"
        return f"seed {self.seed}"

    def _reply(self, text: str) -> str:
        asked: dict[str, Any] = {
            "dialogue": [*self.turns, text],
            "seed": self.seed,
            "request_id": len(self.turns) // 2,
            "emotion": self.args.emotion,
        }
        try:
            (reply,) = self.engine.generate(
                [asked["dialogue"]],
                **self._common(),
                seed=asked["seed"],
                request_ids=[asked["request_id"]],
                emotions=None if asked["emotion"] is None else [asked["emotion"]],
            )
        except MimeFastError as error:
            return f"not answered: {error}"
        self._last = asked
        if reply.text:
            self.turns += [text, reply.text]
        return "\n".join(_fitting(describe(reply, asked["emotion"]), self.look))

    def _common(self) -> dict[str, Any]:
        return {**search_arguments(self.args), "stochastic": self.args.stochastic, "truncation": "oldest"}

    def _explain(self) -> str:
        """The last reply once more, drawn with what made it."""
        from mime_fast.evaluation.explanation.bars import format_explanation

        if not self._last:
            return "nothing was answered yet"
        try:
            found = self.engine.explain(**self._last, **self._common())
        except MimeFastError as error:
            return f"not explained: {error}"
        return format_explanation(found, top=TOP, look=self.look)


def describe(reply: Reply, emotion: int | None = None) -> str:
    """Emotions recognised, the mixture of the mimicked group, the reply. `emotion` is one that was given."""
    recognised = f"{_top(reply.emotion_probs.items())} ({polarity(INDEX[reply.emotion])})"
    given = "" if emotion is None else f"; given {LABELS[emotion]}"
    return f"emotion  {recognised}{given}\n{_answers(reply.mixture)}mime     {reply.text}"


def _fitting(text: str, look: Look) -> Iterator[str]:
    """The lines of `describe`, broken below their own beginning where they are too long."""
    for whole in text.split("\n"):
        name, said = whole[:MARGIN], printable(whole[MARGIN:])
        for line in wrapped(said, look.width - MARGIN):
            yield f"{name}{look.paint(line, 'bold') if whole.startswith('mime') else line}"
            name = " " * MARGIN


def _answers(mixture: EmotionMixture | None) -> str:
    if mixture is None:
        return ""
    side = "" if mixture.polarity is None else f"{mixture.polarity} {mixture.mimic_share:.0%}: "
    return f"answers  {side}{_top(mixture.top(TOP))}\n"


def _top(weights: Iterable[tuple[str, float]]) -> str:
    best = sorted(weights, key=lambda item: -item[1])[:TOP]
    return ", ".join(f"{name} {weight:.0%}" for name, weight in best if weight > LEAST)


COMMAND = Command(
    "chat", "talk with the model; shows the emotions it recognises and answers with", EXAMPLE, add_arguments, run
)
