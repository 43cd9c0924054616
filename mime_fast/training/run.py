"""A whole training run: data, vocabulary, vectors, model, trainer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from mime_fast.data.batches import make_examples
from mime_fast.data.empathetic_dialogues import Pair, read_pairs
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.models import new_model
from mime_fast.text.tokenizer import Tokenizer
from mime_fast.text.vocabulary import build_vocabulary
from mime_fast.training.augmentation import extra_pairs
from mime_fast.training.candidates import CandidateSource
from mime_fast.training.emotion_teacher import check_sklearn
from mime_fast.training.examples import train_examples
from mime_fast.training.recipe import EXTRA_PAIRS, Recipe
from mime_fast.training.start import go_on_from, initialise
from mime_fast.training.trainer import Progress, Trainer

Path_ = str | os.PathLike[str]


def train(
    recipe: Recipe,
    data: Path_,
    out: Path_,
    *,
    vectors: Path_ | None = None,
    device: str = "cpu",
    show_progress: bool = True,
) -> Progress:
    """Train by a recipe and leave the best weights as a model folder in `out`; goes on where a killed run stopped.

    Args:
        data: EmpatheticDialogues as officially distributed (see `read_pairs`).
        vectors: word vectors in GloVe's text form that word embeddings start from.
    """
    if recipe.emotion_teacher:
        check_sklearn()  # now, not after hours of the start
    style: Literal["true", "released"] = "released" if recipe.preset == "released" else "true"
    train_pairs = read_pairs(data, "train", style=style)
    valid_pairs = read_pairs(data, "valid", style=style)
    test_pairs = read_pairs(data, "test", style=style) if recipe.vocabulary_splits == "all" else []
    counted = [train_pairs, valid_pairs, test_pairs] if recipe.vocabulary_splits == "all" else [train_pairs]
    tokenizer = make_tokenizer(recipe, counted)
    torch.manual_seed(recipe.seed)
    model = new_model(recipe.model_config(tokenizer.vocab_size))
    if recipe.start is None:
        initialise(model, tokenizer, recipe.seed, vectors)
    else:
        first = Path(out) / "start"
        train(recipe.start, data, first, vectors=vectors, device=device, show_progress=show_progress)
        go_on_from(first, model, tokenizer)
    kinds = EXTRA_PAIRS if recipe.emotion_teacher else tuple(recipe.extra_epochs)
    extra = {kind: extra_pairs(kind, data, train_pairs, style) for kind in kinds}

    def untrained() -> DialogueModel:
        fresh = new_model(model.config)
        initialise(fresh, tokenizer, recipe.seed, vectors)
        return fresh.to(device)

    kinds_of_pairs = [train_pairs, *extra.values()]
    examples, *extra_examples = train_examples(
        recipe, kinds_of_pairs, tokenizer, untrained, Path(out), show_progress=show_progress
    )
    trainer = Trainer(
        recipe,
        model.to(device),
        tokenizer,
        examples,
        make_examples(valid_pairs, tokenizer),
        Path(out),
        extra=dict(zip(extra, extra_examples, strict=True)),
        candidates=CandidateSource(model, tokenizer, train_pairs, recipe.seed) if recipe.risk_weight else None,
        show_progress=show_progress,
    )
    return trainer.run()


def make_tokenizer(recipe: Recipe, splits: Sequence[Sequence[Pair]]) -> Tokenizer:
    """The vocabulary of contexts, then responses, then situations of each split, as the released code collects it."""
    bare = Tokenizer.from_words([])
    utterances = (
        tokens
        for pairs in splits
        for texts in (
            [text for pair in pairs for text in pair.context],
            [pair.response for pair in pairs],
            [pair.situation for pair in pairs],
        )
        for tokens in bare.tokenize_batch(texts)
    )
    words = build_vocabulary(utterances, min_count=recipe.min_count, max_size=recipe.max_words or None)
    return Tokenizer.from_words(words, typography=recipe.preset != "released")
