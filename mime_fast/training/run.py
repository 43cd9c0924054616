"""A whole training run: data, vocabulary, vectors, model, trainer."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from mime_fast.data.batches import Example, make_examples
from mime_fast.data.empathetic_dialogues import Pair, read_pairs
from mime_fast.engine.model_folder import load_model_folder
from mime_fast.errors import ConfigError
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.mime import Mime
from mime_fast.reference.models import new_model
from mime_fast.text.tokenizer import Tokenizer
from mime_fast.text.vocabulary import build_vocabulary
from mime_fast.training.augmentation import extra_pairs
from mime_fast.training.candidates import CandidateSource
from mime_fast.training.emotion_teacher import check_sklearn, teach_once
from mime_fast.training.recipe import EXTRA_PAIRS, Recipe
from mime_fast.training.trainer import Progress, Trainer
from mime_fast.training.vectors import initial_embedding, read_vectors

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
    examples, *extra_examples = _train_examples(recipe, [train_pairs, *extra.values()], tokenizer, Path(out))
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


def _train_examples(
    recipe: Recipe, kinds: Sequence[Sequence[Pair]], tokenizer: Tokenizer, out: Path
) -> list[list[Example]]:
    """The examples of each kind of pairs; with a teacher, which learns from all of them, if the recipe has one."""
    examples = [make_examples(pairs, tokenizer) for pairs in kinds]
    if recipe.emotion_teacher == 0:
        return examples
    probs = iter(teach_once([pair for pairs in kinds for pair in pairs], out))
    return [[dataclasses.replace(example, teacher=next(probs)) for example in each] for each in examples]


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
    return Tokenizer.from_words(words)


def go_on_from(folder: Path_, model: DialogueModel, tokenizer: Tokenizer) -> None:
    """Give `model` the weights of a model folder.

    Raises:
        ConfigError: that model has other words or other sizes.
    """
    loaded = load_model_folder(folder)
    same = loaded.tokenizer.words == tokenizer.words
    if not same or loaded.model.config.replace(dropout=0.0) != model.config.replace(dropout=0.0):
        raise ConfigError(f"start: its {'model' if same else 'vocabulary'} is another one; the same is allowed")
    model.load_state_dict(loaded.model.state_dict())


def initialise(model: DialogueModel, tokenizer: Tokenizer, seed: int, vectors: Path_ | None) -> None:
    """The released code's start: Xavier for every matrix but E_W, which takes word vectors or 0.01 N(0, 1).

    A posterior on e_g starts as a copy of the prior that ignores e_g: two unrelated ones are driven to one constant
    distribution by the KL term within a few hundred steps.
    """
    generator = torch.Generator().manual_seed(seed)
    size = model.config.hidden_size
    known = read_vectors(vectors, tokenizer.words, size) if vectors is not None else {}
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1 and parameter is not model.word_embedding.weight:
                nn.init.xavier_uniform_(parameter, generator=generator)
        model.word_embedding.weight.copy_(initial_embedding(tokenizer.words, known, size, generator))
        if isinstance(model, Mime) and model.config.posterior_on_emotion:
            _start_as_prior(model)


def _start_as_prior(model: Mime) -> None:
    """Q(z_g | e_g, C) = P(z_g | C), eq. 13 and 17."""
    size = model.config.hidden_size
    for group in model.prior.fc_mu:
        sample = model.posterior.fc_sample[group]
        assert isinstance(sample, nn.Linear)
        sample.weight.zero_()
        sample.weight[:, :size].copy_(model.prior.fc_sample.weight)
        sample.bias.copy_(model.prior.fc_sample.bias)
        model.posterior.fc_mu[group].load_state_dict(model.prior.fc_mu[group].state_dict())
        model.posterior.fc_sigma[group].load_state_dict(model.prior.fc_sigma[group].state_dict())
