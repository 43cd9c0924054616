"""CTranslate2 with the plain transformer, as its users would call it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ctranslate2

from benchmarks.tasks import Task, Work


class CTranslate2Runner:
    """One worker of `threads` threads; a call is one batch."""

    def __init__(self, folder: Path, precision: str, threads: int) -> None:
        self.translator = ctranslate2.Translator(
            str(folder), device="cpu", compute_type=precision, inter_threads=1, intra_threads=threads
        )

    def decode(self, task: Task, work: Work) -> Any:
        """Exactly `work.steps` tokens per dialogue."""
        return self.translator.translate_batch(
            work.sources,
            beam_size=task.beams,
            min_decoding_length=work.steps,
            max_decoding_length=work.steps,
            no_repeat_ngram_size=0 if task.forced else 3,
        )

    def score(self, work: Work) -> Any:
        return self.translator.score_batch(work.sources, work.targets)
