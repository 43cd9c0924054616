"""The paper's own figures, on its test split (Majumder et al. 2020: Tables 2 and 5, section 5.4)."""

from __future__ import annotations

from typing import Any

PAPER: dict[str, Any] = {
    "split": "test",
    "models": [  # parameters and BLEU of Table 2, accuracies of section 5.4
        {"name": "Multi-TR", "parameters": 16_950_000, "bleu_beam": 2.92, "top1": None, "top2": None, "top5": None},
        {"name": "MoEL", "parameters": 23_100_000, "bleu_beam": 2.90, "top1": 0.38, "top2": 0.63, "top5": 0.74},
        {"name": "MIME", "parameters": 17_800_000, "bleu_beam": 2.98, "top1": 0.34, "top2": 0.58, "top5": 0.77},
    ],
    "ablations": [  # Table 5
        {"emotion_mimicry": False, "emotion_grouping": False, "bleu_beam": {"mean": 2.45, "deviation": 0.01}},
        {"emotion_mimicry": False, "emotion_grouping": True, "bleu_beam": {"mean": 2.96, "deviation": 0.02}},
        {"emotion_mimicry": True, "emotion_grouping": True, "bleu_beam": {"mean": 2.98, "deviation": 0.01}},
    ],
}
