"""The model card of a run: its figures are those of the metrics, and nobody else's card is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mime_fast
from mime_fast.checkpoints.model_folder import load_model_folder
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.errors import OutputError
from mime_fast.text.tokenizer import Tokenizer
from mime_fast.training import run
from mime_fast.training.card import WRITTEN, _figures, model_card
from mime_fast.training.inputs import Inputs
from mime_fast.training.ratings import Rated
from mime_fast.training.started import CARD
from tests.training.small_run import metrics_of, stage


def go(data: Path, out: Path, **changes: Any) -> str:
    stages = [stage(max_steps=7, beta=0.0, gamma=0.0, min_steps=0), stage(max_steps=14, **changes)]
    run.train(stages, data, out, show_progress=False)
    return (out / CARD).read_text(encoding="utf-8")


def test_a_run_leaves_a_card(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "my model"
    card = go(data, out)
    assert card.startswith("---\nlanguage: en\n") and WRITTEN in card
    assert "\n# my model\n" in card and f"trained by mime_fast {mime_fast.__version__}" in card
    size = sum(array.size for array in load_model_folder(out).weights.tensors.values())
    assert f"| parameters | {size:,} |" in card
    assert "| training pairs | 45 |" in card and "On 9 validation pairs" in card
    assert "| word vectors | none |" in card
    for number, rows in ((1, metrics_of(out / "stage-1")), (2, metrics_of(out))):
        best = min(rows, key=lambda row: row["ppl"])
        line = next(line for line in card.splitlines() if line.startswith(f"| {number} | "))
        assert f"| {best['step']} | {best['epoch']:.1f} | {best['ppl']:.2f} | {best['ppl_unk_free']:.2f} |" in line
        assert f"{best['top1']:.1%}" in line
    first = json.loads(card.split("1. `")[1].split("`\n")[0])
    assert first["max_steps"] == 7 and first["beta"] == 0.0 and "alpha" not in first
    assert str(tmp_path) not in card
    assert not (out / "stage-1" / CARD).exists()
    assert go(data, out) == card


def test_a_card_names_the_reranker_and_its_ratings() -> None:
    """Those of the last stage, whose folder the model is."""
    pair = Pair(["my cat ran away ."], "oh no !", "sad", "", "")
    rated = [Rated(number, ("oh .", "oh no !"), (1.0, 2.0)) for number in (0, 3)]
    inputs = Inputs([pair] * 40, [pair], {}, Tokenizer.from_words(["cat"]), None, ratings=rated)
    plain = stage(generation={"do_sample": True, "num_beams": 1}, sentence_teacher_steps=2, emotion_teacher=0.5)
    taught = plain.replace(reranker_contexts=50, rating_epochs=3)
    card = model_card("it", [plain, taught], [[], []], inputs, "", "rated.jsonl")
    assert "\n| reranker | 40 contexts |\n| rated replies | rated.jsonl, 2 contexts |\n" in card
    for others in ([taught, plain], [plain]):
        card = model_card("it", others, [[]] * len(others), inputs, "", "rated.jsonl")
        assert "| reranker |" not in card and "| rated replies |" not in card


@pytest.mark.parametrize(("min_steps", "kept"), [(0, 2), (5, 6), (6, 6), (8, 8), (9, 8)])
def test_its_figures_are_of_the_weights_that_were_kept(min_steps: int, kept: int) -> None:
    """The lowest perplexity from `min_steps` on; of a run that is shorter, the last."""
    figures = ("ppl", "ppl_unk_free", "top1", "top2", "top5", "polarity_accuracy")
    perplexities = {2: 3.0, 4: 4.0, 6: 5.0, 8: 6.0}
    rows = [{"step": n, "epoch": 0.1, "seconds": 1.0} | dict.fromkeys(figures, ppl) for n, ppl in perplexities.items()]
    *_, line = _figures([stage(min_steps=min_steps)], [rows], 9)
    assert line.startswith(f"| 1 | {kept} | 0.1 | {perplexities[kept]:.2f} |")


def test_a_card_of_ones_own_is_left(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "out"
    go(data, out)
    (out / CARD).write_text("# Mine\n")
    assert go(data, out) == "# Mine\n"


def test_a_card_that_cannot_be_written_is_named(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "out"
    (out / CARD).mkdir(parents=True)
    with pytest.raises(OutputError, match=r"README\.md"):
        go(data, out)
