"""What a benchmark finds. The report is made only from these."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from statistics import median
from typing import Any, ClassVar

OURS = "mime_fast"
CTRANSLATE2 = "CTranslate2"
REFERENCE = "torch reference"
HUGGING_FACE = "Hugging Face"


@dataclass(frozen=True)
class Rate:
    """Rounds of one engine at one task, on one thread; times in seconds per round."""

    kind: ClassVar[str] = "rate"
    task: str
    engine: str
    precision: str
    batch: int
    replies: int  # per round
    cpu: tuple[float, ...]
    wall: tuple[float, ...]
    load: float  # the machine's load average after the rounds

    @property
    def per_core_second(self) -> float:
        """Replies per second of CPU time, median of the rounds."""
        return self.replies / median(self.cpu)

    @property
    def cpu_ms(self) -> float:
        """CPU time per reply."""
        return 1000 / self.per_core_second

    @property
    def spread(self) -> float:
        """Half the range of the rounds over their median."""
        return (max(self.cpu) - min(self.cpu)) / 2 / median(self.cpu)


@dataclass(frozen=True)
class Kernel:
    """One kernel, GFLOP/s per round, beside the ceiling of the same precision and instruction set."""

    kind: ClassVar[str] = "kernel"
    name: str
    precision: str
    isa: str
    rows: int
    gflops: tuple[float, ...]
    ceiling: tuple[float, ...]

    @property
    def share(self) -> float:
        return median(self.gflops) / median(self.ceiling)


@dataclass(frozen=True)
class Latency:
    """Calls with one dialogue each; milliseconds."""

    kind: ClassVar[str] = "latency"
    engine: str
    precision: str
    threads: int
    calls: int
    p50: float
    p99: float


@dataclass(frozen=True)
class Memory:
    """Peak resident memory of a process of its own; MiB."""

    kind: ClassVar[str] = "memory"
    engine: str
    precision: str
    batch: int
    imported: float  # with the libraries imported and nothing loaded
    peak: float


@dataclass(frozen=True)
class TextShare:
    """Text in, text out, beside arrays in, arrays out of the same back end; replies per second."""

    kind: ClassVar[str] = "text"
    precision: str
    threads: int
    batch: int
    text_cpu: float
    arrays_cpu: float
    text_wall: float
    arrays_wall: float


@dataclass(frozen=True)
class Agreement:
    """Replies of one precision beside those of another back end or precision."""

    kind: ClassVar[str] = "agreement"
    precision: str
    against: str
    contexts: str
    replies: int
    equal: int
    score_difference: float  # of the best candidates' scores, the largest
    same_difference: float  # the same where the replies are equal
    token_difference: float  # of the log-probs of a token of the same replies, the largest


@dataclass(frozen=True)
class CorpusRate:
    """A corpus job from file to file beside its back end, arrays in and out, one thread each; rows per second.

    A job's rate is that between its first and its last finished parts, so start-up is left out.
    """

    kind: ClassVar[str] = "corpus"
    task: str
    precision: str
    contexts: str  # where the dialogues are from
    rows: int  # that one worker's rate is of
    workers: int  # processes of `workers_wall`
    arrays_wall: float
    arrays_cpu: float
    job_wall: float
    job_cpu: float
    workers_wall: float
    machine_wall: float  # of `workers` back ends at once, each in its process: what the machine has to give


@dataclass(frozen=True)
class CorpusMemory:
    """The peak of a process that scores a file with a tiny model; MiB."""

    kind: ClassVar[str] = "corpus memory"
    task: str
    rows: int
    input: float  # size of the file
    peak: float
    rows_per_second: float


@dataclass(frozen=True)
class Failure:
    """A case without a figure."""

    kind: ClassVar[str] = "failure"
    case: str
    outcome: str  # failed, or not run
    reason: str


Figure = Rate | Kernel | Latency | Memory | TextShare | Agreement | CorpusRate | CorpusMemory


def to_json(figure: Figure | Failure) -> dict[str, Any]:
    """The fields, with the kind and what follows from them."""
    derived = {name: getattr(figure, name) for name, value in vars(type(figure)).items() if isinstance(value, property)}
    return {"kind": figure.kind, **dataclasses.asdict(figure), **derived}
