"""What text costs: replies per second from text to text, beside arrays to arrays of the same back end."""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Note
from benchmarks.engines import OUR_PRECISIONS, MimeRunner, Unavailable
from benchmarks.figures import Agreement, TextShare
from benchmarks.race import CLOCK, race
from benchmarks.subjects import BATCH, Effort, Subject
from mime_fast.backends.protocol import Contexts, Requests
from mime_fast.engine.engine import Engine

pytestmark = pytest.mark.benchmark(timer=CLOCK.now)


def arrays(engine: Engine, dialogues: list[list[list[str]]]) -> tuple[Contexts, Requests]:
    encoded = [engine.tokenizer.encode_context(turns) for turns in dialogues]
    contexts = Contexts(
        np.concatenate([ids for ids, _ in encoded]).astype(np.int32),
        np.concatenate([states for _, states in encoded]).astype(np.int32),
        np.cumsum([0, *(len(ids) for ids, _ in encoded)]).astype(np.int64),
    )
    count = len(dialogues)
    emotions = np.full(count, -1, dtype=np.int32)
    return contexts, Requests(np.zeros(count, np.uint64), np.arange(count, dtype=np.uint64), emotions, True)


def after_warm_up(seconds: list[float]) -> list[float]:
    """Without the first round, unless there was time for no other."""
    return seconds[1:] or seconds


@pytest.mark.parametrize("precision", OUR_PRECISIONS)
def test_text_share(
    benchmark: BenchmarkFixture,
    note: Note,
    effort: Effort,
    shipped_subject: Subject,
    parity: list[Agreement],
    precision: str,
) -> None:
    benchmark.group = "text to text"
    try:
        engine = MimeRunner(shipped_subject.files.mime, "native", precision, BATCH, 1, shipped_subject.files.isa).engine
    except Unavailable as error:
        pytest.skip(str(error))
    count = max(effort.replies.values())
    texts = shipped_subject.texts[:count]
    contexts, requests = arrays(engine, shipped_subject.work.dialogues[:count])
    options = engine.generation_config.replace(num_beams=5, do_sample=False)

    def from_text() -> None:
        engine.generate(texts, num_beams=5)

    def from_arrays() -> None:
        engine.backend.generate(contexts, requests, options, None)

    found = race({"text": from_text, "arrays": from_arrays}, effort.rounds + 1, effort.budget)
    if errors := [f"{name}: {rounds.error}" for name, rounds in found.items() if rounds.error]:
        pytest.fail("; ".join(errors))
    cpu = {name: count / median(after_warm_up(rounds.cpu)) for name, rounds in found.items()}
    wall = {name: count / median(after_warm_up(rounds.wall)) for name, rounds in found.items()}
    figure = TextShare(precision, 1, BATCH, cpu["text"], cpu["arrays"], wall["text"], wall["arrays"])
    note(figure, [seconds / count for seconds in after_warm_up(found["text"].cpu)])
