"""What a run is made from: pairs, vocabulary, word vectors; and their fingerprints."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from torch import Tensor

from mime_fast.checkpoints.model_folder import check_generation
from mime_fast.config.generation import GenerationConfig
from mime_fast.data.batches import make_examples
from mime_fast.data.empathetic_dialogues import Pair, read_pairs
from mime_fast.data.reading.options import Reading
from mime_fast.errors import ConfigError, DataError
from mime_fast.evaluation.pair_checks import check_lengths
from mime_fast.files import Path_, hash_of
from mime_fast.progress import note
from mime_fast.text.tokenizer import Tokenizer
from mime_fast.text.vocabulary import build_vocabulary
from mime_fast.training.augmentation import extra_pairs
from mime_fast.training.ratings import RATINGS, Rated, read_ratings
from mime_fast.training.recipe import EXTRA_PAIRS, ExtraPairs, Stage
from mime_fast.training.sentence_encoder import sentence_encoder_folder
from mime_fast.training.vectors import read_vectors


@dataclass(frozen=True)
class Inputs:
    """The same for all stages of a run."""

    train: list[Pair]
    valid: list[Pair]
    extra: dict[ExtraPairs, list[Pair]]
    tokenizer: Tokenizer
    vectors: dict[str, Tensor] | None
    sentence_encoder: Path | None = None  # its folder, where a stage has a teacher made of it
    ratings: list[Rated] | None = None  # where a stage's reranker learns from them

    @property
    def pairs(self) -> list[Pair]:
        """The training pairs, then those of each kind of `extra`."""
        return [*self.train, *(pair for pairs in self.extra.values() for pair in pairs)]

    @cached_property
    def fingerprints(self) -> dict[str, str | None]:
        """A hash of each part, by what people call it."""
        kinds = [pair for kind in sorted(self.extra) for pair in self.extra[kind]]
        return {
            "training data": fingerprint_pairs([*self.train, *kinds]),
            "validation data": fingerprint_pairs(self.valid),
            "vocabulary": fingerprint(self.tokenizer.words),
            "word vectors": None if self.vectors is None else fingerprint_vectors(self.vectors),
            "sentence encoder": None if self.sentence_encoder is None else fingerprint_encoder(self.sentence_encoder),
            RATINGS: None
            if self.ratings is None
            else fingerprint([dataclasses.astuple(each) for each in self.ratings]),
        }


def read_inputs(
    stages: Sequence[Stage],
    data: Path_,
    vectors: Path_ | None,
    sentence_encoder: Path_ | None = None,
    ratings: Path_ | None = None,
    *,
    reading: Reading | None = None,
    show_progress: bool = False,
) -> Inputs:
    """Read what the stages of a run need.

    Raises:
        ConfigError: ratings are needed and not given, or they or a sentence encoder are given and not needed.
        DataError, BackendError: as for `train`.
    """
    if any(stage.rating_epochs for stage in stages) != (ratings is not None):
        raise ConfigError(
            "rating_epochs in the recipe, but no file of ratings: give it (--ratings)"
            if ratings is None
            else f"ratings={os.fspath(ratings)}: no stage of the recipe has rating_epochs; leave it out"
        )
    encoder = None
    if any(stage.sentence_teacher_steps for stage in stages):
        encoder = sentence_encoder_folder(sentence_encoder)
    elif sentence_encoder is not None:
        raise ConfigError(
            f"sentence_encoder={os.fspath(sentence_encoder)}: no stage of the recipe has sentence_teacher_steps; "
            "leave it out"
        )
    stage = stages[0]
    style: Literal["true", "released"] = "released" if stage.preset == "released" else "true"
    train = read_pairs(data, "train", style, reading=reading)
    valid = read_pairs(data, "valid", style, reading=reading)
    for split, pairs in (("train", train), ("valid", valid)):
        if not pairs:
            raise DataError(f"{os.fspath(data)}: no reply of a listener in the {split} split; must have one or more")
    counted = [train]
    if stage.vocabulary_splits == "all":
        counted += [valid, read_pairs(data, "test", style, reading=reading)]
    taught = any(stage.emotion_teacher or stage.sentence_teacher_steps for stage in stages)
    named = {kind for stage in stages for kind in stage.extra_epochs}
    kinds = [kind for kind in EXTRA_PAIRS if taught or kind in named]
    tokenizer = make_tokenizer(stage, counted)
    found = None
    if vectors is not None:
        found = read_vectors(vectors, tokenizer.words, stage.model_config(7).hidden_size)
        if show_progress:
            text = f"{os.fspath(vectors)}: found {len(found):,} of {len(tokenizer.words):,} words"
            note(text)
    extra = {kind: extra_pairs(kind, data, train, style, reading) for kind in kinds}
    most_words = stage.model_config(7).max_positions - 1
    rated = None if ratings is None else read_ratings(ratings, train, most_words)
    return Inputs(train, valid, extra, tokenizer, found, encoder, rated)


def check_inputs(stages: Sequence[Stage], inputs: Inputs) -> None:
    """ConfigError where a stage's search is beyond its model, InputError where a pair is; the message names which."""
    for number, stage in enumerate(stages, start=1):
        try:
            generation = GenerationConfig.from_dict(stage.generation)
            check_generation(generation, stage.model_config(inputs.tokenizer.vocab_size))
        except ConfigError as error:
            raise ConfigError(f"{f'stage {number}: ' if len(stages) > 1 else ''}generation: {error}") from None
    longest = stages[0].model_config(7).max_positions
    for kind, pairs in [("train", inputs.train), ("valid", inputs.valid), *inputs.extra.items()]:
        check_lengths(pairs, make_examples(pairs, inputs.tokenizer), longest, what=f"{kind} ")


def make_tokenizer(stage: Stage, splits: Sequence[Sequence[Pair]]) -> Tokenizer:
    """The vocabulary of contexts, then responses, then situations of each split, as the released code collects it."""
    typography = stage.preset != "released"
    bare = Tokenizer.from_words([], typography=typography)
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
    words = build_vocabulary(utterances, min_count=stage.min_count, max_size=stage.max_words or None)
    return Tokenizer.from_words(words, typography=typography)


def fingerprint_pairs(pairs: Iterable[Pair]) -> str:
    return fingerprint([list(dataclasses.astuple(pair)) for pair in pairs])


def fingerprint_vectors(vectors: Mapping[str, Tensor]) -> str:
    return fingerprint([[word, vectors[word].numpy().tobytes().hex()] for word in sorted(vectors)])


def fingerprint_encoder(folder: Path) -> str:
    """A hash of a sentence encoder's weights."""
    return hash_of(folder / "model.safetensors")


def fingerprint(value: object) -> str:
    """A hash of a JSON value."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
