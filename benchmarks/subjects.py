"""The two models that are measured, with what they are asked, and how much of it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engines import Contender, Files, MimeRunner, Unavailable, load
from benchmarks.figures import OURS, REFERENCE, Agreement
from benchmarks.parity import agreement
from benchmarks.random_mime import make_random_mime
from benchmarks.tasks import TOKENS, VOCABULARY, Task, Work, random_work, real_dialogues, task_of
from mime_fast.corpora.parts import PART_ROWS
from mime_fast.engine.load import find_model
from mime_fast.text import tokenize

BATCH = 64


@dataclass(frozen=True)
class Effort:
    """How much a run measures."""

    batches: tuple[int, ...]
    replies: dict[int, int]  # per round, by batch
    rounds: int
    budget: float  # seconds for the rounds of one engine at one task and batch
    calls: int  # for latency
    contexts: int  # for what the precisions keep
    kernel_seconds: float
    corpus_part_rows: int
    corpus_parts: int  # that are measured, a worker
    corpus_turn: float  # seconds
    memory_rows: tuple[int, int, int]


FULL = Effort(
    (1, 16, 64, 256),
    {1: 24, 16: 64, 64: 64, 256: 256},
    5,
    1.5,
    150,
    500,
    0.25,
    PART_ROWS,
    2,
    0.4,
    (10_000, 100_000, 1_000_000),
)
QUICK = Effort((16,), {16: 16}, 2, 0.5, 5, 16, 0.02, 64, 1, 0.5, (100, 200, 400))


@dataclass(frozen=True)
class Subject:
    """A model and what it is asked."""

    files: Files
    contexts: str  # where the dialogues are from
    work: Work
    texts: list[list[str]]  # the same dialogues as text; empty where they are random words


def random_subject(cache: Path, isa: str = "auto") -> Subject:
    """The paper's sizes, random weights, the vocabulary of the headline rows."""
    files = _with_peer(make_random_mime(cache / f"mime-{VOCABULARY}-1", VOCABULARY), cache, isa)
    words = [f"w{i}" for i in range(files.vocab_size - 7)]
    return Subject(files, "random words", random_work(words), [])


def shipped_subject(cache: Path, effort: Effort, isa: str = "auto") -> Subject:
    """The shipped weights on validation pairs, or on made-up dialogues."""
    source, texts, responses = real_dialogues(max(effort.contexts, *effort.replies.values()))
    dialogues = [[tokenize(turn) for turn in turns] for turns in texts]
    work = Work(dialogues, [tokenize(response) for response in responses], [TOKENS] * len(texts))
    files = _with_peer(find_model(None), cache, isa)
    return Subject(files, source, work.with_lengths(_steps(files, work)), texts)


def beside_reference(subject: Subject, task: Task, count: int) -> Agreement | None:
    """Native float32 beside the reference; None where there is no native back end to be wrong."""
    work = subject.work.first(count)
    try:
        native = load(Contender(OURS, "float32"), subject.files, BATCH, 1)
    except Unavailable:
        return None
    reference = load(Contender(REFERENCE, "float32"), subject.files, BATCH, 1)
    found, expected = ((runner.decode(task, work), runner.score(work)) for runner in (native, reference))
    return agreement("float32", REFERENCE, subject.contexts, found, expected)


def _steps(files: Files, work: Work) -> list[int]:
    """Tokens of the longest of five hypotheses: the search goes on until it has so many."""
    try:
        engine = MimeRunner(files.mime, "native", "float32", BATCH, 1, files.isa).engine
    except Unavailable:
        engine = MimeRunner(files.mime, "reference", "float32", BATCH, 1).engine
    beams = task_of("shipped-beam").beams
    replies = engine.generate(work.dialogues, num_beams=beams, num_return_sequences=beams)
    return [max(len(one.token_logprobs) for one in reply.candidates) for reply in replies]


def _with_peer(mime: Path, cache: Path, isa: str) -> Files:
    """Beside a model CTranslate2's of the same vocabulary; without CTranslate2 its path leads nowhere."""
    vocab_size: int = json.loads((mime / "config.json").read_text("utf-8"))["vocab_size"]
    folder = cache / "no CTranslate2"
    with suppress(ImportError):
        from benchmarks.plain_transformer import make_ctranslate2_model

        folder = make_ctranslate2_model(cache, mime)
    return Files(mime, folder, vocab_size, isa)
