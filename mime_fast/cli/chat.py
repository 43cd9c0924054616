"""`mime-fast chat`: a conversation in the terminal."""

from __future__ import annotations

import contextlib
import io
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable
from typing import TYPE_CHECKING

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
from mime_fast.errors import InputError
from mime_fast.streams import flush_output
from mime_fast.terminal import is_terminal

if TYPE_CHECKING:
    from mime_fast.engine.engine import Engine
    from mime_fast.engine.results import EmotionMixture, Reply

EXAMPLE = """  mime-fast chat --seed 7
  echo 'I passed my driving test!' | mime-fast chat"""
HELP = """/reset    forget what was said
/seed N   draw from another seed
/help     this list
/quit     end (so does the end of the input)"""
TOP = 3


def add_arguments(parser: ArgumentParser) -> None:
    add_search_options(parser)
    add_noise_options(parser)
    add_model_options(parser)


def run(args: Namespace) -> int:
    conversation = Conversation(load_engine(args), args)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    on_terminal = is_terminal(sys.stdin)
    if on_terminal:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - makes the input line editable
        print("Say how you feel. /help lists the commands, /quit ends.")
    while True:
        try:
            line = input("\nyou      " if on_terminal else "").strip()
        except EOFError:
            return 0
        if line == "/quit":
            return 0
        if line:
            print(conversation.answer(line))
            flush_output()


class Conversation:
    """Turns so far, the user's first; every reply has the history in view."""

    def __init__(self, engine: Engine, args: Namespace) -> None:
        self.engine = engine
        self.args = args
        self.seed: int = args.seed
        self.turns: list[str] = []

    def answer(self, line: str) -> str:
        """What to show for one line: a reply, or a command's answer."""
        if not line.startswith("/"):
            return self._reply(line)
        name, _, value = line.partition(" ")
        if name == "/reset":
            self.turns = []
            return "forgotten"
        if name == "/seed":
            return self._set_seed(value.strip())
        return HELP if name == "/help" else f"unknown command {name!r}; there are:\n{HELP}"

    def _set_seed(self, text: str) -> str:
        try:
            self.seed = seed(text)
        except ArgumentTypeError as error:
            return f"seed {error}"
        return f"seed {self.seed}"

    def _reply(self, text: str) -> str:
        emotion = self.args.emotion
        try:
            (reply,) = self.engine.generate(
                [[*self.turns, text]],
                **search_arguments(self.args),
                stochastic=self.args.stochastic,
                seed=self.seed,
                request_ids=[len(self.turns) // 2],
                emotions=None if emotion is None else [emotion],
                truncation="oldest",
            )
        except InputError as error:
            return f"not answered: {error}"
        if reply.text:
            self.turns += [text, reply.text]
        return describe(reply, emotion)


def describe(reply: Reply, emotion: int | None = None) -> str:
    """Emotions recognised, the mixture of the mimicked group, the reply. `emotion` is one that was given."""
    recognised = f"{_top(reply.emotion_probs.items())} ({polarity(INDEX[reply.emotion])})"
    given = "" if emotion is None else f"; given {LABELS[emotion]}"
    return f"emotion  {recognised}{given}\n{_answers(reply.mixture)}mime     {reply.text}"


def _answers(mixture: EmotionMixture | None) -> str:
    if mixture is None:
        return ""
    mimicked = mixture.positive if mixture.polarity == "positive" else mixture.negative
    return f"answers  {mixture.polarity} {mixture.mimic_share:.0%}: {_top(mimicked.items())}\n"


def _top(weights: Iterable[tuple[str, float]]) -> str:
    best = sorted(weights, key=lambda item: -item[1])[:TOP]
    return ", ".join(f"{name} {weight:.0%}" for name, weight in best)


COMMAND = Command(
    "chat", "talk with the model; shows the emotions it recognises and answers with", EXAMPLE, add_arguments, run
)
