"""Who runs: this project's engine and its peers behind one interface."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.figures import CTRANSLATE2, HUGGING_FACE, OURS, REFERENCE
from benchmarks.tasks import TOKENS, Task, Work

if TYPE_CHECKING:
    from mime_fast.engine.engine import Engine


class Unavailable(Exception):
    """An engine that cannot run here; the message says why."""


@dataclass(frozen=True)
class Contender:
    engine: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


OUR_PRECISIONS = ("float32", "screened", "bfloat16", "int8")
CONTENDERS = (
    *(Contender(OURS, precision) for precision in OUR_PRECISIONS),
    *(Contender(CTRANSLATE2, precision) for precision in ("float32", "int8")),
    Contender(REFERENCE, "float32"),
    Contender(HUGGING_FACE, "float32"),
)


@dataclass(frozen=True)
class Files:
    """A MIME model, a plain transformer of its size and vocabulary, and the instruction set to run it with."""

    mime: Path
    ctranslate2: Path
    vocab_size: int
    isa: str = "auto"


class Runner(Protocol):
    """An engine that was loaded; one call is one batch."""

    def decode(self, task: Task, work: Work) -> Any: ...

    def score(self, work: Work) -> Any: ...


def run(runner: Runner, task: Task, work: Work) -> None:
    if task.scores:
        runner.score(work)
    else:
        runner.decode(task, work)


class MimeRunner:
    """`mime_fast.load(...)` with tokens in and replies out."""

    def __init__(self, folder: Path, backend: str, precision: str, batch: int, threads: int, isa: str = "auto") -> None:
        import mime_fast
        from mime_fast.errors import BackendError

        try:
            self.engine: Engine = mime_fast.load(
                folder,
                device="cpu",
                precision=precision,
                threads=threads,
                batch_size=batch,
                backend=backend,
                isa=isa,
            )
        except BackendError as error:
            raise Unavailable(str(error)) from None
        self.torch_threads = threads if backend == "reference" else None

    def decode(self, task: Task, work: Work) -> Any:
        self._settle_torch()
        length: dict[str, Any] = {"min_new_tokens": TOKENS - 1, "max_new_tokens": TOKENS} if task.forced else {}
        return self.engine.generate(work.dialogues, num_beams=task.beams, **length)

    def score(self, work: Work) -> Any:
        self._settle_torch()
        return self.engine.score(work.dialogues, work.targets)

    def _settle_torch(self) -> None:
        """CTranslate2 in the same process changes what torch takes its number of threads for, but not MKL's."""
        if self.torch_threads is not None:
            import torch

            torch.set_num_threads(self.torch_threads)


@lru_cache(maxsize=40)  # one of each precision and batch size of a subject
def load(contender: Contender, files: Files, batch: int, threads: int) -> Runner:
    """A runner for calls of `batch` dialogues.

    Raises:
        Unavailable: it cannot run here.
    """
    if contender.engine == OURS:
        return MimeRunner(files.mime, "native", contender.precision, batch, threads, files.isa)
    if contender.engine == REFERENCE:
        return MimeRunner(files.mime, "reference", contender.precision, batch, threads)
    try:
        if contender.engine == CTRANSLATE2:
            from benchmarks.peer_ctranslate2 import CTranslate2Runner

            return CTranslate2Runner(files.ctranslate2, contender.precision, threads)
        from benchmarks.peer_hugging_face import HuggingFaceRunner

        return HuggingFaceRunner(files.mime, files.vocab_size, threads)
    except ImportError as error:
        raise Unavailable(f"{contender.engine} is not installed ({error})") from None
