"""The paper's own figures, on its test split (Majumder et al. 2020: Tables 2 and 5, section 5.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mime_fast.evaluation.metrics.metric import Figures

SPLIT = "test"


@dataclass(frozen=True)
class PaperModel:
    """Parameters and BLEU of Table 2, accuracies of section 5.4; what the paper does not give is None."""

    name: str
    parameters: int
    figures: Figures


@dataclass(frozen=True)
class PaperAblation:
    """A row of Table 5: BLEU's mean and deviation."""

    emotion_mimicry: bool
    emotion_grouping: bool
    mean: float
    deviation: float


MODELS = (
    PaperModel("Multi-TR", 16_950_000, {"bleu_beam": 2.92, "top1": None, "top2": None, "top5": None}),
    PaperModel("MoEL", 23_100_000, {"bleu_beam": 2.90, "top1": 0.38, "top2": 0.63, "top5": 0.74}),
    PaperModel("MIME", 17_800_000, {"bleu_beam": 2.98, "top1": 0.34, "top2": 0.58, "top5": 0.77}),
)
ABLATIONS = (
    PaperAblation(False, False, 2.45, 0.01),
    PaperAblation(False, True, 2.96, 0.02),
    PaperAblation(True, True, 2.98, 0.01),
)


def to_dict() -> dict[str, Any]:
    """JSON-ready."""
    return {
        "split": SPLIT,
        "models": [{"name": row.name, "parameters": row.parameters, **row.figures} for row in MODELS],
        "ablations": [
            {
                "emotion_mimicry": row.emotion_mimicry,
                "emotion_grouping": row.emotion_grouping,
                "bleu_beam": {"mean": row.mean, "deviation": row.deviation},
            }
            for row in ABLATIONS
        ],
    }
